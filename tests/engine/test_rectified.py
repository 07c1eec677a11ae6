"""Rows behind a ReLU that are proven zero: activations are those of the full layer, always."""

from __future__ import annotations

import numpy as np
import pytest

from csb_format.fixed import Fixed
from csb_format.heads.mlp import MlpHead
from csb_format.model import DenseLayer
from csb_format.screening.adversaries import adversarial_head, adversarial_states
from csb_format.screening.layer import ScreenedLayer
from engine.rectified import rectified
from engine.screened import top

RNG = np.random.default_rng


def behind(first: DenseLayer, rng: np.random.Generator, lost: int) -> MlpHead:
    """A head of this first layer, whose activations have so many fraction bits fewer."""
    given = Fixed(int(rng.integers(6, 17)), first.weight_format.frac + first.input.frac - lost)
    weight = rng.integers(-100, 100, (5, first.output_size))
    return MlpHead.of(first, DenseLayer(weight, Fixed(8, 4), given, np.zeros(5, np.int64)))


def trained_like(seed: int = 0, rows: int = 300, columns: int = 48) -> tuple[MlpHead, np.ndarray]:
    """Rows and states as training leaves them: many sums are far below zero."""
    rng = RNG(seed)
    weight, common = rng.normal(size=(rows, columns)), rng.normal(size=columns)
    weight -= 0.5 * rng.random((rows, 1)) * common
    fixed, given = Fixed(16, 12), Fixed(16, 15)
    dense = DenseLayer(fixed.quantise(weight), fixed, given, np.zeros(rows, np.int64))
    states = given.quantise(0.2 * common + 0.1 * rng.normal(size=(20, columns)))
    return behind(ScreenedLayer.of(dense, 60_000), rng, 14), states


@pytest.mark.parametrize("seed", range(30))
def test_activations_are_those_of_the_full_layer(seed: int) -> None:
    rng = RNG([12, seed])
    dense = adversarial_head(rng)
    head = behind(ScreenedLayer.of(dense, int(rng.integers(0, 1 << 18))), rng, seed % 12)
    states = adversarial_states(rng, dense, 40)
    found = rectified(head, states)
    np.testing.assert_array_equal(found.activations, head.activations(states))
    assert found.proven
    assert (found.exact >= (found.activations != 0).sum(axis=1)).all()
    assert (found.first >= found.second).all()
    assert (found.second >= found.exact).all()


def test_in_plain_numbers() -> None:
    head, states = trained_like()
    (first,), second, behind = head.hidden, head.last, head.rectifiers[0]
    given = (states, head.activations(states), head.logits(states))
    for h, activations, logits in zip(*(n.tolist() for n in given), strict=True):
        sums = [sum(w * x for w, x in zip(row, h, strict=True)) for row in first.weight.tolist()]
        half, top = 1 << behind.shift - 1, second.input.max
        wanted = [min(top, (max(0, s) + half) >> behind.shift) for s in sums]
        assert activations == wanted
        assert logits == [
            sum(w * a for w, a in zip(row, wanted, strict=True)) for row in second.weight.tolist()
        ]
    assert behind.least == half
    assert not behind.of(np.array([half - 1, -5])).any()
    assert behind.of(np.array([half])).all()


def test_rows_are_skipped_and_fewer_bytes_read() -> None:
    head, states = trained_like()
    found = rectified(head, states)
    zero = (head.activations(states) == 0).sum(axis=1)
    assert (found.skipped <= zero).all()
    assert found.skipped.mean() > 0.4 * zero.mean() > 0
    layer = head.hidden[0]
    assert isinstance(layer, ScreenedLayer)
    columns, rest = layer.input_size, layer.bits - 5
    planes = [-(-bits * columns // 8) for bits in (2, 3, rest)]
    wanted = 4 * -(-layer.output_size // 16) + found.first * (planes[0] + 4)
    wanted += found.second * (planes[1] + 4) + found.exact * (planes[2] + 12)
    np.testing.assert_array_equal(found.bytes, wanted)


def test_a_margin_skips_more_and_is_no_proof() -> None:
    head, states = trained_like()
    proof, guess = rectified(head, states), rectified(head, states, 16)
    assert not guess.proven
    assert guess.exact.sum() < proof.exact.sum()
    assert (guess.activations != proof.activations).any()
    kept = guess.activations != 0
    np.testing.assert_array_equal(guess.activations[kept], proof.activations[kept])


def test_what_is_refused() -> None:
    head, states = trained_like(rows=20)
    layer = head.hidden[0]
    assert isinstance(layer, ScreenedLayer)
    with pytest.raises(ValueError, match="the first layer has no planes"):
        rectified(MlpHead.of(layer.dense, head.last), states)
    with pytest.raises(ValueError, match=r"hidden states of shape \(48,\): give \(T, 48\)"):
        rectified(head, states[0])
    with pytest.raises(ValueError, match="margin"):
        rectified(head, states, 257)


def test_what_is_no_such_head_is_named() -> None:
    head, states = trained_like(rows=20)
    dense = head.last
    with pytest.raises(ValueError, match=r"a DenseLayer has no planes: give ScreenedLayer\.of"):
        top(dense, states, 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a DenseLayer has no layer behind a ReLU"):
        rectified(dense, states)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"hidden states that are no array: give \(T, 48\)"):
        rectified(head, [[1, 2, 3], [1]])
