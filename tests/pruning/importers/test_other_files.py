"""Models of other kinds are named with what converts them; plain things beside tensors are read."""

from __future__ import annotations

import argparse
import io
import pathlib
import pickle
import sys
import types
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import sparseflow as sf
from csb_format import ModelFileError
from pruning.files.network import load_network
from pruning.importers import import_model
from pruning.importers.checkpoint import CheckpointError, UnsupportedLayerError


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


class _Layer:
    def __init__(self, weights: list[np.ndarray[Any, Any]]) -> None:
        self.get_weights = lambda: weights


class _Net:
    """What the snippet asks of a Keras model; a real one gave 5e-7, Keras 3.15."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        shapes = {"lstm": [(4, 32), (8, 32), (32,)], "dense": [(8, 3), (3,)]}
        self.weights = {n: [rng.normal(size=s).astype("f") for s in shapes[n]] for n in shapes}

    def get_layer(self, name: str) -> _Layer:
        return _Layer(self.weights[name])

    def __call__(self, frames: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """By Keras' documentation: gates i, f, c, o, kernels (inputs, outputs)."""
        (w, u, b), (v, d) = self.weights["lstm"], self.weights["dense"]
        h = c = np.zeros(8)
        for frame in frames:
            i, f, g, o = np.split(frame @ w + h @ u + b, 4)
            c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h = np.tanh(c) / (1 + np.exp(-o))
        result: np.ndarray[Any, Any] = h @ v + d
        return result


def test_the_snippet_for_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    keras(tmp_path / "net")
    with pytest.raises(CheckpointError) as caught:
        import_model(tmp_path / "net")
    net, module = _Net(), types.ModuleType("keras")
    monkeypatch.setattr(module, "saving", types.SimpleNamespace(load_model=lambda name: net), False)
    monkeypatch.setitem(sys.modules, "keras", module)
    exec(caught.value.snippet, {})
    frames = np.random.default_rng(1).normal(size=(5, 4)).astype("f")
    classifier = load_network(tmp_path / "weights.pt").classifier("weights.pt")
    found = classifier(torch.from_numpy(frames)[None], torch.tensor([5])).detach().numpy()
    np.testing.assert_allclose(found[0], net(frames), atol=1e-5)


def nested(path: Path) -> None:
    torch.save({"net": state(), "step": 3, "optimizer": {"state": {}, "groups": []}}, path)


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({n: tensor.numpy() for n, tensor in state().items()}))


def numpy_arrays(path: Path) -> None:
    torch.save({name: tensor.numpy() for name, tensor in state().items()}, path)


def sparse(path: Path) -> None:
    torch.save({"fc.weight": torch.eye(3).to_sparse()}, path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (nested, r"^net holds a state dict under 'net': save the one"),
        (sparse, "is a torch.sparse_coo tensor"),
        (whole, "it asks for"),
        (numpy_arrays, r"is a numpy array, not a tensor"),
    ],
)
def test_snippets_name_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "net")
    with pytest.raises(CheckpointError, match=words) as caught:
        import_model(tmp_path / "net")
    exec(caught.value.snippet, {})
    made = tmp_path / "weights.pt"
    assert "fc.weight" in import_model(made).state_dict


def test_a_pickle_of_another_program_has_a_mend(tmp_path: Path) -> None:
    pickled(tmp_path / "net.pkl")
    with pytest.raises(CheckpointError, match="was written by another program") as caught:
        import_model(tmp_path / "net.pkl")
    assert "joblib.load('net.pkl')  # runs code" in caught.value.snippet


@pytest.mark.parametrize("given", ["m-00001-of-00002.safetensors", "m.safetensors.index.json"])
def test_parts_of_a_state_dict_are_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, start in ((1, "rnn"), (2, "fc")):
        part = {name: tensor for name, tensor in state().items() if name.startswith(start)}
        safetensors.torch.save_file(part, f"m-0000{number}-of-00002.safetensors")
    Path("m.safetensors.index.json").write_text('{"weight_map": {}}')
    with pytest.raises(
        CheckpointError, match=r"(part 1 of 2|the index).*: put the parts"
    ) as caught:
        import_model(given)
    exec(caught.value.snippet, {})
    assert load_network("weights.safetensors").head is not None


def test_names_that_cannot_be_printed_are_refused(tmp_path: Path) -> None:
    torch.save({"a\n\x1b[31m.weight": torch.ones(2, 2)}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match=r"^'a\\n\\x1b\[31m.weight' is a name with char"):
        import_model(tmp_path / "c.pt")


WRAPPED: dict[str, Any] = {
    "compile": lambda net: torch.compile(net).state_dict(),  # type: ignore[attr-defined]
    "DDP": lambda net: {f"module.{n}": t for n, t in net.state_dict().items()},
    "Lightning": lambda net: {
        "epoch": 3,
        "pytorch-lightning_version": "2.1",
        "state_dict": {f"model.{n}": t for n, t in net.state_dict().items()},
        "hyper_parameters": {"lr": 0.1},
    },
    "averaged": lambda net: torch.optim.swa_utils.AveragedModel(net).state_dict(),
    "metadata": lambda net: dict(net.state_dict()) | {"_metadata": {"": {"version": 1}}},
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_wrappers_of_the_module_are_read(tmp_path: Path, wrapper: str) -> None:
    torch.save(WRAPPED[wrapper](Net()), tmp_path / "c.pt")
    found = load_network(tmp_path / "c.pt")
    assert found.head is not None
    assert (found.recurrent.input_size, found.recurrent.hidden_size) == (4, 8)
    assert any("AveragedModel" in note for note in found.imported.notes) == (wrapper == "averaged")


def test_an_average_tells_of_how_many(tmp_path: Path) -> None:
    average = torch.optim.swa_utils.AveragedModel(net := Net())
    for _ in range(2):
        average.update_parameters(net)
    torch.save(average.state_dict(), tmp_path / "c.pt")
    assert import_model(tmp_path / "c.pt").notes == (
        "weights of an AveragedModel, the average of 2",
    )


def test_two_state_dicts_are_named(tmp_path: Path) -> None:
    torch.save({"model": state(), "state_dict": state()}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="state dicts under 'model', 'state_dict'"):
        import_model(tmp_path / "c.pt")


@pytest.mark.parametrize("beside", [False, True])
def test_weight_drop_is_named_and_its_mend_works(tmp_path: Path, beside: bool) -> None:
    tensors = state()
    tensors["rnn.weight_hh_l0_raw"] = tensors["rnn.weight_hh_l0"]
    if beside:  # the dropped copy, whose zeros are no pruning
        tensors["rnn.weight_hh_l0"] = nn.functional.dropout(tensors["rnn.weight_hh_l0"])
    else:
        del tensors["rnn.weight_hh_l0"]
    torch.save(tensors, tmp_path / "c.pt")
    with pytest.raises(UnsupportedLayerError, match="weight drop") as caught:
        import_model(tmp_path / "c.pt")
    exec(str(caught.value).rpartition(": ")[2], {"state": tensors})
    torch.save(tensors, tmp_path / "c.pt")
    found = import_model(tmp_path / "c.pt").state_dict
    assert torch.equal(found["rnn.weight_hh_l0"], state()["rnn.weight_hh_l0"])


def test_spectral_normalisation_is_no_pruning(tmp_path: Path) -> None:
    module = nn.utils.spectral_norm(nn.Linear(8, 3))
    torch.save(module.state_dict(), tmp_path / "c.pt")
    with pytest.raises(UnsupportedLayerError, match="weight_orig: spectral normalisation; call"):
        import_model(tmp_path / "c.pt")


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
