"""Every network that `prune` and `pack` take, from the user's file to integers and hardware."""

from __future__ import annotations

import json
import re
import shlex
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from compiler.array.needs import check_supported
from csb_format import Fixed, LstmLayer, load_model
from csb_format.files.matrixfile import load_matrices
from csb_format.fixed import round_rows
from csb_format.precision import Balance
from csb_format.scales import DesignError
from csb_format.screening.layer import ScreenedLayer
from engine.reference import IntegerModel
from pruning.files.network import load_network
from pruning.mask.goals import Goal, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.views import Banks
from pruning.reset_first import ResetFirstGRU
from pruning.tasks.data.datasets import SequenceData, load_sequences, save_sequences
from sparseflow.commands.prepare_commands import lanes_of
from sparseflow.pages.made import how_it_was_made as commands
from sparseflow.pages.measured import read_figures
from sparseflow.steps.training import float_answers

Run = Callable[..., int]
Text = pytest.CaptureFixture[str]
HIDDEN, CLASSES = 8, 3
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stacked": {"num_layers": 2},
    "bidirectional": {"bidirectional": True},
    "projected": {"proj_size": 4},
    "everything": {"num_layers": 2, "bidirectional": True, "proj_size": 4, "bias": False},
}


class Net(nn.Module):
    """A user's own classifier, with names of its own."""

    def __init__(self, inputs: int, kind: type[nn.LSTM | nn.GRU] = nn.LSTM, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.rnn = kind(inputs, HIDDEN, batch_first=True, **options)
        width = (self.rnn.proj_size or HIDDEN) * (1 + self.rnn.bidirectional)
        self.fc = nn.Linear(width, CLASSES)

    def forward(self, frames: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.rnn(frames)[0][:, -1])
        return logits


def sequences(inputs: int, count: int = 6) -> SequenceData:
    random = np.random.default_rng(3)
    frames = [random.normal(size=(3 + n % 2, inputs)).astype(np.float32) for n in range(count)]
    return SequenceData(tuple(frames), np.arange(count, dtype=np.int64) % CLASSES)


def composed(said: dict[str, Any], layer: LstmLayer) -> list[str]:
    """Commands that do the same as those that nobody has typed."""
    notes = {name: value for name, value in said.items() if name != "commands"}
    lines = commands.preparation(notes, layer, "m")
    assert lines[::2] == [commands.EXAMPLES] * (len(lines) // 2)
    return lines[1::2]


@dataclass(frozen=True)
class Files:
    folder: Path
    inputs: int = 12

    @property
    def data(self) -> Path:
        path = self.folder / "data.npz"
        if not path.exists():
            save_sequences(path, sequences(self.inputs))
        return path

    def saved(self, content: Any, name: str = "net.pt") -> Path:
        torch.save(content, self.folder / name)
        return self.folder / name

    def net(self, kind: str) -> Path:
        return self.saved(Net(self.inputs, **KINDS[kind]).state_dict(), f"{kind}.pt")

    def prune(self, checkpoint: Path, *options: object) -> tuple[object, ...]:
        given = ("--data", self.data, "--epochs", 2, "--banks", 4, "--sparsity", 0.5)
        return ("prune", checkpoint, *given, "--out", self.folder / "p.safetensors", *options)

    def pack(self, checkpoint: Path | None = None, *options: object) -> tuple[object, ...]:
        pruned = checkpoint or self.folder / "p.safetensors"
        given = ("--calibration", self.data, "--out", self.folder / "m.safetensors")
        return ("pack", pruned, *given, *options)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def last_states(path: Path, data: SequenceData) -> list[Any]:
    """Logits of the integer model, as reals."""
    model = load_model(path)
    head, integer = model.head, IntegerModel(model)
    assert head is not None
    traces = integer.run(integer.quantise(data.sequences))
    scale = head.weight_format.lsb * head.input.lsb
    return [head.logits(trace.output[-1]) * scale for trace in traces]


@pytest.mark.parametrize("kind", KINDS)
def test_every_lstm_from_checkpoint_to_integers(
    run: Run, files: Files, kind: str, capsys: Text
) -> None:
    dense = files.net(kind)
    assert run(*files.prune(dense, "--for", "weight_hh:sparsity=0.25")) == run(*files.pack()) == 0
    shown = capsys.readouterr().err
    assert "rnn.weight_hh_l0: 25.00% asked, " in shown
    assert re.search(r"integer +head +[\d.e-]+ +[\d.e-]+ +0\.\d\d%", shown)
    assert "saturated: nothing; " in shown
    # Under the user's own names: it loads strictly where it came from.
    found = load_network(files.folder / "p.safetensors")
    net = Net(files.inputs, **KINDS[kind])
    net.load_state_dict(found.imported.state_dict)
    data = sequences(files.inputs)
    integers = last_states(files.folder / "m.safetensors", data)
    for frames, logits in zip(data.sequences, integers, strict=True):
        reals = net(torch.from_numpy(frames)[None])[0].detach().numpy()
        assert np.abs(reals - logits).max() < 2e-3


def test_a_gru_whose_reset_comes_first_stays_one_to_its_integers(
    run: Run, files: Files, capsys: Text
) -> None:
    net = Net(files.inputs, ResetFirstGRU)
    safetensors.torch.save_file(net.state_dict(), files.folder / "gru0.safetensors")
    assert run(*files.prune(files.folder / "gru0.safetensors")) == run(*files.pack()) == 0
    shown = capsys.readouterr().err
    assert f"nn.GRU({files.inputs}, {HIDDEN}), linear_before_reset of 0; head" in shown
    net.load_state_dict(load_network(files.folder / "p.safetensors").imported.state_dict)
    data, model = sequences(files.inputs), files.folder / "m.safetensors"
    for frames, logits in zip(data.sequences, last_states(model, data), strict=True):
        reals = net(torch.from_numpy(frames)[None])[0].detach().numpy()
        assert np.abs(reals - logits).max() < 2e-3
    assert refusal(model) == ""
    assert "next: sparseflow verilog" in shown


def refusal(model: Path) -> str:
    """What the hardware does not take of a model, in its own words; empty if it takes it."""
    try:
        check_supported(load_model(model))
    except DesignError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("plain", 153),
        pytest.param("stacked", 12, marks=pytest.mark.slow),
        pytest.param("projected", 12, marks=pytest.mark.slow),
        pytest.param("bidirectional", 12, marks=pytest.mark.slow),
    ],
)
def test_what_the_hardware_takes_is_simulated_and_the_rest_named(
    run: Run, tmp_path: Path, kind: str, inputs: int, capsys: Text
) -> None:
    files, model = Files(tmp_path, inputs), tmp_path / "m.safetensors"
    assert run(*files.prune(files.net(kind))) == 0
    early = capsys.readouterr().err
    assert run(*files.pack()) == 0
    late, array = capsys.readouterr().err, ("--pes", 4, "--lanes", 4)
    if refused := refusal(model):
        # Told before training, again when it is packed, and then refused.
        assert f"note: {refused}" in early
        assert f"note: {refused}" in late
        assert "next: sparseflow verilog" not in late
        assert run("verilog", model, "--out", tmp_path / "v", *array) == 2
        assert capsys.readouterr().err == f"error: {refused}\n"
        return
    assert "note: the model" not in early
    assert f"next: sparseflow verilog {model} --out {tmp_path / 'verilog'} --lanes 4" in late
    build = tmp_path / "b"
    options = ("--data", files.data, "--build", build, "--simulator", "icarus", "--utterances", 1)
    assert run("simulate", model, *options, *array) == 0
    assert read_figures(build)["mismatches"] == 0


@pytest.mark.parametrize(("budget", "kept"), [("global", [5, 3]), ("equal", [4, 4])])
def test_matrices_share_their_weights_unless_told_otherwise(
    run: Run,
    tmp_path: Path,
    capsys: Text,
    monkeypatch: pytest.MonkeyPatch,
    budget: str,
    kept: list[int],
) -> None:
    monkeypatch.setitem(globals(), "HIDDEN", 32)
    files, net = Files(tmp_path, 32), Net(32)
    with torch.no_grad():
        net.get_parameter("rnn.weight_ih_l0").normal_(std=0.14)
        net.get_parameter("rnn.weight_hh_l0").normal_(std=0.1)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    assert run(*files.prune(tmp_path / "net.pt", "--budget", budget)) == run(*files.pack()) == 0
    model = load_model(tmp_path / "m.safetensors")
    layer = model.layers[0]
    assert [layer.weight_ih.geometry.nonzeros, layer.weight_hh.geometry.nonzeros] == kept
    said = {key: json.loads(value) for key, value in model.provenance.items()}
    prune = composed(said, layer)[0]
    assert ("--budget equal" in prune) == (budget == "equal")
    del said["budget"]  # as files were before matrices could share
    assert "--budget equal" in composed(said, layer)[0]
    shown = capsys.readouterr().err
    achieved = 1 - kept[0] / 8
    assert f"rnn.weight_ih_l0: 50.00% asked, {achieved:.2%} achieved, {kept[0]} of 8 a b" in shown
    assert "all matrices: 50.00% asked, 50.00% achieved" in shown


def test_a_ragged_width_is_padded_and_told(run: Run, tmp_path: Path, capsys: Text) -> None:
    files = Files(tmp_path, 153)
    assert run(*files.prune(files.net("plain"), "--for", "weight_ih:banks=8,sparsity=0.875")) == 0
    # 8 banks of 20 columns, 13 in the last; 2 weights in each is nearest.
    assert "rnn.weight_ih_l0: 87.50% asked, 89.54% achieved" in capsys.readouterr().err
    assert run(*files.pack()) == 0
    ih = load_model(tmp_path / "m.safetensors").layers[0].weight_ih.geometry
    assert (ih.columns, ih.banks, ih.bank_width, ih.nonzeros) == (153, 8, 20, 2)


def test_a_bank_width_that_is_no_even_cut_is_kept(run: Run, files: Files) -> None:
    width = ("--bank-width", 5, "--for", "weight_hh:banks=2")
    assert run(*files.prune(files.net("plain"), *width)) == 2  # it says --banks 4 too
    usual = ("--banks", Balance.banks)
    assert run(*files.prune(files.net("plain"), *width, *usual)) == run(*files.pack()) == 0
    layer = load_model(files.folder / "m.safetensors").layers[0]
    assert (layer.weight_ih.geometry.banks, layer.weight_ih.geometry.bank_width) == (3, 5)
    assert (layer.weight_hh.geometry.banks, layer.weight_hh.geometry.bank_width) == (2, 4)


def pruned_net(inputs: int, kind: type[nn.LSTM | nn.GRU] = nn.LSTM, **options: Any) -> Net:
    """A network that was pruned in a loop of the user's own; masks are still on it."""
    net = Net(inputs, kind, **options)
    goals = goals_for(net.rnn, Goal(Banks(4), 0.5, tolerance=0.2))
    Pruner(net, {f"rnn.{name}": goal for name, goal in goals.items()})
    return net


def squashed(net: Net) -> dict[str, Tensor]:
    return {name: t for name, t in net.state_dict().items() if not name.endswith("_mask")}


def exported(net: Net, path: Path, inputs: int) -> Path:
    with warnings.catch_warnings():
        # The exporter warns of batch sizes and of its own age.
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(1, 3, inputs),), str(path), dynamo=False)
    return path


def test_an_onnx_model_is_pruned_and_packed(run: Run, files: Files, capsys: Text) -> None:
    path = exported(Net(files.inputs, num_layers=2), files.folder / "net.onnx", files.inputs)
    assert run(*files.prune(path)) == run(*files.pack()) == 0
    assert len(load_model(files.folder / "m.safetensors").layers) == 2
    assert "rnn.weight_hh_l1: 50.00% asked, 50.00% achieved" in capsys.readouterr().err


class Greatest(Net):
    def forward(self, frames: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.rnn(frames)[0].amax(1))
        return logits


class Averaged(Net):
    def forward(self, frames: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.rnn(frames)[0].mean(1))
        return logits


class Rectified(Net):
    def forward(self, frames: Tensor) -> Tensor:
        return torch.relu(super().forward(frames))


@pytest.mark.parametrize(
    ("net", "match"),
    [
        (Greatest, r"\(ReduceMax\)"),
        (Rectified, r"node /Relu \(Relu\)"),
    ],
)
def test_an_onnx_model_that_computes_something_else_is_refused(
    run: Run, files: Files, capsys: Text, net: type[Net], match: str
) -> None:
    path = exported(net(files.inputs), files.folder / "net.onnx", files.inputs)
    assert run(*files.prune(path)) == run(*files.pack(path, "--banks", 4)) == 2
    assert len(re.findall(match, capsys.readouterr().err)) == 2
    assert run("doctor", path) == 2
    said = capsys.readouterr()
    assert re.search(match, " ".join((said.out + said.err).split()))


def test_the_graph_says_how_the_head_is_fed(run: Run, files: Files, capsys: Text) -> None:
    path = exported(Averaged(files.inputs), files.folder / "net.onnx", files.inputs)
    assert run(*files.prune(path)) == run(*files.pack()) == 0
    assert capsys.readouterr().err.count("(--pool mean)") == 2
    assert load_model(files.folder / "m.safetensors").pool == "mean"
    assert run(*files.prune(path, "--pool", "last")) == 2
    assert "feeds its head as --pool mean does" in capsys.readouterr().err


def test_an_onnx_model_that_was_not_run_is_told(
    run: Run, files: Files, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Net(files.inputs)
    net.load_state_dict(squashed(pruned_net(files.inputs)))
    path = exported(net, files.folder / "net.onnx", files.inputs)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for words in (files.prune(path), files.pack(path, "--banks", 4), ("doctor", path)):
        assert run(*words) == 0
        said = capsys.readouterr()
        assert "not checked against the file" in said.out + said.err


def test_a_pruned_onnx_model_is_packed_as_it_is(run: Run, files: Files, capsys: Text) -> None:
    net = Net(files.inputs)
    net.load_state_dict(squashed(pruned_net(files.inputs)))
    path = exported(net, files.folder / "net.onnx", files.inputs)
    assert run(*files.pack(path)) == 2
    assert "give --banks 4, over which it is balanced" in capsys.readouterr().err
    assert run(*files.pack(path, "--banks", 4)) == 0
    data = sequences(files.inputs)
    integers = last_states(files.folder / "m.safetensors", data)
    for frames, logits in zip(data.sequences, integers, strict=True):
        reals = net(torch.from_numpy(frames)[None])[0].detach().numpy()
        assert np.abs(reals - logits).max() < 2e-3


def test_masks_of_the_pruner_in_a_state_dict(run: Run, files: Files) -> None:
    net = pruned_net(files.inputs)
    mask = net.get_buffer("rnn.weight_hh_l0_mask")
    with torch.no_grad():  # kept, though it is zero: only the mask tells
        net.rnn.get_parameter("weight_hh_l0")[tuple(torch.nonzero(mask)[0])] = 0
    assert run(*files.pack(files.saved(net.state_dict()), "--banks", 4)) == 0
    assert load_model(files.folder / "m.safetensors").layers[0].weight_hh.to_mask().sum() == 128


def test_masks_of_nni_in_a_file_of_their_own(run: Run, files: Files, capsys: Text) -> None:
    net = pruned_net(files.inputs)
    nni: dict[str, dict[str, Tensor]] = {"rnn": {}}
    for name, buffer in net.named_buffers():
        nni["rnn"][name.removeprefix("rnn.").removesuffix("_mask")] = buffer.float()
    weights, masks = files.saved(squashed(net)), files.saved(nni, "masks.pt")
    assert run(*files.pack(weights, "--masks", masks, "--banks", 4)) == 0
    assert load_model(files.folder / "m.safetensors").layers[0].weight_hh.geometry.nonzeros == 1
    assert run(*files.prune(weights, "--masks", masks, "--sparsity", 0.75)) == 0
    capsys.readouterr()
    assert run(*files.pack(masks, "--banks", 4)) == 2
    assert "masks.pt holds masks alone: give the weights first and this file with --masks" in (
        capsys.readouterr().err
    )


def test_what_another_tool_has_removed_takes_part_again(
    run: Run, files: Files, capsys: Text
) -> None:
    net = Net(files.inputs)
    mask = torch.zeros(4 * HIDDEN, HIDDEN)
    mask[:, :4] = 1  # all in the first two of four banks
    prune.custom_from_mask(net.rnn, "weight_hh_l0", mask)
    assert run(*files.prune(files.saved(net.state_dict()))) == 0
    assert "note: rnn.weight_hh_l0: what torch: torch.nn.utils.prune had removed takes part" in (
        capsys.readouterr().err
    )
    found = load_network(files.folder / "p.safetensors").masks["weight_hh_l0"]
    assert found.reshape(-1, 4, 2).sum(-1).unique().tolist() == [1]


@pytest.mark.parametrize("kind", [nn.GRUCell, nn.LSTMCell])
def test_other_cells_are_pruned_and_packed_as_matrices(
    run: Run, files: Files, kind: type[nn.GRUCell], capsys: Text
) -> None:
    torch.manual_seed(1)
    parts = {"cell": kind(files.inputs, HIDDEN), "fc": nn.Linear(HIDDEN, CLASSES)}
    path = files.saved(nn.ModuleDict(parts).state_dict())
    out = files.folder / "x.safetensors"
    assert run(*files.prune(path)) == 0
    shown = capsys.readouterr().err
    hint = re.search(r"next: sparseflow (.*)", shown)
    assert hint
    assert f"is that of an nn.{kind.__name__}: only nn.LSTM and nn.GRU have integers" in shown
    assert run(*files.pack()) == 2
    assert "pack its matrices alone with --matrices" in capsys.readouterr().err
    assert run(*shlex.split(hint[1])[:-1], out, "--value-bits", 8) == 0
    assert "note: fc.weight is dense, left out; --for fc.weight:banks=N packs it" in (
        capsys.readouterr().err
    )
    packed = load_matrices(out)
    names = sorted(name for name in parts["cell"].state_dict() if name.startswith("weight"))
    assert list(packed) == sorted(f"cell.{name}" for name in names)
    state = safetensors.torch.load_file(files.folder / "p.safetensors")
    for name, found in packed.items():
        assert found.matrix.geometry.banks == 4
        real = found.fixed.dequantise(found.matrix.to_dense())
        assert np.abs(real - state[name].numpy()).max() <= found.fixed.lsb / 2
        assert np.array_equal(found.matrix.to_mask(), state[f"{name}.mask"].numpy())


def test_matrices_of_any_network(run: Run, files: Files, capsys: Text) -> None:
    weight = torch.ones(6, 16)
    weight[:, 1::2] = 0
    path = files.saved({"a.weight": weight, "b.weight": torch.ones(2, 6), "b.bias": torch.ones(2)})
    out = ("--matrices", "--out", files.folder / "x.safetensors")
    assert run("pack", path, *out) == 2
    assert "give --banks 8, over which it is balanced" in capsys.readouterr().err
    assert run("pack", path, *out, "--banks", 4, "--for", "b.weight:banks=3") == 0
    packed = load_matrices(files.folder / "x.safetensors")
    shapes = {name: found.matrix.geometry for name, found in packed.items()}
    assert {n: (g.banks, g.nonzeros) for n, g in shapes.items()} == {
        "a.weight": (4, 2),
        "b.weight": (3, 2),
    }


def test_fine_tuning_in_the_integers(run: Run, files: Files, capsys: Text) -> None:
    assert run(*files.prune(files.net("plain"))) == 0
    bits = ("--value-bits", 4, "--act-bits", 8, "--per-gate")
    assert run(*files.pack(None, *bits)) == 0
    plain = load_model(files.folder / "m.safetensors")
    assert "note: stage weights" in capsys.readouterr().err
    assert run(*files.pack(None, *bits, "--qat-epochs", 3, "--seed", 1)) == 0
    tuned = load_model(files.folder / "m.safetensors")
    assert re.search(r"accuracy in integers: .*%, fine-tuned in them .*%", capsys.readouterr().err)
    assert not plain.layers[0].equals(tuned.layers[0])
    assert (
        plain.layers[0].weight_hh.to_mask().tolist() == tuned.layers[0].weight_hh.to_mask().tolist()
    )
    assert not isinstance(tuned.layers[0].weight_hh_format, Fixed)
    assert json.loads(tuned.provenance["pack"]) == {"per-gate": True, "qat-epochs": 3, "seed": 1}
    said = {key: json.loads(value) for key, value in tuned.provenance.items()}
    assert any("--qat-epochs 3" in line for line in said["commands"])  # as it was typed
    lines = composed(said, tuned.layers[0])
    assert "--value-bits 4 --act-bits 8 --per-gate --qat-epochs 3 --seed 1" in lines[1]


def test_a_head_in_planes_says_the_same_and_how_little_it_reads(
    run: Run, files: Files, capsys: Text
) -> None:
    assert run(*files.prune(files.net("plain"))) == 0
    assert run(*files.pack()) == 0
    plain = load_model(files.folder / "m.safetensors")
    capsys.readouterr()
    assert run(*files.pack(None, "--screen")) == 0
    model = load_model(files.folder / "m.safetensors")
    said = capsys.readouterr().err
    assert re.search(
        r"head: 3 x 8 in planes of 2 \+ 3 \+ \d+ bits; the top 3 of --calibration, proven, "
        r"read \d+\.\d\d bits a weight, p99 \d",
        said,
    )
    assert isinstance(model.head, ScreenedLayer)
    assert plain.head is not None
    assert model.head.dense.equals(plain.head)
    assert json.loads(model.provenance["pack"]) == {"screen": True}
    assert run(*files.pack(None, "--screen", "--head-bits", 6)) == 0
    narrow = load_model(files.folder / "m.safetensors")
    assert isinstance(narrow.head, ScreenedLayer)
    assert np.array_equal(narrow.head.weight, round_rows(plain.head.weight, 6))
    assert narrow.head.bits <= 7  # and one where rows are folded
    assert json.loads(narrow.provenance["pack"]) == {"head-bits": 6, "screen": True}
    bare = {n.removeprefix("rnn."): t for n, t in squashed(pruned_net(12)).items() if "fc" not in n}
    assert run(*files.pack(files.saved(bare), "--banks", 4, "--screen")) == 2
    assert "--screen is of a head, and this network has none" in capsys.readouterr().err


def test_fine_tuning_in_the_integers_has_the_controls_of_pruning(
    run: Run, files: Files, capsys: Text
) -> None:
    assert run(*files.prune(files.net("plain"))) == 0
    val, log = labelled(files, "v.npz", np.array([2, 2, 1, 0, 1, 0])), files.folder / "log.jsonl"
    capsys.readouterr()
    said = ("--lr", 0.05, "--batch", 3, "--optimizer", "sgd", "--noise", 0, "--log", log)
    ends = ("--val", val, "--patience", 2, "--qat-epochs", 9)
    assert run(*files.pack(None, *said, *ends)) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    began, ended = lines[0], lines[-1]
    assert (began["epochs"], began["training"]["learning_rate"]) == (9, 0.05)
    assert (began["training"]["optimizer"], began["training"]["batch"]) == ("sgd", 3)
    epochs = [line for line in lines if line["event"] == "epoch"]
    assert len(epochs) == ended["epochs"] <= 9
    assert [line["event"] for line in lines].count("step") == 2 * ended["epochs"]
    best = max(line["score"] for line in epochs)
    assert epochs[ended["epoch"] - 1]["score"] == best
    shown = capsys.readouterr().err
    assert f"kept: epoch {ended['epoch']} of the {ended['epochs']} in integers" in shown
    assert f"wrote {log}" in shown
    # what is kept is what is written
    model, data = load_model(files.folder / "m.safetensors"), load_sequences(val)
    found = [row.argmax() for row in last_states(files.folder / "m.safetensors", data)]
    assert float(np.mean(found == data.labels)) == pytest.approx(best)
    asked = json.loads(model.provenance["pack"])
    assert asked == {"qat-epochs": 9, "lr": 0.05, "batch": 3, "optimizer": "sgd", "noise": 0.0,
                     "patience": 2, "val": "val.npz"}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--lr", 0.01), "--lr is of fine-tuning in integers: give --qat-epochs"),
        (("--log", "l.jsonl"), "--log is of fine-tuning in integers: give --qat-epochs"),
        (("--qat-epochs", 2, "--patience", 2), "patience 2 waits for a better score: give --val"),
        (("--qat-epochs", 2, "--device", "abacus"), "device 'abacus': PyTorch .* sees cpu"),
        (("--qat-epochs", 2, "--log", "m.safetensors"), "is written by the same command"),
        (("--matrices", "--batch", 3), "nothing of it"),
    ],
)
def test_a_fine_tuning_in_integers_that_cannot_be(
    run: Run, files: Files, capsys: Text, monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, object], told: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(files.folder)
    files.saved(squashed(pruned_net(12)), "p.safetensors")
    assert run(*files.pack(None, "--banks", 4, *words)) == 2
    shown = capsys.readouterr().err
    assert re.search(told, " ".join(shown.split())), shown
    assert "as read" not in shown
    assert not (files.folder / "m.safetensors").exists()


@pytest.mark.parametrize(("banks", "lanes"), [(8, 8), (16, 8), (6, 6), (5, 5), (12, 6), (11, 1)])
def test_the_next_command_has_the_most_lanes_that_fit(banks: int, lanes: int) -> None:
    assert lanes_of(banks) == lanes


def test_single_wishes_are_in_the_commands_of_the_report(run: Run, files: Files) -> None:
    wish = "weight_ih:banks=2,sparsity=0.5"
    assert run(*files.prune(files.net("plain"), "--for", wish)) == run(*files.pack()) == 0
    model = load_model(files.folder / "m.safetensors")
    said = {key: json.loads(value) for key, value in model.provenance.items()}
    assert f"--for {wish}" in said["commands"][0]
    lines = composed(said, model.layers[0])
    assert lines[0].endswith(f"--banks 4 --sparsity 0.5 --epochs 2 --seed 0 --for {wish}")
    assert [layer.weight_ih.geometry.banks for layer in model.layers] == [2]


def test_accuracy_of_a_bidirectional_checkpoint(files: Files) -> None:
    data = sequences(files.inputs)
    net = Net(files.inputs, bidirectional=True)
    best = [int(net(torch.from_numpy(frames)[None]).argmax()) for frames in data.sequences]
    share = float(np.mean(np.array(best) == data.labels))
    assert float_answers(files.net("bidirectional"), data).score().accuracy == share


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--bound", 0.0001), "stage weights, layer 0: rms error .* above 0.01%: use more value"),
        (("--banks", 8), "rnn.weight_ih_l0: row 0, bank 1 keeps .* balanced over 4 banks"),
        (("--for", "weight_hh:sparsity=0.5"), "packing removes no weights, use sparseflow prune"),
        (("--for", "weight_hr:banks=4"), "--for weight_hr: there is no such matrix"),
        (("--for", "weight_hh"), "--for 'weight_hh': write NAME:key=value"),
        (("--matrices",), "--matrices takes no --calibration"),
    ],
)
def test_packing_that_is_refused_leaves_nothing(
    run: Run, files: Files, capsys: Text, options: tuple[object, ...], message: str
) -> None:
    net = squashed(pruned_net(files.inputs))
    path = files.saved(net)
    banks = () if "--banks" in options else ("--banks", 4)
    assert run(*files.pack(path, *banks, "--value-bits", 6, *options)) == 2
    shown = capsys.readouterr().err
    assert re.search(f"^error: .*{message}", shown), shown
    assert shown.count("\n") == 1
    assert not (files.folder / "m.safetensors").exists()


def test_fine_tuning_needs_labels_and_a_head(run: Run, files: Files, capsys: Text) -> None:
    bare = {n.removeprefix("rnn."): t for n, t in squashed(pruned_net(12)).items() if "fc" not in n}
    path = files.saved(bare)
    assert run(*files.pack(path, "--banks", 4, "--qat-epochs", 1)) == 2
    assert "has no linear layer on the hidden state" in capsys.readouterr().err
    with np.load(files.data) as file:
        arrays = {name: file[name] for name in ("frames", "lengths")}
    np.savez(files.data, **arrays)
    assert run(*files.pack(path, "--banks", 4, "--qat-epochs", 1)) == 2
    assert "fine-tuning in integers needs labels" in capsys.readouterr().err
    assert run(*files.pack(path, "--banks", 4)) == 0


@pytest.mark.parametrize("kind", ["plain", "everything"])
def test_a_part_without_a_head_is_fine_tuned_to_its_own_outputs(
    run: Run, files: Files, kind: str, capsys: Text
) -> None:
    net = Net(files.inputs, **KINDS[kind])
    path = files.saved({f"a.{name}": tensor for name, tensor in net.rnn.state_dict().items()})
    with np.load(files.data) as file:
        arrays = {name: file[name] for name in ("frames", "lengths")}
    np.savez(files.data, **arrays)  # no labels
    assert run(*files.prune(path, "--sparsity", 0.75, "--epochs", 60, "--val", files.data)) == 0
    shown = capsys.readouterr().err
    assert "no head: fine-tuned to its own dense outputs at every frame" in shown
    assert "dense: MSE 0, " in shown
    errors = [
        float(e) for e in re.findall(r"increment \d of \d, .* removed: MSE ([\d.e-]+)", shown)
    ]
    assert "next: sparseflow pack" in shown
    assert "--data" not in shown.split("next:")[1]
    assert run(*files.pack()) == 0
    dense, found = net.rnn.eval(), load_network(files.folder / "p.safetensors")
    assert found.head is None
    frames = [torch.from_numpy(s)[None] for s in sequences(files.inputs).sequences]
    with torch.no_grad():
        off = torch.cat([(dense(f)[0] - found.recurrent(f.transpose(0, 1))[0].transpose(0, 1))[0]
                         for f in frames]).square().mean().item()  # fmt: skip
    assert off == pytest.approx(errors[-1], rel=0.02)
    worst = torch.cat([dense(f)[0][0] for f in frames]).square().mean().item()
    assert off < worst / 2  # fine-tuning has made good what pruning took


def test_without_calibration_there_is_only_matrices(run: Run, files: Files, capsys: Text) -> None:
    assert run("pack", files.net("plain"), "--out", files.folder / "m.safetensors") == 2
    assert capsys.readouterr().err == (
        "error: Invalid value: give --calibration, sequences that show the inputs' range\n"
    )


def labelled(files: Files, name: str, labels: Any) -> Path:
    """The data with other labels."""
    save_sequences(files.folder / name, replace(sequences(files.inputs), labels=labels))
    return files.folder / name


def test_pruning_is_scored_on_data_that_is_not_trained_on(
    run: Run, files: Files, capsys: Text
) -> None:
    val = labelled(files, "v.npz", np.array([2, 2, 1, 0, 1, 0]))
    dense, log = files.net("plain"), files.folder / "log.jsonl"
    trained = ("--optimizer", "sgd", "--batch", 3, "--noise", 0, "--log", log)
    assert run(*files.prune(dense, "--val", val, *trained)) == 0
    check_log(log)
    shown = capsys.readouterr().err
    data = load_sequences(val)
    assert "accuracy, float network, 6 of 6 sequences of v.npz:\n" in shown
    before, after = (
        float_answers(dense, data).score().accuracy,
        float_answers(files.folder / "p.safetensors", data).score().accuracy,
    )
    assert before is not None
    assert after is not None
    assert f"\n  dense: {before:.2%}\n" in shown
    scores = re.findall(r"  increment (\d) of 2, (\d\d\.\d\d)% removed: (.*)%\n", shown)
    assert [number for number, *_ in scores] == ["1", "2"]
    assert float(scores[1][2]) == pytest.approx(100 * after, abs=0.01)
    assert re.search(
        rf"  kept: epoch 1 of the 1 of the last increment, its best, {after:.2%}", shown
    )
    assert f"--data {val}" in shown  # the next step scores on the same
    assert run(*files.pack()) == 0
    said = load_model(files.folder / "m.safetensors").provenance
    assert json.loads(said["increments_of"]) == {"sequences": 6, "dense": before}
    assert json.loads(said["increments"])[1]["accuracy"] == after
    # to do it again; where it was written down says nothing of how it was made
    asked = {"batch": 3, "optimizer": "sgd", "noise": 0.0, "val": "val.npz"}
    assert json.loads(said["options"]) == asked


def check_log(log: Path) -> None:
    """A line an event, with all that a training of two increments of an epoch is."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    each = ["step", "step", "epoch", "increment"]
    assert [line["event"] for line in lines] == ["began", *each, *each, "ended"]
    assert lines[0]["training"]["optimizer"] == "sgd"
    assert (lines[0]["training"]["batch"], lines[0]["seed"]) == (3, 0)
    assert "score" in lines[7]
    assert "score" not in lines[3]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--patience", 2), "patience 2 waits for a better score: give --val"),
        (("--device", "abacus"), "device 'abacus': PyTorch .* sees cpu"),
        (("--log", "p.safetensors"), "p.safetensors is written by the same command"),
        (("--lr", 0), "0.0 must be 1e-09 to 100"),
    ],
)
def test_a_training_that_cannot_be_is_refused_before_any_work(
    run: Run, files: Files, capsys: Text, monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, object], told: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(files.folder)
    assert run(*files.prune(files.net("plain"), *words)) == 2
    shown = capsys.readouterr().err
    assert re.search(told, shown), shown
    assert "as read" not in shown
    assert not (files.folder / "p.safetensors").exists()


def test_packing_tells_float_against_integers_on_the_same_data(
    run: Run, files: Files, capsys: Text
) -> None:
    assert run(*files.prune(files.net("plain"))) == 0
    test = labelled(files, "t.npz", np.array([0, 0, 1, 1, 2, 2]))
    capsys.readouterr()
    for words, path in (((), files.data), (("--data", test), test)):
        assert run(*files.pack(None, "--value-bits", 4, *words)) == 0
        data = load_sequences(path)
        real = float_answers(files.folder / "p.safetensors", data).score().accuracy
        found = [row.argmax() for row in last_states(files.folder / "m.safetensors", data)]
        whole = float(np.mean(found == data.labels))
        line = f"accuracy: {real:.2%} float, {whole:.2%} integer model, 6 of 6 sequences of "
        assert f"{line}{path.name}\n" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--val", "--data"])
def test_what_cannot_be_scored_is_refused_before_any_work(
    run: Run, files: Files, capsys: Text, option: str
) -> None:
    wrong = labelled(files, "w.npz", np.array([0, 1, 2, 3, 1, 0]))
    bare = files.folder / "bare.npz"
    with np.load(wrong) as found:
        np.savez(bare, frames=found["frames"], lengths=found["lengths"])
    net = files.net("plain")
    for path, error in (
        (wrong, "w.npz: labels up to 3, but .* knows 3 classes, 0 to 2"),
        (bare, "bare.npz: .* needs labels"),
    ):
        words = files.prune(net) if option == "--val" else files.pack(net, "--banks", 4)
        assert run(*words, option, path) == 2
        shown = capsys.readouterr().err
        assert re.search(error, shown), shown
        assert "epoch" not in shown
        assert not (files.folder / "p.safetensors").exists()
        assert not (files.folder / "m.safetensors").exists()
