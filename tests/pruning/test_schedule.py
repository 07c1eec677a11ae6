import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csb_format.geometry import Geometry
from pruning.schedule import increments, plan


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    columns = draw(st.integers(1, 200))
    banks = draw(st.integers(1, columns))
    return Geometry(4, columns, banks, draw(st.integers(1, -(-columns // banks))))


@given(geometries(), st.integers(1, 12))
def test_decreases_strictly_to_exactly_the_target(target: Geometry, steps: int) -> None:
    counts = increments(target, steps)
    assert counts[-1] == target.nonzeros
    assert 1 <= len(counts) <= steps
    assert all(a > b for a, b in itertools.pairwise(counts))
    assert counts[0] <= target.bank_width


def test_equal_increments_of_sparsity() -> None:
    # 128 columns in 8 banks of 16: 87.5 % is k = 2; quarters of it are 12.5, 9, 5.5 of 16.
    target = Geometry.nearest(512, 128, 8, 0.875)
    assert increments(target, 4) == (13, 9, 6, 2)
    assert increments(target, 1) == (2,)


def test_repeated_counts_are_skipped() -> None:
    assert increments(Geometry(4, 12, 6, 1), 5) == (2, 1)


def test_plan_keeps_matrices_side_by_side() -> None:
    targets = {"a": Geometry(4, 16, 2, 2), "b": Geometry(4, 4, 2, 1)}
    rungs = plan(targets, 3)
    assert [list(rung) for rung in rungs] == [["a", "b"]] * len(rungs)
    assert [rung["a"] for rung in rungs] == [6, 4, 2]
    assert [rung["b"] for rung in rungs] == [2, 1, 1]


@given(st.lists(geometries(), min_size=1, max_size=3), st.integers(1, 8))
def test_plan_ends_at_the_targets_without_idle_rungs(targets: list[Geometry], steps: int) -> None:
    named = {str(i): target for i, target in enumerate(targets)}
    rungs = plan(named, steps)
    assert rungs[-1] == {name: target.nonzeros for name, target in named.items()}
    assert all(a != b for a, b in itertools.pairwise(rungs))


@pytest.mark.parametrize("steps", [0, -3])
def test_no_steps_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"{steps} increments of sparsity: must be at least 1"):
        increments(Geometry(4, 12, 6, 1), steps)
