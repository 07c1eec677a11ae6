"""k per matrix from one budget: against every way to spend it."""

from collections.abc import Iterator, Mapping
from itertools import product

import pytest
import torch
from torch import nn

from pruning.budget.magnitude import global_goals
from pruning.mask.goals import Goal, UnreachableError, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.views import Banks, Blocks, Unstructured, pattern_mask, row_balanced


def lstm(*sizes: int, scale: float = 2.0, **options: int) -> nn.LSTM:
    """Its first matrix has larger weights."""
    torch.manual_seed(0)
    made = nn.LSTM(*sizes, **options)
    with torch.no_grad():
        made.get_parameter("weight_ih_l0").normal_(std=scale)
    return made


def energy(module: nn.Module, goals: Mapping[str, Goal]) -> float:
    total = 0.0
    for name, goal in goals.items():
        weight = module.get_parameter(name).detach().double()
        total += float(weight[pattern_mask(goal.view, weight.abs(), goal.keep or 0)].square().sum())
    return total


def stored(module: nn.Module, goals: Mapping[str, Goal]) -> int:
    """Entries, padding included."""
    layouts = {n: g.view.layout(*module.get_parameter(n).shape) for n, g in goals.items()}
    return sum(layouts[n].groups * layouts[n].size * (g.keep or 0) for n, g in goals.items())


def ways(goals: Mapping[str, Goal], widest: int) -> Iterator[dict[str, Goal]]:
    """Every number of units for every matrix."""
    for keeps in product(range(1, widest + 1), repeat=len(goals)):
        yield {n: Goal(g.view, keep=k) for (n, g), k in zip(goals.items(), keeps, strict=True)}


@pytest.mark.parametrize("scale", [1e-25, 1e25])
@pytest.mark.parametrize("view", [Banks(2), Blocks(2, 2)])
def test_squares_beyond_float32(scale: float, view: Banks | Blocks) -> None:
    wanted = global_goals(made := lstm(8, 8, scale=0.01), goals := goals_for(made, Goal(view, 0.5)))
    assert len({goal.keep for goal in wanted.values()}) > 1
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(scale)
    assert global_goals(made, goals) == wanted


@pytest.mark.parametrize("banks", [(2, 2), (4, 2)])  # of one cost, and of two
@pytest.mark.parametrize("sparsity", [0.5, 0.6, 0.8])
def test_no_other_way_keeps_more(banks: tuple[int, int], sparsity: float) -> None:
    module = lstm(12, 12)
    names = ("weight_ih_l0", "weight_hh_l0")
    goals = {n: Goal(Banks(b), sparsity, tolerance=1) for n, b in zip(names, banks, strict=True)}
    found = global_goals(module, goals)
    room = stored(module, found)
    allowed = [w for w in ways(goals, 3 if 4 in banks else 6) if stored(module, w) <= room]
    assert energy(module, found) == pytest.approx(max(energy(module, way) for way in allowed))


def test_it_stores_what_equal_k_stores_and_keeps_more() -> None:
    module = lstm(64, 64, 2)
    goals = goals_for(module, Goal(Banks(8), 0.5))
    equal = {n: Goal(g.view, keep=4) for n, g in goals.items()}
    found = global_goals(module, goals)
    assert stored(module, found) == stored(module, equal)
    assert energy(module, found) > 1.02 * energy(module, equal)
    assert (found["weight_ih_l0"].keep or 0) > 4
    assert Pruner(module, found).sparsity() == 0.5


def test_the_request_is_met_where_equal_numbers_pass_it() -> None:
    # 2.5 of 25 columns are asked; equal k takes 3 everywhere, as ties keep more.
    module = lstm(200, 200, 2, scale=0.05)
    found = global_goals(module, goals_for(module, Goal(Banks(8), 0.9)))
    assert sum(goal.keep or 0 for goal in found.values()) == 10
    assert Pruner(module, found).sparsity() == pytest.approx(0.9)


def test_nothing_is_stored_beyond_equal_k() -> None:
    # 1.25 of 13 columns are asked, equal k takes 1: 5 in four matrices would cost cycles.
    module = lstm(200, 200, 2)
    found = global_goals(module, goals_for(module, Goal(Banks(16), 0.9)))
    assert [goal.keep for goal in found.values()] == [1, 1, 1, 1]


def test_a_matrix_too_narrow_for_the_request_takes_nothing_from_others() -> None:
    # One weight a bank is more than was asked of 12 columns; the other keeps what was asked.
    module = lstm(12, 128, scale=0.01)
    goals = goals_for(module, Goal(Banks(8), 0.875, tolerance=1))
    assert [goal.keep for goal in global_goals(module, goals).values()] == [1, 2]


def test_only_what_an_array_runs_alike_shares() -> None:
    module = lstm(16, 16, 1, proj_size=8)
    goals = {n: Goal(Banks(4), keep=2) for n in ("weight_ih_l0", "weight_hr_l0")}
    goals["weight_hh_l0"] = Goal(Banks(4), keep=1)
    found = global_goals(module, goals)
    assert found["weight_hr_l0"].keep == 2
    assert [found[f"weight_{side}_l0"].keep for side in ("ih", "hh")] == [2, 1]
    head = nn.ModuleDict({"lstm": lstm(16, 4), "head": nn.Linear(16, 16)})
    with torch.no_grad():
        head.get_parameter("head.weight").mul_(100)
    alone = global_goals(head, goals_for(head, Goal(Banks(4), keep=1)))
    assert {goal.keep for goal in alone.values()} == {1}


def test_the_fewest_of_a_matrix_are_kept() -> None:
    module = lstm(64, 64, scale=9.0)
    goals = goals_for(module, Goal(Banks(8), 0.5))
    assert [g.keep for g in global_goals(module, goals).values()] == [7, 1]
    least = {"weight_hh_l0": 3}
    assert [g.keep for g in global_goals(module, goals, least).values()] == [5, 3]


@pytest.mark.parametrize("view", [Unstructured(), Blocks(4, 4), row_balanced()])
def test_every_view_shares(view: Unstructured | Blocks | Banks) -> None:
    module = lstm(16, 16)
    goals = goals_for(module, Goal(view, 0.75))
    found = global_goals(module, goals)
    assert Pruner(module, found).sparsity() == 0.75
    assert energy(module, found) > energy(
        module, {n: Goal(view, keep=g.whole(64, 16)) for n, g in goals.items()}
    )


def test_reports_say_what_was_asked() -> None:
    module = lstm(64, 64)
    pruner = Pruner(module, global_goals(module, goals_for(module, Goal(Banks(8), 0.5))))
    assert [state.requested for state in pruner.report()] == [0.5, 0.5]
    assert [state.achieved for state in pruner.report()] == [
        1 - s.keep / 8 for s in pruner.report()
    ]
    # A state that was saved with the same numbers, asked for as such, goes on.
    again = lstm(64, 64)
    plain = {state.name: Goal(Banks(8), keep=state.keep) for state in pruner.report()}
    Pruner(again, plain).load_state_dict(pruner.state_dict())


def test_bad_weights_and_requests_are_named() -> None:
    module = lstm(8, 8)
    with torch.no_grad():
        module.get_parameter("weight_hh_l0")[0, 1] = float("nan")
    with pytest.raises(ValueError, match=r"weight_hh_l0: weight or score at \(0, 1\) is nan"):
        global_goals(module, goals_for(module, Goal(Banks(2), 0.5)))
    with pytest.raises(UnreachableError, match=r"weight_ih_l0: sparsity 95.00% .* no nearer"):
        global_goals(lstm(8, 8), goals_for(module, Goal(Banks(2), 0.95)))
