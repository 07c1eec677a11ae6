import contextlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from pruning.checkpoint import CheckpointError, load_lstm, save_weights
from pruning.pruner import BankBalancedPruner, Target
from pruning.sequence import SequenceClassifier
from pruning.supported import UnsupportedLayerError


def state(prefix: str = "", bias: bool = True, **options: Any) -> dict[str, Tensor]:
    torch.manual_seed(0)
    layer = nn.LSTM(6, 8, bias=bias, **options)
    return {prefix + name: tensor for name, tensor in layer.state_dict().items()}


def write(path: Path, tensors: dict[str, Tensor]) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
@pytest.mark.parametrize("prefix", ["", "lstm.", "net.rnn."])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_and_prefix(tmp_path: Path, name: str, prefix: str, bias: bool) -> None:
    tensors = state(prefix, bias)
    found = load_lstm(write(tmp_path / name, tensors))
    assert (found.lstm_prefix, found.head, found.head_name) == (prefix, None, "")
    loaded = found.lstm.state_dict()
    assert set(loaded) == {key.removeprefix(prefix) for key in tensors}
    assert all(torch.equal(loaded[key.removeprefix(prefix)], t) for key, t in tensors.items())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ["fc", "head", "net.out"])
def test_head(tmp_path: Path, name: str, bias: bool) -> None:
    linear = nn.Linear(8, 3, bias=bias)
    tensors = state("lstm.") | {f"{name}.{key}": t for key, t in linear.state_dict().items()}
    found = load_lstm(write(tmp_path / "m.pt", tensors))
    assert found.head is not None
    assert found.head_name == f"{name}.weight"
    assert torch.equal(found.head.weight, linear.weight)
    assert (found.head.bias is not None) == bias


def test_classifier_round_trip(tmp_path: Path) -> None:
    model = SequenceClassifier(6, 8, 3)
    save_weights(tmp_path / "m.safetensors", model)
    found = load_lstm(tmp_path / "m.safetensors")
    frames = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.lstm(frames)[0], model.lstm(frames)[0])
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    tensors = {name: tensor.half() for name, tensor in state().items()}
    assert load_lstm(write(tmp_path / "m.pt", tensors)).lstm.weight_hh_l0.dtype == torch.float32


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.write_text, (self.target, "executed")


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".pkl", ".safetensors"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("plain", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path, suffix: str, plain: bool) -> None:
    target, path = tmp_path / "executed", tmp_path / f"evil{suffix}"
    tensors = state() | {"evil": Payload(target)}
    if plain:
        path.write_bytes(pickle.dumps(tensors))
    else:
        torch.save(tensors, path)
    with pytest.raises(CheckpointError, match=r"not unpickled as it could run code: save it with"):
        load_lstm(path)
    assert not target.exists()
    # The payload does work where pickles are trusted, so the test could fail.
    with contextlib.suppress(RuntimeError):
        torch.load(path.rename(tmp_path / "trusted.pt"), weights_only=False)
    assert target.read_text() == "executed"


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.LSTM(6, 8), tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"torch\.save\(model\.state_dict\(\), path\)"):
        load_lstm(tmp_path / "m.pt")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_files(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        load_lstm(path)


def test_a_truncated_file(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt", state())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="is no plain state dict"):
        load_lstm(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.pt is no file: give a"):
        load_lstm(tmp_path / "nothing.pt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"proj_size": 4}, "tensor lstm.weight_hr_l0: a projection; train with proj_size=0"),
        (
            {"bidirectional": True},
            "tensor lstm.weight_ih_l0_reverse: the reverse .*bidirectional=F",
        ),
        ({"num_layers": 2}, "tensor lstm.weight_ih_l1: a further layer; .*num_layers=1"),
    ],
)
def test_unsupported_tensors(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "m.pt", state("lstm.", **options))
    with pytest.raises(UnsupportedLayerError, match=message):
        load_lstm(path)


@pytest.mark.parametrize(("cell", "gates"), [("GRU", 3), ("RNN", 1)])
def test_other_cells(tmp_path: Path, cell: str, gates: int) -> None:
    path = write(tmp_path / "m.pt", getattr(nn, cell)(6, 8).state_dict())
    with pytest.raises(UnsupportedLayerError, match=f"has {gates} gates a unit .nn.{cell}"):
        load_lstm(path)


def test_a_pruned_module_is_sent_to_squash(tmp_path: Path) -> None:
    module = nn.LSTM(6, 8)
    BankBalancedPruner(module, {"weight_hh_l0": Target(4, 0.5)})
    path = write(tmp_path / "m.pt", module.state_dict())
    with pytest.raises(
        UnsupportedLayerError, match=r"parametrised layer; save the module .*squash"
    ):
        load_lstm(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": 3}, "holds 'epoch' of type int, not a tensor: save model.state_dict"),
        ({"a.weight_ih_l0": torch.zeros(1)}, "2 tensors named weight_ih_l0"),
        ({"embedding": torch.zeros(4, 6)}, "beside the LSTM: embedding. Only one linear layer"),
        ({"x.weight": torch.zeros(4, 6)}, "beside the LSTM: x.weight. Only one .*8 columns"),
        (
            {"a.weight": torch.zeros(3, 8), "b.weight": torch.zeros(3, 8)},
            "beside the LSTM: a.weight, b.weight. Only one",
        ),
        (
            {"a.weight": torch.zeros(3, 8), "a.bias": torch.zeros(4)},
            r"bias of a.weight has shape \(4,\): it must be \(3,\)",
        ),
        ({"weight_ih_l0": torch.zeros(31, 6)}, r"weight_ih_l0 of shape \(31, 6\).*\(32, 6\)"),
        ({"weight_hh_l0": torch.zeros(32, 8, dtype=torch.int8)}, "weight_hh_l0 .*int8.* floats"),
        ({"bias_hh_l0": torch.zeros(5)}, r"bias_hh_l0 of shape \(5,\).*\(32,\)"),
    ],
)
def test_tensors_that_do_not_fit(tmp_path: Path, change: dict[str, Tensor], message: str) -> None:
    path = write(tmp_path / "m.pt", state() | change)
    with pytest.raises(CheckpointError, match=message):
        load_lstm(path)


@pytest.mark.parametrize("missing", ["weight_hh_l0", "bias_hh_l0", "bias_ih_l0"])
def test_a_missing_tensor(tmp_path: Path, missing: str) -> None:
    tensors = state()
    del tensors[missing]
    with pytest.raises(CheckpointError, match=r"LSTM '' has only .*: it needs weight_ih_l0 and"):
        load_lstm(write(tmp_path / "m.pt", tensors))


def test_no_lstm_at_all(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt", {"fc.weight": torch.zeros(3, 8)})
    with pytest.raises(CheckpointError, match=r"0 tensors named weight_ih_l0 .found: fc.weight"):
        load_lstm(path)


def test_not_a_state_dict(tmp_path: Path) -> None:
    torch.save([torch.zeros(3)], tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"holds a list: save model.state_dict"):
        load_lstm(tmp_path / "m.pt")


def pruned(path: Path, keep: bool = True) -> tuple[SequenceClassifier, dict[str, Tensor]]:
    """A checkpoint with masks and metadata; ``keep`` false leaves a removed weight in it."""
    model = SequenceClassifier(6, 8, 3)
    name = "lstm.weight_hh_l0"
    mask = torch.arange(32 * 8).reshape(32, 8) % 2 == 0
    with torch.no_grad():
        weight = model.get_parameter(name)
        weight.mul_(mask)
        weight[0, 0] = 0  # kept, though it is zero
        if not keep:
            weight[0, 1] = 0.5
    save_weights(path, model, {name: mask}, {"note": "text"})
    return model, {name: mask}


def test_masks_and_metadata_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model, masks = pruned(path)
    found = load_lstm(path)
    assert set(found.masks) == {"weight_hh_l0"}
    assert torch.equal(found.masks["weight_hh_l0"], masks["lstm.weight_hh_l0"])
    assert found.metadata == {"note": "text"}
    name = "weight_hh_l0"
    assert torch.equal(found.lstm.get_parameter(name), model.lstm.get_parameter(name))
    again = tmp_path / "again.safetensors"
    pruned(again)
    assert again.read_bytes() == path.read_bytes()


def test_other_formats_have_no_metadata(tmp_path: Path) -> None:
    assert load_lstm(write(tmp_path / "m.pt", state())).metadata == {}


def test_a_weight_outside_its_mask_is_refused(tmp_path: Path) -> None:
    pruned(tmp_path / "m.safetensors", keep=False)
    with pytest.raises(CheckpointError, match=r"weight_hh_l0\.mask: a weight outside the mask is"):
        load_lstm(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("weight_hh_l0.mask", (8, 8), r"has shape \(8, 8\), its weight \(32, 8\): remove the mask"),
        ("weight_xx.mask", (32, 8), r"has shape \(32, 8\), its weight None"),
    ],
)
def test_a_mask_of_nothing_is_refused(
    tmp_path: Path, name: str, shape: tuple[int, ...], message: str
) -> None:
    path = write(tmp_path / "m.safetensors", state() | {name: torch.ones(shape, dtype=torch.bool)})
    with pytest.raises(CheckpointError, match=message):
        load_lstm(path)
