"""Patterns weighed before any training, against counts made here."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from pruning.budget.arrays import cycles_of
from pruning.budget.gates import gate_goals
from pruning.doctor.plan import Plan, plan
from pruning.mask.goals import Goal, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.views import Banks


def network(**options: int) -> nn.LSTM:
    torch.manual_seed(0)
    lstm = nn.LSTM(64, 64, 2, **options)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.normal_(std=0.1)
        lstm.get_parameter("weight_ih_l0").mul_(1.5)
        for gate, scale in enumerate((0.6, 0.6, 1.0, 0.6)):
            lstm.get_parameter("weight_hh_l0")[64 * gate : 64 * (gate + 1)] *= scale
    return lstm


@pytest.fixture(scope="module")
def found() -> Plan:
    return plan(network(), 0.5, [4, 8], pes=16, value_bits=8)


def test_energies_are_those_of_the_weights(found: Plan) -> None:
    rows = {row.pattern: row for row in found.rows}
    weights = {
        n: p.detach().double().numpy() for n, p in network().named_parameters() if p.ndim > 1
    }
    total = sum((w**2).sum() for w in weights.values())
    banks = {n: -np.sort(-np.abs(w.reshape(256, 8, 8)), axis=2) for n, w in weights.items()}
    equal = sum((b[..., :4] ** 2).sum() for b in banks.values()) / total
    assert rows["8 banks, equal k"].energy == pytest.approx(equal)
    keep = rows["8 banks, k per matrix"].keep
    assert sum(keep.values()) == 16
    assert keep["weight_ih_l0"] > keep["weight_hh_l0"]
    free = sum((banks[n][..., :k] ** 2).sum() for n, k in keep.items()) / total
    assert rows["8 banks, k per matrix"].energy == pytest.approx(free)
    every = np.sort(np.concatenate([w.ravel() for w in weights.values()]) ** 2)[::-1]
    best = every[: len(every) // 2].sum() / total
    assert rows["unstructured, global"].energy == pytest.approx(best)


def test_more_freedom_keeps_more(found: Plan) -> None:
    energy = {row.pattern: row.energy for row in found.rows}
    names = ("8 banks, equal k", "8 banks, k per matrix", "8 banks, k per gate")
    most = [*(energy[name] for name in names), energy["unstructured, global"]]
    assert most == sorted(most)
    assert len(set(most)) == 4
    assert energy["1 bank, k per matrix"] > energy["8 banks, k per matrix"]
    assert energy["unstructured, global"] > energy["unstructured"]


def test_cycles_and_bytes_stand_beside_them(found: Plan) -> None:
    rows = {row.pattern: row for row in found.rows}
    shared, equal = rows["8 banks, k per matrix"], rows["8 banks, equal k"]
    # Four matrices of 256 rows on 16 PEs, k = 4 in each bank of eight.
    assert shared.cycles == equal.cycles == 4 * 16 * 4
    goals = {name: Goal(Banks(8), keep=k) for name, k in shared.keep.items()}
    assert shared.cycles == cycles_of(network(), goals)[16, 8]
    assert shared.bytes == equal.bytes == 4 * 256 * 8 * 4 * (8 + 3) // 8
    assert rows["unstructured"].cycles > 1.5 * shared.cycles
    assert rows["unstructured"].bytes == 4 * 8192 * 3 + 4 * 4 * 257
    # 64 units are four rounds of slots of one gate: as many weights, as many cycles.
    assert rows["8 banks, k per gate"].cycles == shared.cycles
    odd = {row.pattern: row.cycles for row in plan(network(), 0.5, [8], pes=40).rows}
    assert odd["8 banks, k per gate"] > odd["8 banks, k per matrix"]  # a slot of all gates
    assert all(row.sparsity == pytest.approx(0.5) for row in found.rows)


@pytest.mark.parametrize(
    ("make", "banks", "sparsity"),
    [(lambda: nn.LSTM(12, 16, 2), 4, 0.5), (lambda: nn.LSTM(5, 7), 1, 0.7)],
)
def test_k_per_gate_is_what_prune_makes(
    make: Callable[[], nn.LSTM], banks: int, sparsity: float
) -> None:
    torch.manual_seed(0)
    lstm = make()
    lanes = [banks]
    (row,) = (r for r in plan(lstm, sparsity, lanes, value_bits=8).rows if r.budget == "gate")
    goals = goals_for(lstm, Goal(Banks(banks), sparsity, tolerance=1.0))
    pruner = Pruner(lstm, gate_goals(lstm, goals))
    assert row.sparsity == pytest.approx(pruner.sparsity())
    packed = pruner.geometries(8).values()
    assert row.bytes == sum(-(-geometry.packed_bits // 8) for geometry in packed)


def test_the_most_banks_that_keep_enough_are_taken() -> None:
    lax, strict = (plan(network(), 0.5, [2, 8], keep_energy=e) for e in (0.5, 0.999))
    assert (lax.banks, lax.taken.pattern) == (8, "8 banks, k per matrix")
    assert strict.banks == 2
    assert "none keeps 100% of" in strict.reason
    narrow = plan(network(), 0.95, [8, 64], keep_energy=0.1)
    assert "all keep over 5% more weights than are asked" in narrow.reason
    assert narrow.banks == 8


def test_networks_without_gates_or_arrays_have_a_plan_too() -> None:
    gru = plan(nn.GRU(16, 16), 0.5, [4])
    assert "4 banks, k per gate" in [row.pattern for row in gru.rows]
    projected = plan(network(proj_size=32), 0.5, [4])
    assert "4 banks, k per gate" not in [row.pattern for row in projected.rows]


def test_numbers_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match="0 PEs: must be at least 1"):
        plan(network(), 0.5, [8], pes=0)
    with pytest.raises(ValueError, match=r"lanes \[128\]: give numbers from 1 to 64"):
        plan(network(), 0.5, [128])
    with pytest.raises(ValueError, match=r"sparsity 87\.5: must be 0 to 1"):
        plan(network(), 87.5, [8])


def test_narrow_networks_have_a_plan_too() -> None:
    found = plan(nn.LSTM(1, 16), 0.5)
    assert found.banks == 8  # of the input's seven are padding; the states have two places in each
    patterns = [row.pattern for row in found.rows]
    assert patterns[0] == "4 banks, k per matrix"
    assert plan(nn.LSTM(1, 3), 0.5).banks == 3
    assert len({*patterns}) == len(patterns)
    with pytest.raises(ValueError, match=r"keep_energy 2: it is a share, 0 to 1$"):
        plan(nn.LSTM(1, 16), 0.5, keep_energy=2)
