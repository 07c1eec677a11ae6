"""The float32 layer computes the LSTM that its integers stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csb_format import LstmLayer
from csb_format.random_models import random_frames, random_network
from engine.floating import FloatLstm
from engine.reference import IntegerModel


def plain_step(layer: LstmLayer, x: Any, r: Any, c: Any) -> tuple[Any, Any]:
    """Textbook LSTM in float64."""
    scales = [
        np.repeat([f.lsb for f in layer.gate_formats(side)], layer.hidden_size)[:, None]
        for side in ("weight_ih", "weight_hh")
    ]
    ih, hh = layer.weight_ih.to_dense() * scales[0], layer.weight_hh.to_dense() * scales[1]
    i, f, g, o = np.split(ih @ x + hh @ r + layer.state.dequantise(layer.bias), 4)
    i, f, o = (0.5 + 0.5 * np.tanh(z / 2) for z in (i, f, o))
    c = f * c + i * np.tanh(g)
    h = o * np.tanh(c)
    if layer.projection is None:
        return h, c
    return layer.projection.weight.to_dense() * layer.projection.weight_format.lsb @ h, c


@given(
    st.integers(1, 40),
    st.integers(1, 20),
    st.booleans(),
    st.sampled_from([None, False]),
    st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_any_layer(x: int, h: int, projected: bool, permute: bool | None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    projection = max(1, h // 2) if projected else 0
    banks = (min(4, x), min(4, projection or h), min(4, h))
    layer = random_network(rng, x, h, banks, (3, 2, 2), projection=projection).layers[0]
    made = FloatLstm(layer, permute)
    state = made.start()
    for frame in rng.standard_normal((4, x)):
        want = plain_step(layer, frame, *state)
        before = [s.copy() for s in state]
        new = made.step(frame, state)
        for got, plain, old, kept in zip(new, want, state, before, strict=True):
            assert got.dtype == np.float32
            np.testing.assert_allclose(got, plain, atol=2e-5)
            np.testing.assert_array_equal(old, kept)
        state = new


@pytest.mark.parametrize("scale", [0.0, 1e-3, 30.0, 1e4])
def test_activations_at_their_ends(scale: float) -> None:
    rng = np.random.default_rng(0)
    layer = random_network(rng, 12, 9, 4, (3, 3, 3)).layers[0]
    x = scale * rng.standard_normal(12)
    made = FloatLstm(layer)
    got, want = made.step(x, made.start()), plain_step(layer, x, *made.start())
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_near_the_integers() -> None:
    """16 bits stay near the float layer over some steps."""
    rng = np.random.default_rng(1)
    model = random_network(rng, 20, 16, 4, (2, 2, 2), projection=8)
    layer, frames = model.layers[0], random_frames(rng, model, [6])[0]
    trace = IntegerModel(model).run([frames])[0]
    made = FloatLstm(layer)
    state = made.start()
    assert layer.projection is not None
    output = layer.projection.output
    for t, frame in enumerate(layer.input.dequantise(frames)):
        state = made.step(frame, state)
        clipped = np.clip(state[0], output.min * output.lsb, output.max * output.lsb)
        np.testing.assert_allclose(clipped, output.dequantise(trace.output[t]), atol=5e-3)


def test_bad_shapes() -> None:
    layer = random_network(np.random.default_rng(2), 6, 5, 2, (2, 2, 2), projection=3).layers[0]
    made = FloatLstm(layer)
    output, cell = made.start()
    assert [p.shape for p in made.products] == [(20, 6), (20, 3), (3, 5)]
    with pytest.raises(ValueError, match=r"x of shape \(7,\): this layer takes \(6,\)"):
        made.step(np.zeros(7), (output, cell))
    with pytest.raises(ValueError, match=r"output of shape \(5,\): this layer takes \(3,\)"):
        made.step(np.zeros(6), (cell, cell))
    with pytest.raises(ValueError, match=r"cell of shape \(3,\): this layer takes \(5,\)"):
        made.step(np.zeros(6), (output, output))
