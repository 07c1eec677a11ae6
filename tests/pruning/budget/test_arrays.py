"""A budget that is shared costs no cycle, on any array."""

import pytest
import torch
from torch import nn

import sparseflow as sf
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.timing.cycle_model import CycleModel
from csb_format.shape import ModelShape
from pruning.budget import arrays
from pruning.budget.arrays import PES, cycles_of, free_goals, geometries, goals_and_hold
from pruning.budget.magnitude import global_goals, kept
from pruning.mask.goals import Goal, UnreachableError, goals_for
from pruning.mask.views import Banks, Unstructured


def lstm(*sizes: int, scale: float = 0.1, **options: int) -> nn.LSTM:
    torch.manual_seed(0)
    made = nn.LSTM(*sizes, **options)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.05)
        made.get_parameter("weight_ih_l0").mul_(scale / 0.05)
    return made


def equal(module: nn.Module, goals: dict[str, Goal]) -> dict[str, Goal]:
    shapes = {name: module.get_parameter(name).shape for name in goals}
    return {n: kept(g, g.whole(*shapes[n])) for n, g in goals.items()}


NETWORKS = {
    "two layers": lstm(200, 200, 2),
    "two directions": lstm(64, 64, 2, bidirectional=True),
    "projected": lstm(96, 128, 1, proj_size=64),
    "narrow input": lstm(12, 128),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("sparsity", [0.6, 0.8, 0.9])
def test_no_array_takes_longer(name: str, sparsity: float) -> None:
    module = NETWORKS[name]
    goals = goals_for(module, Goal(Banks(8), sparsity, tolerance=1))
    before, after = cycles_of(module, equal(module, goals)), free_goals(module, goals)
    now = cycles_of(module, after)
    assert {(m, 8) for m in PES} <= set(before)
    assert all(now[array] <= cycles for array, cycles in before.items())


def test_the_same_weights_are_the_same_cycles() -> None:
    module = NETWORKS["two layers"]
    goals = goals_for(module, Goal(Banks(8), 0.8))
    found = free_goals(module, goals)
    assert len({goal.keep for goal in found.values()}) > 1
    assert sum(goal.keep or 0 for goal in found.values()) == 4 * 5
    now, before = cycles_of(module, found), cycles_of(module, equal(module, goals))
    assert now == before
    assert [now[m, 8] for m in PES] == [2000, 1000, 500, 260]


def test_cycles_are_those_of_the_compiled_model() -> None:
    module = lstm(64, 64, scale=0.1)
    pruner = sf.prune(module, banks=8, sparsity=0.5)
    assert len(set(pruner.keep.values())) == 2
    quantised = sf.quantise(pruner, None, [torch.randn(9, 64).numpy()])
    goals = {state.name: Goal(state.goal.view, keep=state.keep) for state in pruner.report()}
    expected = cycles_of(nn.LSTM(64, 64), goals)
    for pes in (8, 32):
        image = compile_model(quantised.model, design_for(quantised.model, pes, 8))
        assert CycleModel(image).run(6).steps[-1] == expected[pes, 8]


def test_units_move_one_by_one_where_the_whole_freedom_costs_cycles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Eight times the magnitude: alone, magnitude leaves the recurrent matrix one weight a bank.
    # Since lanes follow k no array minds; here rows of one cycle cost another.
    cycles = arrays._cycles

    def minding(shape: ModelShape, pes: int, lanes: int) -> float:
        return cycles(shape, pes, lanes) + (shape.layers[0].weight_hh.nonzeros == 1)

    monkeypatch.setattr(arrays, "_cycles", minding)
    module = lstm(256, 256, scale=0.4)
    goals = goals_for(module, Goal(Banks(8), 0.875))
    most = global_goals(module, goals)
    assert [goal.keep for goal in most.values()] == [7, 1]
    before = cycles_of(module, equal(module, goals))
    assert cycles_of(module, most)[64, 8] > before[64, 8]
    found = free_goals(module, goals)
    assert [goal.keep for goal in found.values()] == [6, 2]
    assert cycles_of(module, found) == before
    _, slower = goals_and_hold("global", module, goals)  # the array that says why
    assert slower is not None
    assert slower.equal == before[slower.pes, slower.lanes] < slower.cycles
    assert goals_and_hold("global", module, goals, ["weight_ih_l0"])[1] is None  # nothing is shared


def test_deep_networks_take_seconds_too(monkeypatch: pytest.MonkeyPatch) -> None:
    module, asked = lstm(12, 64, 3, bidirectional=True, proj_size=32), list[int]()
    with torch.no_grad():
        for number, parameter in enumerate(p for p in module.parameters() if p.ndim == 2):
            parameter.mul_(1.4**number)
    goals = goals_for(module, Goal(Banks(4), 0.3, tolerance=1))
    before, cycles = cycles_of(module, equal(module, goals)), arrays._cycles

    def counted(shape: ModelShape, pes: int, lanes: int) -> float:
        asked.append(len(shape.layers))
        return cycles(shape, pes, lanes)

    monkeypatch.setattr(arrays, "_cycles", counted)
    monkeypatch.setattr(arrays, "_ASKED", 200)
    found = free_goals(module, goals)
    assert sum(asked) <= 200 + 6 * len(before)
    monkeypatch.setattr(arrays, "_cycles", cycles)
    now = cycles_of(module, found)
    assert all(now[array] <= cycles for array, cycles in before.items())


def test_fixed_matrices_share_nothing() -> None:
    module = lstm(64, 64, 2)
    goals = goals_for(module, Goal(Banks(8), 0.5)) | {"weight_ih_l0": Goal(Banks(8), 0.75)}
    found = free_goals(module, goals, ["weight_ih_l0"])
    assert found["weight_ih_l0"].keep == 2
    assert sum(goal.keep or 0 for goal in found.values()) == 2 + 3 * 4


def test_where_no_array_runs_it_nothing_is_asked_of_cycles() -> None:
    rnn = nn.RNN(16, 16)
    with torch.no_grad():
        rnn.get_parameter("weight_ih_l0").mul_(9)
    goals = goals_for(rnn, Goal(Banks(4), 0.5))
    assert cycles_of(rnn, equal(rnn, goals)) == {}
    assert [goal.keep for goal in free_goals(rnn, goals).values()] == [3, 1]
    gru = nn.GRU(16, 16)
    assert cycles_of(gru, equal(gru, goals_for(gru, Goal(Banks(4), 0.5))))
    mixed = goals_for(nn.LSTM(16, 16), Goal(Unstructured(), 0.5))
    assert geometries(nn.LSTM(16, 16), mixed) == {}


def test_the_front_door_shares_unless_told_otherwise() -> None:
    assert sum(sf.prune(lstm(64, 64), banks=8, sparsity=0.5).keep.values()) == 8
    assert sf.prune(lstm(64, 64), banks=8, sparsity=0.5).keep["weight_ih_l0"] > 4
    assert {*sf.prune(lstm(64, 64), banks=8, sparsity=0.5, budget="equal").keep.values()} == {4}
    own = {"weight_hh": Goal(Banks(8), 0.75)}
    kinds = sf.prune(lstm(64, 64), banks=8, sparsity=0.5, by_kind=own).keep
    assert kinds == {"weight_ih_l0": 4, "weight_hh_l0": 2}


def test_matrices_that_share_come_near_a_sparsity_together() -> None:
    # 4 of 12 columns of a bank are 67 %, alone beyond the tolerance of 60 %; of two matrices not.
    alone = nn.LSTM(12, 12)
    with pytest.raises(UnreachableError, match=r"come no nearer than 66\.67%"):
        sf.prune(alone, banks=4, sparsity=0.6, budget="equal")
    stacked = nn.LSTM(12, 16)
    pruner = sf.prune(stacked, banks=4, sparsity=0.57)
    assert abs(pruner.sparsity() - 0.57) < 0.05
    message = r"sparsity 60\.00% of all matrices together: .* come no nearer than 66\.67%; ask for"
    with pytest.raises(UnreachableError, match=message):
        sf.prune(alone, banks=4, sparsity=0.6)
