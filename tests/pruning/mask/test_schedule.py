import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from csb_format.geometry import Geometry
from pruning.mask.goals import Goal
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Cubic, Increments, Linear, Schedule, kept_at
from pruning.mask.views import Banks


def increments(target: Geometry, steps: int) -> list[int]:
    """Weights per bank after every increment (Algorithm 1 of Cao et al., FPGA'19)."""
    layout = Banks(target.banks).layout(target.rows, target.columns)
    schedule, now = Increments(steps, every=1, begin=1), layout.units
    counts = []
    for step in range(1, steps + 1):
        now = kept_at(layout, target.nonzeros, schedule.progress(step), now)
        counts.append(now)
    return counts


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    columns = draw(st.integers(1, 200))
    banks = draw(st.integers(1, columns))
    return Geometry(4, columns, banks, draw(st.integers(1, -(-columns // banks))))


@given(geometries(), st.integers(1, 12))
def test_never_rises_and_ends_at_exactly_the_target(target: Geometry, steps: int) -> None:
    counts = increments(target, steps)
    assert len(counts) == steps
    assert counts[-1] == target.nonzeros
    assert all(a >= b for a, b in itertools.pairwise(counts))
    assert counts[0] <= target.bank_width


@given(geometries(), st.integers(1, 12))
def test_every_increment_is_the_nearest_whole_number(target: Geometry, steps: int) -> None:
    for step, count in enumerate(increments(target, steps)[:-1], 1):
        near = Geometry.nearest(4, target.columns, target.banks, target.sparsity * (step / steps))
        assert count == max(near.nonzeros, target.nonzeros)


def test_equal_increments_of_sparsity() -> None:
    # 128 columns in 8 banks of 16: 87.5 % is k = 2; quarters of it are 12.5, 9, 5.5 of 16.
    target = Geometry.nearest(512, 128, 8, 0.875)
    assert increments(target, 4) == [13, 9, 6, 2]
    assert increments(target, 1) == [2]


def test_a_schedule_does_not_undo_what_is_ahead_of_it() -> None:
    layout = Banks(1).layout(1, 16)
    assert [kept_at(layout, 2, share, 16) for share in (0.0, 0.5, 1.0)] == [16, 9, 2]
    assert [kept_at(layout, 2, share, 5) for share in (0.0, 0.5, 1.0)] == [5, 5, 2]


def pruner(schedule: Schedule) -> Pruner[nn.LSTM]:
    goals = {"weight_ih_l0": Goal(Banks(2), keep=1), "weight_hh_l0": Goal(Banks(2), keep=2)}
    return Pruner(nn.LSTM(4, 16), goals, schedule)


def test_plan_keeps_matrices_side_by_side() -> None:
    rungs = pruner(Increments(3, every=1, begin=1)).plan(3)
    assert [list(rung) for rung in rungs] == [["weight_ih_l0", "weight_hh_l0"]] * 3
    assert [rung["weight_ih_l0"] for rung in rungs] == [2, 1, 1]
    assert [rung["weight_hh_l0"] for rung in rungs] == [6, 4, 2]


@pytest.mark.parametrize("schedule", [Increments(9, 2, 1), Linear(0, 20), Cubic(3, 20, every=4)])
def test_pruning_by_the_plan_is_stepping(schedule: Schedule) -> None:
    stepped, staged, seen = pruner(schedule), pruner(schedule), []
    rungs = staged.plan(20)
    for _ in range(20):
        stepped.step()
        if dict(stepped.keep) not in seen:
            seen.append(dict(stepped.keep))
    assert list(rungs) == seen
    assert all(a != b for a, b in itertools.pairwise(rungs))
    for rung in rungs:
        staged.prune(rung)
        assert staged.keep == rung
    assert staged.keep == staged.targets == stepped.keep
