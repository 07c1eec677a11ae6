"""Orders of a screened head: exact whatever they are, and the one that reads less is taken."""

from __future__ import annotations

import numpy as np
import pytest

from csb_format import DenseLayer, Fixed, IntArray
from csb_format.screening.layer import ScreenedLayer
from engine.ordered import ordered, winners
from engine.screened import of_all, top

K = 5


def drawn(rows: int, columns: int, seed: int) -> tuple[DenseLayer, IntArray]:
    """A head whose largest rows point away from all states, as rare words of tied heads do."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(0, 1, columns)
    often = rng.random(rows) < 0.2
    weight = rng.normal(0, 0.25, (rows, columns)) - np.where(often, 0, 1.5)[:, None] * mean
    fitted = np.clip(weight * 4000, -32768, 32767).astype(np.int64)
    states = (mean + rng.normal(0, 0.6, (90, columns))) * 6000
    bias = rng.integers(-999, 999, rows)
    head = DenseLayer(fitted, Fixed(16, 12), Fixed(16, 13), bias)
    return head, np.clip(states, -32768, 32767).astype(np.int64)


@pytest.fixture(scope="module")
def case() -> tuple[DenseLayer, ScreenedLayer, IntArray]:
    dense, states = drawn(640, 24, 1)
    return dense, ordered(dense, states[:60]), states[60:]


def test_outputs_that_win_come_first_where_that_reads_less(
    case: tuple[DenseLayer, ScreenedLayer, IntArray],
) -> None:
    dense, head, states = case
    usual = ScreenedLayer.of(dense, head.blocks.typical)
    assert sorted(head.order.tolist()) == list(range(640))
    early = head.order[:80].tolist()
    assert early != usual.order[:80].tolist()
    kept = [n for n in usual.order.tolist() if n not in set(early)]
    assert head.order[80:].tolist() == kept
    one, other = top(head, states, K), top(usual, states, K)
    assert one.bytes.sum() < 0.8 * other.bytes.sum()
    assert one.exact.sum() < other.exact.sum()


def test_it_is_exact(case: tuple[DenseLayer, ScreenedLayer, IntArray]) -> None:
    dense, head, states = case
    for k in (1, 8):
        indices, logits = of_all(dense.logits(states), k)
        found = top(head, states, k)
        np.testing.assert_array_equal(found.indices, indices)
        np.testing.assert_array_equal(found.logits, logits)
        assert found.proven


def test_planes_and_norms_move_with_their_rows(
    case: tuple[DenseLayer, ScreenedLayer, IntArray],
) -> None:
    dense, head, _ = case
    usual = ScreenedLayer.of(dense, head.blocks.typical)
    at = {output: row for row, output in enumerate(usual.order.tolist())}
    rows = [at[output] for output in head.order.tolist()]
    for name in ("prior", "scale", "norm", "exponent", "second"):
        np.testing.assert_array_equal(getattr(head.rows, name), getattr(usual.rows, name)[rows])
    for mine, theirs in zip(head.digits, usual.digits, strict=True):
        np.testing.assert_array_equal(mine, theirs[rows])


def test_rows_by_size_stay_where_that_reads_less() -> None:
    rng = np.random.default_rng(2)
    weight = rng.integers(-900, 900, (320, 16))
    bias = np.sort(rng.integers(-(1 << 26), 1 << 26, 320))[::-1]
    head = DenseLayer(weight, Fixed(16, 12), Fixed(16, 13), bias)
    states = rng.integers(-9000, 9000, (40, 16))
    found = ordered(head, states)
    least = top(ScreenedLayer.of(head, found.blocks.typical), states, K).bytes.sum()
    assert top(found, states, K).bytes.sum() <= least


def test_small_heads_have_no_rows_before_others() -> None:
    dense, states = drawn(127, 8, 3)
    head = ordered(dense, states)
    usual = ScreenedLayer.of(dense, head.blocks.typical)
    np.testing.assert_array_equal(head.order, usual.order)


def test_winners_are_counted_with_ties() -> None:
    weight = np.repeat(np.arange(12)[:, None], 2, axis=1)
    weight[3] = weight[11]
    dense = DenseLayer(weight, Fixed(8, 4), Fixed(8, 4), np.zeros(12, np.int64))
    states = np.array([[3, 1], [5, 5], [-7, -7]])
    logits = dense.logits(states)
    least = np.sort(logits, axis=1)[:, -8, None]
    count = (logits >= least).sum(axis=0)
    found = winners(dense, states)
    assert sorted(found.tolist()) == np.flatnonzero(count).tolist()
    assert (np.diff(count[found]) <= 0).all()
