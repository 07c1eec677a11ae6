"""Whatever is wrong with what a user gives: one line, status 2, and nothing written."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import Tensor, nn

from csb_format import FORMAT_VERSION
from pruning.tasks.data.datasets import load_sequences
from sparseflow.steps import reading

if TYPE_CHECKING:
    from tests.sparseflow.conftest import Chain

Refused = Callable[..., None]
ARRAY = ("--pes", 4, "--lanes", 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where commands of a test write."""
    made = tmp_path / "out"
    made.mkdir()
    return made


@pytest.fixture
def refused(run: Callable[..., int], folder: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail on one line, naming some words, and leave nothing behind.

    After the error may stand Python that mends it.
    """

    def check(command: tuple[object, ...], *words: str) -> None:
        before = sorted(folder.parent.rglob("*"))
        assert run(*command) == 2
        shown = capsys.readouterr()
        lines = shown.err.splitlines()
        assert lines[0].startswith("error: ")
        assert [line for line in lines[1:] if not line.startswith("    ")] == []
        assert len(lines) <= 6
        assert [word for word in words if word not in shown.err] == [], shown.err
        assert sorted(folder.parent.rglob("*")) == before
        assert shown.out == ""

    return check


def truncated(content: bytes) -> bytes:
    return content[:-7]


def flipped(content: bytes) -> bytes:
    return content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]


@pytest.mark.parametrize("damage", [truncated, flipped, lambda content: b"", lambda c: b"text"])
@pytest.mark.parametrize("command", ["verilog", "simulate"])
def test_damaged_model(
    refused: Refused,
    chain: Chain,
    folder: Path,
    damage: Callable[[bytes], bytes],
    command: str,
) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(damage(chain.model.read_bytes()))
    options = {
        "verilog": ("--out", folder / "v"),
        "simulate": ("--data", chain.data, "--build", folder / "b"),
    }
    refused((command, path, *options[command], *ARRAY), "model.safetensors: ")


def test_model_of_a_newer_version(refused: Refused, chain: Chain, folder: Path) -> None:
    path = folder / "model.safetensors"
    content = chain.model.read_bytes()
    with safetensors.safe_open(chain.model, "np") as file:
        header = json.loads(file.metadata()["sparseflow"])
    header["format_version"] = FORMAT_VERSION + 1
    tensors = safetensors.numpy.load(content)
    safetensors.numpy.save_file(tensors, path, {"sparseflow": json.dumps(header)})
    command = ("verilog", path, "--out", folder / "v")
    refused(command, f"format version {FORMAT_VERSION + 1} is newer", "upgrade Sparseflow")


def test_missing_files(refused: Refused, chain: Chain, folder: Path) -> None:
    refused(("verilog", folder / "none", "--out", folder / "v"), "No such file", "none")
    refused(("report", folder, "--out", folder / "r"), "run `sparseflow simulate` first")
    command = ("pack", chain.pruned, "--calibration", folder / "none", "--out", folder / "m")
    refused(command, "none: No such file")
    command = ("prune", folder / "none", "--data", chain.data, "--out", folder / "p")
    refused(command, "none is no file")


@pytest.mark.parametrize("text", ["{", "[]"])
def test_damaged_figures(refused: Refused, folder: Path, text: str) -> None:
    (folder / "figures.json").write_text(text)
    refused(("report", folder, "--out", folder / "r"), "figures.json", "simulate again")


def test_figures_of_an_older_release(refused: Refused, folder: Path) -> None:
    (folder / "figures.json").write_text("{}")
    command = ("report", folder, "--out", folder / "r")
    refused(command, "lacks 'accuracy'", "run the step that measures it again")


def checkpoint(chain: Chain, path: Path, change: Callable[[dict[str, Tensor]], None]) -> Path:
    tensors = {name: tensor.clone() for name, tensor in torch.load(chain.dense).items()}
    change(tensors)
    torch.save(tensors, path)
    return path


def steps(path: Path, chain: Chain, folder: Path) -> dict[str, tuple[object, ...]]:
    """Commands that read a checkpoint."""
    out = ("--out", folder / "o.safetensors")
    banks = ("--banks", 4)
    return {
        "prune": ("prune", path, "--data", chain.data, *out, *banks, "--epochs", 1),
        "pack": ("pack", path, "--calibration", chain.data, *out, *banks),
    }


@pytest.mark.parametrize("step", ["prune", "pack"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["net.rnn.weight_hh_l0", "net.out.weight"])
def test_checkpoint_that_is_not_finite(
    refused: Refused, chain: Chain, folder: Path, step: str, value: float, name: str
) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors[name][1, 2] = value

    path = checkpoint(chain, folder / "c.pt", spoil)
    refused(steps(path, chain, folder)[step], "weight", "train to finite weights")


@pytest.mark.parametrize("step", ["prune", "pack"])
def test_unsupported_network(refused: Refused, chain: Chain, folder: Path, step: str) -> None:
    torch.save(nn.RNN(5, 16).state_dict(), folder / "c.pt")
    command = steps(folder / "c.pt", chain, folder)[step]
    refused(command, "weight_hh_l0", "nn.RNN", "train torch.nn.LSTM")
    two = {f"{n}.{k}": t for n in "ab" for k, t in nn.LSTM(5, 16).state_dict().items()}
    torch.save(two, folder / "c.pt")
    refused(command, "2 recurrent modules (a.weight_ih..., b.", "--matrices")


@pytest.mark.parametrize("layer", [nn.GRUCell(5, 16), nn.LSTMCell(5, 16)], ids=["GRU", "LSTM"])
def test_network_that_has_no_integers(
    refused: Refused, chain: Chain, folder: Path, layer: nn.Module
) -> None:
    torch.save(layer.state_dict(), folder / "c.pt")
    words = (f"nn.{type(layer).__name__}", "with --matrices, or")
    refused(steps(folder / "c.pt", chain, folder)["pack"], *words)


def test_unbalanced_network(refused: Refused, chain: Chain, folder: Path) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors["net.rnn.weight_hh_l0"][7, 9] = 0

    path = checkpoint(chain, folder / "c.pt", spoil)
    refused(steps(path, chain, folder)["pack"], "weight_hh_l0", "row 7", "bank 2")


def test_network_without_weights(refused: Refused, chain: Chain, folder: Path) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        for name in ("weight_ih_l0", "weight_hh_l0"):
            tensors[f"net.rnn.{name}"].zero_()

    path = checkpoint(chain, folder / "c.pt", spoil)
    refused(steps(path, chain, folder)["pack"], "no weight is left")


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.write_text, (self.target, "executed")


@pytest.mark.parametrize("step", ["prune", "pack"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_checkpoint_is_not_run(
    refused: Refused, chain: Chain, folder: Path, step: str
) -> None:
    target, path = folder / "executed", folder / "c.pt"
    path.write_bytes(pickle.dumps({"weight_ih_l0": Payload(target)}))
    refused(steps(path, chain, folder)[step], "is not unpickled as it could run code")
    assert not target.exists()


def test_damaged_notes_in_a_checkpoint(refused: Refused, chain: Chain, folder: Path) -> None:
    tensors = safetensors.numpy.load_file(chain.pruned)
    for text, word in (
        ("{", "damaged metadata"),
        ("[]", "is no object"),
        ('{"banks": "8"}', "names ['8'] banks: prune again"),
        ('{"layout": {"a": {"width": 0}}}', "names [0] banks: prune again"),
        ('{"banks": true}', "names [True] banks: prune again"),
        ('{"banks": NaN}', "damaged metadata: prune again"),
        ('{"banks": ' + "9" * 5000 + "}", "damaged metadata: prune again"),
        ("[" * 100_000, "damaged metadata: prune again"),
        ('{"layout": 3}', "layout of something else: prune again"),
        ('{"layout": {"a": {"other": 1}}}', "layout of something else: prune again"),
        ('{"layout": {"a": {"sparsity": "x"}}}', "layout of something else: prune again"),
    ):
        path = folder / "c.safetensors"
        safetensors.numpy.save_file(tensors, path, {reading.METADATA: text})
        refused(steps(path, chain, folder)["pack"], "c.safetensors", word)


@pytest.mark.parametrize("step", ["prune", "pack"])
def test_more_banks_than_there_can_be(
    refused: Refused, chain: Chain, folder: Path, step: str
) -> None:
    refused((*steps(chain.dense, chain, folder)[step], "--banks", 65), "banks", "65", "64")


@pytest.mark.parametrize("step", ["verilog", "simulate", "demo"])
def test_lanes_that_do_not_divide_the_banks(
    refused: Refused, chain: Chain, folder: Path, step: str
) -> None:
    commands: dict[str, tuple[object, ...]] = {
        "verilog": ("verilog", chain.model, "--out", folder / "v"),
        "simulate": ("simulate", chain.model, "--data", chain.data, "--build", folder / "b"),
        "demo": ("demo", "--out", folder / "d"),
    }
    refused((*commands[step], "--lanes", 3), "lanes = 3", "divi")


def data(chain: Chain, path: Path, **change: Any) -> Path:
    """The data with other arrays; None leaves one out."""
    with np.load(chain.data) as file:
        arrays = {**file, **change}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def readers(path: Path, chain: Chain, folder: Path) -> dict[str, tuple[object, ...]]:
    """Commands that read data."""
    out = ("--out", folder / "o.safetensors")
    build = ("--build", folder / "b", "--simulator", "icarus", *ARRAY)
    return {
        "prune": ("prune", chain.dense, "--data", path, *out, "--banks", 4, "--epochs", 1),
        "pack": ("pack", chain.pruned, "--calibration", path, *out),
        "simulate": ("simulate", chain.model, "--data", path, *build),
    }


@pytest.mark.parametrize("step", ["prune", "pack", "simulate"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frames": np.zeros((30, 7), np.float32), "lengths": np.full(6, 5)}, ("7",)),
        ({"frames": np.full((30, 5), np.nan), "lengths": np.full(6, 5)}, ("d.npz", "NaN")),
        ({"frames": None}, ("d.npz", "frames (all frames, X)")),
        ({"lengths": np.array([1, 2])}, ("d.npz", "lengths sum to 3")),
        ({"labels": np.zeros(2, np.int64)}, ("d.npz", "6 sequences and 2 labels")),
        ({"labels": np.zeros((6, 1), np.int64)}, ("d.npz", "labels of shape (6, 1)")),
        ({"labels": np.full(6, -1)}, ("d.npz", "lowest -1")),
    ],
    ids=["width", "NaN", "frames", "lengths", "count", "shape", "negative"],
)
def test_data_that_does_not_fit(
    refused: Refused,
    chain: Chain,
    folder: Path,
    step: str,
    change: dict[str, Any],
    words: tuple[str, ...],
) -> None:
    path = data(chain, folder / "d.npz", **change)
    refused(readers(path, chain, folder)[step], *words)


@pytest.mark.parametrize("step", ["prune", "pack", "simulate"])
@pytest.mark.parametrize("content", [b"", b"1,2,3\n", b"PK\x03\x04 cut"])
def test_data_that_is_no_npz(
    refused: Refused, chain: Chain, folder: Path, step: str, content: bytes
) -> None:
    (folder / "d.npz").write_bytes(content)
    refused(readers(folder / "d.npz", chain, folder)[step], "d.npz", "give an .npz file")


def test_damaged_compressed_data(refused: Refused, chain: Chain, folder: Path) -> None:
    sequences = load_sequences(chain.data)
    lengths = [len(sequence) for sequence in sequences.sequences]
    frames = np.concatenate(sequences.sequences)
    path = folder / "d.npz"
    np.savez_compressed(path, frames=frames, lengths=lengths, labels=sequences.labels)
    content = bytearray(path.read_bytes())
    content[120:140] = b"\xff" * 20
    path.write_bytes(content)
    refused(readers(path, chain, folder)["simulate"], "d.npz")


def test_fine_tuning_needs_labels(refused: Refused, chain: Chain, folder: Path) -> None:
    path = data(chain, folder / "d.npz", labels=None)
    refused(readers(path, chain, folder)["prune"], "fine-tuning needs labels", "d.npz")
    floats = ("--dense", chain.dense, "--pruned", chain.pruned)
    refused((*readers(path, chain, folder)["simulate"], *floats), "the data has no labels")


def test_labels_beyond_the_classes(refused: Refused, chain: Chain, folder: Path) -> None:
    path = data(chain, folder / "d.npz", labels=np.arange(6))
    refused(readers(path, chain, folder)["prune"], "knows 3 classes", "labels up to 5")


def test_one_frame_is_no_step(refused: Refused, chain: Chain, folder: Path) -> None:
    one = {"frames": np.zeros((1, 5), np.float32), "lengths": np.ones(1, np.int64)}
    path = data(chain, folder / "d.npz", **one, labels=np.zeros(1, np.int64))
    refused(readers(path, chain, folder)["simulate"], "1 frame", "give two at least")


@pytest.mark.parametrize("step", ["simulate", "demo"])
def test_missing_simulator_names_the_install_command(
    refused: Refused, chain: Chain, folder: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = folder.parent / "bin"
    tools.mkdir()
    for tool in ("g++", "make", "perl"):
        found = shutil.which(tool)
        assert found, f"{tool} is needed for this test: apt-get install {tool}"
        (tools / tool).symlink_to(found)
    monkeypatch.setenv("PATH", str(tools))
    commands = {
        "simulate": readers(chain.data, chain, folder)["simulate"],
        "demo": ("demo", "--out", folder / "d"),
    }
    refused(commands[step], "iverilog not found", "apt-get install iverilog")


@pytest.mark.parametrize(
    "command", ["prune", "pack", "verilog", "simulate", "report", "demo", "data"]
)
def test_out_where_nothing_can_be_written(
    refused: Refused, chain: Chain, folder: Path, command: str
) -> None:
    (folder / "file").write_text("")
    out = folder / "file" / "deep" / "out"
    commands: dict[str, tuple[object, ...]] = {
        "prune": ("prune", chain.dense, "--data", chain.data, "--out", out),
        "pack": ("pack", chain.pruned, "--calibration", chain.data, "--out", out),
        "verilog": ("verilog", chain.model, "--out", out, *ARRAY),
        "simulate": ("simulate", chain.model, "--data", chain.data, "--build", out, *ARRAY),
        "report": ("report", folder, "--out", out),
        "demo": ("demo", "--out", out),
        "data": ("data", "japanese-vowels", "--out", out),
    }
    refused(commands[command], "file: is a file, not a folder: give another place")


@pytest.mark.parametrize("command", ["prune", "pack"])
def test_out_that_is_a_folder(refused: Refused, chain: Chain, folder: Path, command: str) -> None:
    commands: dict[str, tuple[object, ...]] = {
        "prune": ("prune", chain.dense, "--data", chain.data, "--out", folder),
        "pack": ("pack", chain.pruned, "--calibration", chain.data, "--out", folder),
    }
    refused(commands[command], "is a folder: name a file in it")
