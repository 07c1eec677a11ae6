"""What the benches of four kinds of networks compare: labels, and as many weights a pattern."""

from __future__ import annotations

import numpy as np
import pytest

from bench.accuracy.patterns import goals_of, lstm_shapes
from bench.kinds.data import _thirds
from bench.kinds.run import CASES, MAIN, PATTERNS, SPARSITY
from pruning.mask.views import Unstructured


def test_thirds_of_a_phone() -> None:
    labels = np.array([4, 4, 4, 4, 4, 4, 0, -1, -1, 4, 4])
    assert _thirds(labels).tolist() == [12, 12, 13, 13, 14, 14, 0, -1, -1, 12, 13]


@pytest.mark.parametrize("name", CASES)
def test_every_pattern_keeps_as_many_weights(name: str) -> None:
    case = CASES[name]
    network = case.network(0, case.units)
    shapes, kept = lstm_shapes(network), set()
    for pattern in PATTERNS:
        goals = goals_of(network, pattern, SPARSITY, MAIN)
        assert set(goals) == set(shapes)
        assert all(
            isinstance(g.view, Unstructured) == (MAIN not in pattern) for g in goals.values()
        )
        layouts = [(goals[n].view.layout(*shapes[n]), goals[n].keep or 0) for n in shapes]
        kept.add(sum(layout.kept(keep) for layout, keep in layouts))
    assert max(kept) - min(kept) <= 0.005 * max(kept)
