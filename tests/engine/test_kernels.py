"""How loops are compiled, and arithmetic in lanes: what the same lines give by scalars."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import config

from engine.kernels import compiled as compiling
from engine.kernels import lanes
from engine.kernels.compiled import compiled
from engine.kernels.lanes import WIDTH, entry, least, most, read_longs, write_longs


def one_more(x: int) -> int:
    return x + 1


def test_a_change_of_any_file_of_loops_compiles_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop calls those of other files; numba alone would look at its own file only."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))

    def hits(state: str) -> int:
        monkeypatch.setattr(compiling, "sources", lambda: state)
        made: Any = compiled(one_more)
        assert made(2) == 3
        return len(made.stats.cache_hits)

    assert [hits(state) for state in ("before", "before", "after", "after")] == [0, 1, 0, 1]


@compiled
def _formula(a: Any, b: Any, table: Any) -> Any:
    mixed = (most(a, 3) - least(7, b) * a) ^ (b << 2)
    return (mixed >> 1) + entry(table, (a ^ b) & 15)


@compiled
def _both(a: Any, b: Any, table: Any, scalar: Any, lane: Any) -> None:
    for n in range(len(a)):
        scalar[n] = _formula(a[n], b[n], table)
    write_longs(lane, 0, _formula(read_longs(a, 0), read_longs(b, 0), table))


def test_lanes_compute_what_scalars_do() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(-(1 << 40), 1 << 40, (2, WIDTH))
    scalar, lane = np.zeros((2, WIDTH), np.int64)
    _both(a, b % 99 - 50, rng.integers(-99, 99, 16), scalar, lane)
    np.testing.assert_array_equal(lane, scalar)
    assert len(np.unique(scalar)) == WIDTH


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32, np.float64])
def test_lanes_of_other_numbers(kind: Any) -> None:
    @compiled
    def double(given: Any, made: Any) -> None:
        write_longs(made, 1, read_longs(given, 1) << 1)

    given, made = np.arange(-4, WIDTH - 3).astype(kind), np.zeros(WIDTH + 1, kind)
    double(given, made)
    assert made.tolist() == [0, *(2 * given[1:])]
    assert lanes.LONGS.vector.count == WIDTH


def test_functions_of_lanes_are_plain_outside_of_loops() -> None:
    assert (least(2, 3), most(2, 3), entry([4, 5], 1)) == (2, 3, operator.index(5))
