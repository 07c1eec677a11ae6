"""Models of other kinds are named with what converts them; plain things beside tensors are read."""

from __future__ import annotations

import argparse
import io
import pathlib
import types
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sparseflow as sf
from csb_format import ModelFileError
from pruning.importers import import_model
from pruning.importers.checkpoint import CheckpointError


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.fc = nn.LSTM(4, 8), nn.Linear(8, 3)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.fc(self.rnn(frames)[0][-1])
        return found


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(Net().state_dict())


BESIDE: dict[str, Any] = {
    "scalar": np.float64(0.5),
    "whole": np.int64(3),
    "bool": np.bool_(True),
    "array": np.arange(3.0),
    "args": argparse.Namespace(lr=0.1, out=Path("x")),
    "simple": types.SimpleNamespace(a=1),
    "path": Path("/data/net.pt"),
    "windows": pathlib.PureWindowsPath("C:/x"),
    "nested": {"best": [np.float32(1), {"at": Path("y")}]},
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("beside", BESIDE)
def test_plain_things_beside_tensors_are_read(tmp_path: Path, beside: str, legacy: bool) -> None:
    path, wanted = tmp_path / "c.pt", state()
    content = {"state_dict": wanted, beside: BESIDE[beside]}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    found = import_model(path)
    assert all(torch.equal(found.state_dict[name], tensor) for name, tensor in wanted.items())
    assert found.notes == (f"beside 'state_dict', left alone: {beside}",)


class Payload:
    def __init__(self, call: Any, *given: Any) -> None:
        self.call, self.given = call, given

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.given


@pytest.mark.parametrize("hidden", ["beside", "in a namespace", "in a path"])
def test_code_beside_tensors_is_not_run(tmp_path: Path, hidden: str) -> None:
    target = tmp_path / "executed"
    attack: Any = Payload(Path.touch, target)
    if hidden == "in a namespace":
        attack = argparse.Namespace(inner=attack)
    if hidden == "in a path":
        attack = Payload(pathlib.PosixPath, attack)
    torch.save({"state_dict": state(), "x": attack}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="is not unpickled as it could run code"):
        import_model(tmp_path / "c.pt")
    assert not target.exists()


def torchscript(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Net(), torch.zeros(2, 1, 4)), path)


def exported(path: Path) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.fc(frames)
            return found

    torch.export.save(torch.export.export(Plain(), (torch.zeros(1, 4),)), path)


def keras(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            file.writestr(name, "{}")


def whole(path: Path) -> None:
    torch.save(Net(), path)


def npz(path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: tensor.numpy() for name, tensor in state().items()})  # type: ignore[arg-type]
    path.write_bytes(buffer.getvalue())


KINDS = {
    "TorchScript": (torchscript, "a TorchScript program", "torch.jit.load"),
    "pt2": (exported, r"an exported program of torch.export \(.pt2\)", "torch.export.load"),
    "keras": (keras, r"a Keras model \(.keras\)", "keras.saving.load_model"),
    "module": (whole, "it asks for .*Net", "weights_only=False"),
    "npz": (npz, r"NumPy arrays \(.npz\)", "np.load"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_models_of_other_kinds_are_named(tmp_path: Path, kind: str) -> None:
    write, words, mend = KINDS[kind]
    path = tmp_path / "net"
    write(path)
    with pytest.raises(CheckpointError, match=words) as caught:
        import_model(path)
    assert mend in caught.value.snippet
    assert len(caught.value.snippet.splitlines()) <= 6
    assert "weights_only=True" not in caught.value.text  # torch's own text
    with pytest.raises(ModelFileError, match="sparseflow pack"):
        sf.load(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["TorchScript", "pt2", "npz"])
def test_the_snippet_makes_a_state_dict(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    KINDS[kind][0](tmp_path / "net")
    with pytest.raises(CheckpointError) as caught:
        import_model(tmp_path / "net")
    exec(caught.value.snippet, {})
    assert "fc.weight" in import_model(tmp_path / "weights.pt").state_dict


ODD = {
    "meta": (torch.zeros(8, 8, device="meta"), "is on the meta device and has no values"),
    "sparse": (torch.eye(8).to_sparse(), "is a torch.sparse_coo tensor: save dense"),
    "array": (np.eye(8), "'w' is a numpy array, not a tensor"),
    "scalar": (np.float64(1), "'w' is a numpy scalar, not a tensor"),
    "list": ([1], "'w' is a list, not a tensor"),
}


@pytest.mark.parametrize("kind", ODD)
def test_values_that_are_no_plain_tensors(tmp_path: Path, kind: str) -> None:
    value, words = ODD[kind]
    torch.save({"w": value}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match=words):
        import_model(tmp_path / "c.pt")


@pytest.mark.parametrize("mask", [torch.eye(8).to_sparse(), torch.ones(8, 8, device="meta")])
@pytest.mark.parametrize("tool", ["NNI", "torch.ao", "plain", "beside"])
def test_masks_that_are_no_plain_tensors(tmp_path: Path, mask: torch.Tensor, tool: str) -> None:
    contents: dict[str, Any] = {
        "NNI": {"fc": {"weight": mask}},
        "torch.ao": {"state": {"fc.weight": {"mask": mask}}, "groups": []},
        "plain": {"fc.weight": mask},
        "beside": {"fc.weight": torch.ones(8, 8), "fc.weight_mask": mask},
    }
    torch.save(contents[tool], tmp_path / "m.pt")
    torch.save({"fc.weight": torch.ones(8, 8)}, tmp_path / "w.pt")
    files = ["m.pt"] if tool == "beside" else ["w.pt", "m.pt"]
    with pytest.raises(CheckpointError, match=r"fc.weight.* is (a torch.sparse_coo|on the meta)"):
        import_model(*(tmp_path / name for name in files))


def test_a_pruned_checkpoint_is_no_model_file(tmp_path: Path) -> None:
    from pruning.importers.checkpoint import save_tensors

    save_tensors(tmp_path / "p", state(), None, {"sparseflow": '{"sparsity_requested": 0.5}'})
    with pytest.raises(ModelFileError, match=r"it is a pruned checkpoint, .*: pack it first"):
        sf.load(tmp_path / "p")


@pytest.mark.parametrize("size", range(0, 256, 8))
def test_a_header_of_any_size_is_that_of_safetensors(tmp_path: Path, size: int) -> None:
    from pruning.importers.checkpoint import save_tensors

    path = tmp_path / "w"
    save_tensors(path, state(), None, {"note": " "})
    length = int.from_bytes(path.read_bytes()[:8], "little")
    save_tensors(path, state(), None, {"note": " " * (1 + (size - length) % 256)})
    assert path.read_bytes()[0] == size
    assert import_model(path).metadata.keys() == {"note"}
