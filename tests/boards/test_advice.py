"""What `fit` says of arrays that are too large, and of streams."""

from __future__ import annotations

from boards.advice import advise
from boards.board import board
from boards.resources import choices
from csb_format.shape import ModelShape, uniform_shape


def shape(units: int, k: int = 1) -> ModelShape:
    return uniform_shape(units, units, (16, 16), (k, k))


def test_streams_are_proposed_where_they_pay() -> None:
    chosen = board("kv260")
    every = choices(shape(128), chosen)
    found = advise(shape(128), chosen, every)
    assert found is not None
    assert found.best is every[0]
    assert 1 < found.streams <= 8
    assert found.cycles < found.best.cycles / 1.05 ** (found.streams - 1)
    with_them = choices(shape(128), chosen, found.streams)
    size = (found.best.design.pes, found.best.design.lanes)
    same = next(c for c in with_them if (c.design.pes, c.design.lanes) == size)
    assert (same.cycles, same.design.contexts) == (found.cycles, found.streams)
    assert f"--contexts {found.streams}: " in found.lines[-1]
    assert "is too large for this model" in found.lines[0]


def test_a_busy_array_needs_no_advice() -> None:
    large = shape(256, 2)
    found = advise(large, board("kv260"), choices(large, board("kv260")))
    assert found is not None
    assert found.busy > 0.9
    assert not found.lines


def test_a_smaller_array_that_takes_hardly_longer_is_named() -> None:
    tiny = uniform_shape(3, 16, (8, 8), (1, 1))
    found = advise(tiny, board("kv260"), choices(tiny, board("kv260")))
    assert found is not None
    assert found.smaller is not None
    assert found.smaller.microseconds <= 1.05 * found.best.microseconds
    assert found.smaller.design.multipliers < found.best.design.multipliers
    assert any(f"{found.smaller.design.multipliers} instead of" in line for line in found.lines)


def test_nothing_is_said_where_nothing_fits() -> None:
    huge = shape(1024, 16)
    small = board("icebreaker")
    assert advise(huge, small, [c for c in choices(huge, small) if not c.fits]) is None
