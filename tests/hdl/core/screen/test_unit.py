"""The screen unit gives what its model gives, in the cycle that the cycle model says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.screened import top


def check(bench: Any, *, cycles: bool) -> None:
    """Results, order and counters of all states; when the last result left."""
    expected = bench.case.expected()
    bench.run()
    assert len(bench.results) == len(expected)
    pairs = zip(bench.results, bench.taken, expected, strict=True)
    for (found, counts, when), taken, wanted in pairs:
        assert found == list(zip(wanted.indices, wanted.logits, strict=True))
        if cycles:
            assert counts == {name: getattr(wanted, name) for name in counts}
            assert when - taken == wanted.cycles


@pytest.mark.quick(2)
@pytest.mark.parametrize("seed", range(24))
def test_unit_is_its_model(seed: int, make_case: Any, make_bench: Any) -> None:
    case = make_case(seed, outputs=20 + seed, inputs=9) if seed < 2 else make_case(seed)
    reference = top(case.layer, case.states, case.design.top)
    expected = case.expected()
    assert np.array_equal(reference.indices, [wanted.indices for wanted in expected])
    assert np.array_equal(reference.logits, [wanted.logits for wanted in expected])
    check(make_bench(case), cycles=True)


@pytest.mark.quick(1)
@pytest.mark.parametrize("seed", range(100, 108))
def test_pauses_change_no_result(seed: int, make_case: Any, make_bench: Any) -> None:
    """Nor any counter, nor the cycles of a state between them: the unit waits at its ends only."""
    case = make_case(seed, outputs=18, inputs=7)
    check(make_bench(case, pauses=0.5), cycles=False)
