import contextlib
import pickle
import tempfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from pruning.files.network import Classifier, Network, load_network
from pruning.importers.checkpoint import CheckpointError, UnsupportedLayerError, save_weights
from pruning.tasks.networks.sequence import SequenceClassifier


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
    found = load_network(write(tmp_path / name, tensors))
    assert found.names == {f"recurrent.{key.removeprefix(prefix)}": key for key in tensors}
    assert (found.head, found.has_integers) == (None, True)
    loaded = found.packable().state_dict()
    assert set(loaded) == {key.removeprefix(prefix) for key in tensors}
    assert all(torch.equal(loaded[key.removeprefix(prefix)], t) for key, t in tensors.items())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ["fc", "head", "net.out"])
def test_head(tmp_path: Path, name: str, bias: bool) -> None:
    linear = nn.Linear(8, 3, bias=bias)
    tensors = state("lstm.") | {f"{name}.{key}": t for key, t in linear.state_dict().items()}
    found = load_network(write(tmp_path / "m.pt", tensors))
    assert isinstance(found.head, nn.Linear)
    assert found.names["head.weight"] == f"{name}.weight"
    assert torch.equal(found.head.weight, linear.weight)
    assert (found.head.bias is not None) == bias


def test_classifier_round_trip(tmp_path: Path) -> None:
    model = SequenceClassifier(6, 8, 3)
    save_weights(tmp_path / "m.safetensors", model)
    found = load_network(tmp_path / "m.safetensors")
    frames = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.packable()(frames)[0], model.lstm(frames)[0])
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    tensors = {name: tensor.half() for name, tensor in state().items()}
    assert (
        load_network(write(tmp_path / "m.pt", tensors)).packable().weight_hh_l0.dtype
        == torch.float32
    )


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
    with pytest.raises(CheckpointError, match=r"not unpickled as it could run code: save"):
        load_network(path)
    assert not target.exists()
    # The payload does work where pickles are trusted, so the test could fail.
    with contextlib.suppress(RuntimeError):
        torch.load(path.rename(tmp_path / "trusted.pt"), weights_only=False)
    assert target.read_text() == "executed"


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.LSTM(6, 8), tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"save model\.state_dict\(\) with torch\.save"):
        load_network(tmp_path / "m.pt")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_files(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        load_network(path)


def test_a_truncated_file(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt", state())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="is no plain state dict"):
        load_network(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.pt is no file: give a"):
        load_network(tmp_path / "nothing.pt")


OPTIONS = [
    {"num_layers": 2},
    {"bidirectional": True},
    {"proj_size": 4},
    {"num_layers": 2, "bidirectional": True, "proj_size": 3, "bias": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_is_read_off_the_tensors(tmp_path: Path, options: dict[str, Any]) -> None:
    layer = nn.LSTM(6, 8, **options)
    found = load_network(write(tmp_path / "m.pt", layer.state_dict())).packable()
    assert str(found) == str(layer)
    frames = torch.randn(5, 2, 6)
    assert torch.equal(found(frames)[0], layer(frames)[0])


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_a_gru_is_read(tmp_path: Path, options: dict[str, Any]) -> None:
    layer = nn.GRU(6, 8, **options)
    found = load_network(write(tmp_path / "m.pt", layer.state_dict()))
    frames = torch.randn(5, 2, 6)
    assert torch.equal(found.packable()(frames)[0], layer(frames)[0])


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell])
def test_a_cell_is_a_module_of_one_layer(tmp_path: Path, kind: type[nn.LSTMCell]) -> None:
    cell = kind(6, 8)
    tensors = {f"cell.{name}": tensor for name, tensor in cell.state_dict().items()}
    found = load_network(write(tmp_path / "m.pt", tensors))
    assert found.cell
    assert found.names["recurrent.weight_ih_l0"] == "cell.weight_ih"
    frame = torch.randn(2, 6)
    step = cell(frame)
    output = step[0] if isinstance(step, tuple) else step
    assert torch.allclose(found.recurrent(frame[None])[0][0], output)
    with pytest.raises(UnsupportedLayerError, match=f"nn.{kind.__name__}: .*--matrices, or "):
        found.packable()


def test_random_numbers_are_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt", state() | nn.Linear(8, 2).state_dict())
    before = torch.get_rng_state()
    load_network(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_rnn_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt", nn.RNN(6, 8).state_dict())
    with pytest.raises(UnsupportedLayerError, match=r"has 1 gate a unit .nn.RNN.: train torch"):
        load_network(path)


def network(**options: Any) -> Network:
    layer = nn.LSTM(6, 8, **options)
    width = (layer.proj_size or 8) * (1 + layer.bidirectional)
    tensors = layer.state_dict() | {
        f"head.{n}": t for n, t in nn.Linear(width, 3).state_dict().items()
    }
    with tempfile.TemporaryDirectory() as folder:
        return load_network(write(Path(folder, "m.pt"), tensors))


@pytest.mark.parametrize("options", [{}, *OPTIONS], ids=str)
def test_padding_does_not_change_logits(options: dict[str, Any]) -> None:
    model = network(**options).classifier("m.pt")
    frames, lengths = torch.randn(3, 7, 6), torch.tensor([7, 2, 5])
    together = model(frames, lengths)
    for number, length in enumerate(lengths.tolist()):
        alone = frames[number : number + 1, :length]
        outputs = model.recurrent(alone)[0]
        assert torch.allclose(together[number], model.head(outputs[0, -1]), atol=1e-6)


def test_without_a_head_there_is_no_classifier(tmp_path: Path) -> None:
    found = load_network(write(tmp_path / "m.pt", state()))
    with pytest.raises(CheckpointError, match=r"m\.pt has no linear layer on the hidden state"):
        found.classifier("m.pt")


def test_a_classifier_is_batch_first() -> None:
    assert Classifier(nn.LSTM(6, 8), nn.Linear(8, 3)).recurrent.batch_first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": 3}, "'epoch' is a int, not a tensor: save model.state_dict"),
        ({"a.weight_ih_l0": torch.zeros(1)}, r"2 recurrent modules .weight_ih..., a.weight_ih"),
        ({"weight_ih_l2": torch.zeros(32, 8)}, "lacks weight_ih_l1, .*and has weight_ih_l2 too"),
        ({"weight_hr_l0": torch.zeros(9, 8)}, "weight_hr_l0 projects 8 units .* to 9"),
        ({"weight_ih_l0": torch.zeros(32, 0)}, r"weight_ih_l0 of shape \(32, 0\): .* a matrix"),
        ({"weight_hh_l0": torch.zeros(16, 8)}, "weight_hh_l0 .*an LSTM needs 32 rows, a GRU 24"),
        ({"embedding": torch.zeros(4, 6)}, "beside the LSTM: embedding. Only one"),
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
        load_network(path)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("weight_hh_l0", "has only .*: it needs weight_ih_l0 and weight_hh_l0"),
        ("bias_hh_l0", "lacks bias_hh_l0 and has nothing too much for LSTM"),
        ("bias_ih_l0", "lacks bias_ih_l0 and"),
    ],
)
def test_a_missing_tensor(tmp_path: Path, missing: str, message: str) -> None:
    tensors = state()
    del tensors[missing]
    with pytest.raises(CheckpointError, match=f"recurrent module '' {message}"):
        load_network(write(tmp_path / "m.pt", tensors))


def test_no_recurrent_module_at_all(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt", {"fc.weight": torch.zeros(3, 8)})
    with pytest.raises(CheckpointError, match=r"0 recurrent modules .found: fc.weight"):
        load_network(path)


def test_masks_alone(tmp_path: Path) -> None:
    torch.save({"lstm": {"weight_hh_l0": torch.ones(32, 8)}}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"m\.pt holds masks alone: give the weights first"):
        load_network(tmp_path / "m.pt")


def test_not_a_state_dict(tmp_path: Path) -> None:
    torch.save([torch.zeros(3)], tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"holds a list: save model.state_dict"):
        load_network(tmp_path / "m.pt")


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
    found = load_network(path)
    assert set(found.masks) == {"weight_hh_l0"}
    assert torch.equal(found.masks["weight_hh_l0"], masks["lstm.weight_hh_l0"])
    assert found.imported.metadata == {"note": "text"}
    name = "weight_hh_l0"
    assert torch.equal(found.packable().get_parameter(name), model.lstm.get_parameter(name))
    again = tmp_path / "again.safetensors"
    pruned(again)
    assert again.read_bytes() == path.read_bytes()


def test_other_formats_have_no_metadata(tmp_path: Path) -> None:
    assert load_network(write(tmp_path / "m.pt", state())).imported.metadata == {}


def test_a_weight_outside_its_mask_is_refused(tmp_path: Path) -> None:
    pruned(tmp_path / "m.safetensors", keep=False)
    with pytest.raises(
        CheckpointError, match=r"lstm.weight_hh_l0 is 0.5 at \(0, 1\), outside its mask"
    ):
        load_network(tmp_path / "m.safetensors")


def test_a_mask_of_another_shape(tmp_path: Path) -> None:
    tensors = state() | {"weight_hh_l0.mask": torch.ones((8, 8), dtype=torch.bool)}
    with pytest.raises(CheckpointError, match=r"shape \(8, 8\), its weight \(32, 8\)"):
        load_network(write(tmp_path / "m.safetensors", tensors))


def test_a_mask_of_nothing(tmp_path: Path) -> None:
    tensors = state() | {"weight_xx.mask": torch.ones((32, 8), dtype=torch.bool)}
    with pytest.raises(CheckpointError, match=r"beside the LSTM: weight_xx.mask. Only one"):
        load_network(write(tmp_path / "m.safetensors", tensors))
