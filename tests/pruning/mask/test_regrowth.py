import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pruning.mask.goals import Goal, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.regrowth import regrown_mask
from pruning.mask.schedule import Cubic, Increments, Linear, OneShot, Regrowth, Schedule
from pruning.mask.views import Banks, Blocks, Unstructured, View, check_pattern, pattern_mask

VIEWS = (Banks(3), Banks(width=4), Blocks(2, 2), Blocks(2, 3, balanced=True), Unstructured())


@settings(deadline=None)
@given(st.sampled_from(VIEWS), st.integers(0, 100), st.data())
def test_every_group_keeps_its_number(view: View, seed: int, data: st.DataObject) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight, gradient = (
        torch.randint(-3, 4, (5, 11), generator=generator).float() for _ in range(2)
    )
    keep = data.draw(st.integers(1, view.layout(5, 11).units))
    moved = data.draw(st.integers(0, keep))
    mask = pattern_mask(view, weight.abs(), keep)
    grown = regrown_mask(view, weight * mask, gradient, mask, keep, moved)
    check_pattern(view, grown, keep)
    units = view.group((mask & ~grown).float(), 0.0).amax(-1).sum(-1)
    assert int(units.max()) <= moved


def test_smallest_weights_go_where_the_gradient_is_largest() -> None:
    weight = torch.tensor([[4.0, 1, 0, 0, 3, 2, 0, 0]])
    gradient = torch.tensor([[9.0, 0, 1, -5, 0, 1, 2, 7]])
    mask = weight != 0
    grown = regrown_mask(Banks(2), weight, gradient, mask, keep=2, moved=1)
    assert grown.int().tolist() == [[1, 0, 0, 1, 1, 0, 0, 1]]
    unchanged = regrown_mask(Banks(2), weight, gradient, mask, keep=2, moved=0)
    assert torch.equal(unchanged, mask)


def test_pruner_moves_weights_and_keeps_counts() -> None:
    torch.manual_seed(0)
    module = nn.LSTM(12, 16)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    regrowth = Regrowth(every=2, until=9, fraction=0.5)
    goals = goals_for(module, Goal(Banks(2), 0.5))
    pruner = Pruner(module, goals, regrowth=regrowth, optimizer=optimizer)
    frames, changed = torch.randn(4, 3, 12), []
    for _ in range(8):
        optimizer.zero_grad()
        module(frames)[0].square().sum().backward()
        optimizer.step()
        before = pruner.mask("weight_hh_l0").clone()
        changed.append(pruner.step())
        mask = pruner.mask("weight_hh_l0")
        assert torch.equal(mask, before) != changed[-1]
        check_pattern(Banks(2), mask, 4)
        assert not pruner.weight("weight_hh_l0")[mask & ~before].any()  # grown ones start at 0
        assert not pruner._gradients
    assert changed == [False, True, False, True, False, False, False, False]


def test_regrowth_without_gradients_is_refused() -> None:
    module = nn.LSTM(12, 16)
    pruner = Pruner(module, goals_for(module, Goal(Banks(2), 0.5)), regrowth=Regrowth(1, 5))
    with pytest.raises(ValueError, match=r"weight_ih_l0: regrowth needs gradients: call backward"):
        pruner.step()
    assert pruner.position == 0


def test_gradient_that_is_not_finite() -> None:
    mask = torch.tensor([[True, False]])
    gradient = torch.tensor([[0.0, float("nan")]])
    with pytest.raises(ValueError, match="gradient is not finite: lower the learning rate"):
        regrown_mask(Banks(1), mask.float(), gradient, mask, 1, 1)
    with pytest.raises(ValueError, match="2 units to move: must be 0 to the 1 kept"):
        regrown_mask(Banks(1), mask.float(), mask.float(), mask, 1, 2)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (OneShot(), [1, 1, 1, 1, 1, 1]),
        (OneShot(2), [0, 0, 1, 1, 1, 1]),
        (Linear(1, 5), [0, 0, 0.25, 0.5, 0.75, 1]),
        (Linear(0, 5, every=2), [0, 0, 0.4, 0.4, 0.8, 1]),
        (Cubic(0, 4), [0, 1 - 0.75**3, 1 - 0.5**3, 1 - 0.25**3, 1, 1]),
        (Increments(2, 2), [0.5, 0.5, 1, 1, 1, 1]),
        (Increments(2, 2, begin=1), [0, 0.5, 0.5, 1, 1, 1]),
    ],
)
def test_progress(schedule: Schedule, expected: list[float]) -> None:
    assert [schedule.progress(step) for step in range(6)] == pytest.approx(expected)


def test_regrowth_falls_along_a_cosine() -> None:
    regrowth = Regrowth(every=10, until=100, fraction=0.4, begin=20)
    assert [s for s in range(200) if regrowth.due(s)] == [30, 40, 50, 60, 70, 80, 90]
    assert regrowth.moved(20, 100) == 40
    assert regrowth.moved(60, 100) == 20
    assert regrowth.moved(100, 100) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: OneShot(-1),
        lambda: Linear(-1, 5),
        lambda: Increments(1, 1, -1),
        lambda: Regrowth(1, 5, begin=-1),
    ],
)
def test_negative_begins_are_refused(make: type) -> None:
    with pytest.raises(ValueError, match="schedule begins at step -1: must be 0 or later"):
        make()


def test_other_bad_schedules() -> None:
    with pytest.raises(ValueError, match="begin = 5, end = 5: end must come after begin"):
        Linear(5, 5)
    for make in (lambda: Cubic(0, 5, 0), lambda: Regrowth(0, 5)):
        with pytest.raises(ValueError, match="every = 0: must be at least 1"):
            make()
    with pytest.raises(ValueError, match="begin = 5, until = 5: until must come after begin"):
        Regrowth(1, 5, begin=5)
    with pytest.raises(ValueError, match="count = 0: must be at least 1"):
        Increments(0, 1)
    with pytest.raises(ValueError, match=r"fraction 1\.5: must be above 0, at most 1"):
        Regrowth(1, 5, 1.5)
