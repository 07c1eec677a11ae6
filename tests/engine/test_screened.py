"""The largest logits of a screened head are those of the full layer."""

from __future__ import annotations

import numpy as np
import pytest

from csb_format import DenseLayer, Fixed
from csb_format.fixed import IntArray
from csb_format.screening.adversaries import adversarial_head, adversarial_states
from csb_format.screening.layer import ScreenedLayer
from engine.screened import top

RNG = np.random.default_rng


def largest(layer: DenseLayer, states: IntArray, k: int) -> tuple[IntArray, IntArray]:
    """By sorting all logits; of equal ones the lower output first."""
    logits = layer.logits(states)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(logits, order, axis=1)


@pytest.mark.parametrize("seed", range(60))
def test_top_is_that_of_the_full_layer(seed: int) -> None:
    rng = RNG([3, seed])
    layer = ScreenedLayer.of(adversarial_head(rng))
    states, k = adversarial_states(rng, layer, 10), min(1 + seed % 8, layer.output_size)
    found, (indices, logits) = top(layer, states, k), largest(layer, states, k)
    assert found.proven
    assert np.array_equal(found.indices, indices)
    assert np.array_equal(found.logits, logits)
    assert (found.first >= found.second).all()
    assert (found.second >= found.exact).all()
    assert (found.exact >= k).all()


def peaked(seed: int = 0, outputs: int = 600) -> tuple[ScreenedLayer, IntArray]:
    """A head whose rows have a length of their own, and states that lie near some of them."""
    rng = RNG(seed)
    weight = rng.normal(0, 1, (outputs, 32)) * rng.uniform(0.2, 1, (outputs, 1))
    near = weight[rng.integers(0, outputs, 30)] * 0.3 + rng.normal(0, 0.02, (30, 32))
    fixed, given = Fixed(16, 12), Fixed(16, 15)
    dense = DenseLayer(fixed.quantise(weight), fixed, given, np.zeros(outputs, np.int64))
    return ScreenedLayer.of(dense), given.quantise(near)


def test_few_rows_are_read() -> None:
    layer, states = peaked()
    found = top(layer, states, 1)
    assert found.first.mean() < 500
    assert found.second.mean() < 150
    assert found.exact.mean() < 20
    read = layer.bytes_read(found.first, found.second, found.exact)
    assert np.array_equal(found.bytes, read)
    assert 8 * read.mean() < 3 * layer.weight.size


def test_a_margin_reads_less_and_says_so() -> None:
    layer, states = peaked()
    proof, guess = top(layer, states, 3), top(layer, states, 3, margin=96)
    assert not guess.proven
    assert guess.bytes.mean() < proof.bytes.mean()
    assert (guess.logits <= proof.logits).all()
    with pytest.raises(ValueError, match="margin = 257: must be 1 to 256"):
        top(layer, states, 3, margin=257)


def test_arguments_are_checked() -> None:
    layer, states = peaked(outputs=5)
    assert top(layer, states[:0], 2).indices.shape == (0, 2)
    with pytest.raises(ValueError, match="k = 6: must be 1 to 5"):
        top(layer, states, 6)
    with pytest.raises(ValueError, match=r"shape \(32,\): give \(T, 32\)"):
        top(layer, states[0], 1)
    with pytest.raises(ValueError, match="16 bits hold"):
        top(layer, states + 70000, 1)
