"""k for each gate: as many as the gates' magnitudes ask for, exactly so many in every bank."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sparseflow as sf
from csb_format.geometry import Geometry
from engine.exact import FastModel
from engine.reference import IntegerModel
from pruning.budget.arrays import goals_by
from pruning.budget.gate_banks import GateBanks
from pruning.files.layouts import layout_of
from pruning.importers.imported import Imported
from pruning.mask.goals import Goal, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Linear, Regrowth
from pruning.mask.views import Banks, check_pattern, pattern_mask

FEWER = (0, 2, 1, 3)
KINDS: dict[str, tuple[type[nn.LSTM] | type[nn.GRU], dict[str, Any]]] = {
    "lstm": (nn.LSTM, {"num_layers": 2}),
    "both directions": (nn.LSTM, {"bidirectional": True}),
    "projected": (nn.LSTM, {"proj_size": 8}),
    "gru": (nn.GRU, {"num_layers": 2}),
}


def network(kind: str) -> nn.LSTM | nn.GRU:
    """Whose gates differ: later ones have larger weights."""
    torch.manual_seed(3)
    module, options = KINDS[kind]
    made = module(22, 16, **options)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if name.startswith(("weight_ih", "weight_hh")):
                for n, gate in enumerate(weight.chunk(4 if module is nn.LSTM else 3)):
                    gate *= 1 + 0.4 * n
    return made


def counts(mask: Tensor, banks: int, gates: int) -> list[list[int]]:
    """Of each gate which numbers of weights its full banks keep."""
    width = -(-mask.shape[1] // banks)
    full = mask[:, : mask.shape[1] // width * width].reshape(gates, -1, width)
    return [sorted(set(gate.sum(-1).tolist())) for gate in full]


@pytest.mark.parametrize("columns", [20, 18])
@pytest.mark.parametrize("keep", [4, 5, 7, 8])
def test_a_view_keeps_a_number_of_each_gate(columns: int, keep: int) -> None:
    view, score = GateBanks(4, None, FEWER), torch.rand(8, columns) + 1.0
    mask = pattern_mask(view, score, keep)
    assert counts(mask, 4, 4) == [[min(keep - fewer, 5)] for fewer in FEWER]
    layout = view.layout(8, columns)
    assert layout.sparsity(keep) == pytest.approx(1 - mask.float().mean().item())
    check_pattern(view, mask, keep)
    geometry = view.geometry(8, columns, keep)
    assert geometry.sparsity == pytest.approx(layout.sparsity(keep))
    again = pattern_mask(view, score, max(4, keep - 1), mask)
    assert not (again & ~mask).any()
    for gate in range(4):  # the best of each bank
        rows = slice(2 * gate, 2 * gate + 2)
        plain = pattern_mask(Banks(4), score[rows], min(keep - FEWER[gate], 5))
        assert torch.equal(mask[rows], plain)


@pytest.mark.parametrize("fewer", [(), (0, -1)])
def test_gates_keep_no_fewer_than_so_many(fewer: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="give a number for each gate"):
        GateBanks(4, None, fewer)


def test_rows_are_as_many_of_each_gate() -> None:
    with pytest.raises(ValueError, match="7 rows of 4 gates"):
        GateBanks(4, None, FEWER).layout(7, 20)


@pytest.mark.parametrize("kind", KINDS)
def test_gates_share_and_keep_more_energy(kind: str) -> None:
    module = network(kind)
    equal = goals_for(module, Goal(Banks(2), 0.7))
    stored, energy = {}, {}
    for budget in ("equal", "gate"):
        pruner = Pruner(network(kind), goals_by(budget, module, equal))
        geometries = pruner.geometries()
        stored[budget] = sum(g.slots for g in geometries.values())
        kept = (pruner.weight(n).detach()[m] for n, m in pruner.masks().items())
        energy[budget] = sum(float(w.square().sum()) for w in kept)
        gates = 4 if isinstance(module, nn.LSTM) else 3
        for name, mask in pruner.masks().items():
            if budget == "gate" and not name.startswith("weight_hr"):
                parts = geometries[name].parts
                assert counts(mask, 2, gates) == [[k] for k in parts]
                assert list(parts) == sorted(parts)
    assert stored["gate"] <= stored["equal"]
    assert energy["gate"] > 1.05 * energy["equal"]


def test_what_is_not_finite_is_named_where_it_is() -> None:
    lstm = nn.LSTM(8, 16)
    with torch.no_grad():
        lstm.get_parameter("weight_hh_l0")[40, 4] = float("nan")
    with pytest.raises(ValueError, match=r"^weight_hh_l0: weight or score at \(40, 4\) is nan"):
        goals_by("gate", lstm, goals_for(lstm, Goal(Banks(4), 0.5)))


def test_named_matrices_share_nothing() -> None:
    module = network("lstm")
    goals = goals_for(module, Goal(Banks(2), 0.7))
    found = goals_by("gate", module, goals, ["weight_hh_l1"])
    assert found["weight_hh_l1"] == Goal(Banks(2), keep=2)
    assert isinstance(found["weight_ih_l1"].view, GateBanks)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_trained_is_packed_and_runs(kind: str) -> None:
    module = network(kind)
    pruner = sf.prune(module, banks=2, sparsity=0.7, budget="gate", steps=3)
    optimizer = torch.optim.SGD(module.parameters(), 0.01)
    pruner.attach(optimizer, drive=True)
    for _ in range(4):
        optimizer.zero_grad()
        module(torch.randn(5, 2, 22))[0].square().sum().backward()
        optimizer.step()
    frames = np.random.default_rng(0).normal(size=(5, 22)).astype(np.float32)
    model = sf.quantise(pruner, None, [frames]).model
    packed = {name: g.parts for name, g in pruner.geometries().items()}
    assert model.layers[0].weight_ih.geometry.parts == packed["weight_ih_l0"] != ()
    inputs = [model.layers[0].input.quantise(frames)]
    (want,), (got,) = IntegerModel(model).run(inputs), FastModel(model).run(inputs)
    np.testing.assert_array_equal(got.output, want.output)


def test_weights_are_regrown_within_their_gates() -> None:
    module = network("lstm")
    goals = goals_by("gate", module, goals_for(module, Goal(Banks(2), 0.7)))
    pruner = Pruner(module, goals, Linear(0, 1), regrowth=Regrowth(1, 9))
    before = {name: mask.clone() for name, mask in pruner.masks().items()}
    for _ in range(4):
        module(torch.randn(5, 2, 22))[0].square().sum().backward()
        pruner.step()
    for name, mask in pruner.masks().items():
        assert counts(mask, 2, 4) == [[k] for k in pruner.geometries()[name].parts]
        assert not torch.equal(mask, before[name])


def test_a_file_of_such_weights_says_its_geometry() -> None:
    module = network("gru")
    plain = Pruner(module, goals_by("gate", module, goals_for(module, Goal(Banks(2), 0.7))))
    found = Imported(dict(plain.squash().state_dict()), plain.masks(), "test")
    for name, geometry in plain.geometries().items():
        assert layout_of(found, name, Banks(2)) == geometry
        assert isinstance(geometry, Geometry)
