"""Every network that `prune` and `pack` take, from the user's file to integers and hardware."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from csb_format import load_model
from csb_format.files.matrixfile import load_matrices
from csb_format.precision import Balance
from pruning.files.network import load_network
from pruning.reset_first import ResetFirstGRU
from pruning.tasks.data.datasets import save_sequences
from sparseflow.pages.measured import read_figures
from tests.sparseflow.commands.prepared import (
    CLASSES,
    HIDDEN,
    KINDS,
    Files,
    Net,
    Run,
    Text,
    composed,
    last_states,
    refusal,
    sequences,
)


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
    budget: str,
    kept: list[int],
) -> None:
    files, net = Files(tmp_path, 32), Net(32, hidden=32)
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


@pytest.mark.parametrize(("loud", "noted"), [(0.02, True), (2.0, False)])
def test_a_budget_that_magnitudes_mislead_is_said_before_training(
    run: Run, tmp_path: Path, capsys: Text, loud: float, noted: bool
) -> None:
    """The input matrix has the larger weights; of quiet inputs they do nothing."""
    files, lstm = Files(tmp_path, 32), nn.LSTM(32, 32)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in lstm.named_parameters():
            parameter.normal_(std={"weight_ih_l0": 0.3, "weight_hh_l0": 0.2}.get(name, 1.0))
    data = sequences(32)
    frames = tuple(loud * sequence for sequence in data.sequences)
    save_sequences(files.data, replace(data, sequences=frames))
    assert run(*files.prune(files.saved(lstm.state_dict()))) == 0
    shown = capsys.readouterr().err
    said = re.search(r"loss is (\S+) with k by magnitude, (\S+) with equal k: .*", shown)
    assert (said is not None) == noted
    if said:
        assert float(said[2]) < float(said[1])
        assert said[0].endswith("try --budget equal too")


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
