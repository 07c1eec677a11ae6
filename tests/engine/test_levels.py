"""The same bits, compiled or not, at once or in parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine import levels
from engine.levels import last_outputs, run_levels


def test_compiled_levels_equal_the_plain_ones(
    make_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_network(5, (4, 4), (4, 0, 3), layers=2, directions=2, projection=6, head=3)
    monkeypatch.setattr("engine.levels.WORTH_COMPILING", 1)
    for fast, plain in zip(run_levels(case.reference, case.sequences), case.levels, strict=True):
        for one, other in zip(fast, plain, strict=True):
            for name in ("hidden", "cell", "output"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_parts_are_small_and_give_what_all_give(
    make_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_network(5, (4, 4), (4, 1, 9, 2, 2), layers=2, projection=6, head=3)
    width = sum(layer.hidden_size for layer in case.model.layers)
    monkeypatch.setattr(levels, "HELD", 5 * width)
    seen = []

    def watched(*given: Any) -> Any:
        seen.append([len(sequence) for sequence in given[1]])
        return run_levels(*given)

    monkeypatch.setattr(levels, "run_levels", watched)
    found = list(last_outputs(case.reference, case.sequences))
    assert seen == [[4, 1], [9], [2, 2]]
    for one, other in zip(found, case.levels[-1], strict=True):
        np.testing.assert_array_equal(one, other.output)
