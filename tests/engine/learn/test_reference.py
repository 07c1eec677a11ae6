"""The contract's gradients against those of the real network, by differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from csb_format import LstmLayer, Model
from engine.learn.learner import Learner, Settings
from engine.learn.weights import Masters, tensors_of

from .networks import batch, network

Real = dict[str, np.ndarray[Any, Any]]
SHORT = (6, 5, 5, 3, 1)
NETWORKS: dict[str, dict[str, Any]] = {
    "lstm": {},
    "stacked": {"layers": 2},
    "both ways, projected": {"directions": 2, "projection": 8, "banks": (4, 2, 4), "pool": "hn"},
    "mean": {"pool": "mean"},
    "every frame": {"pool": "every"},
    "gru": {"cell": "gru"},
    "gru0": {"cell": "gru0"},
}


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def run_layer(layer: LstmLayer, n: int, real: Real, x: Any) -> Any:
    """Outputs (T, R) of a layer in float64."""
    ih, hh, b = (real[f"layers.{n}.{name}"] for name in ("weight_ih", "weight_hh", "bias"))
    units, kind = layer.hidden_size, layer.cell
    h, c, out = np.zeros(units), np.zeros(units), []
    r = np.zeros(layer.output_size)
    for frame in x:
        i = ih @ frame
        if kind == "lstm":
            gates = np.split(i + hh @ r + b, 4)
            c = sigmoid(gates[1]) * c + sigmoid(gates[0]) * np.tanh(gates[2])
            h = sigmoid(gates[3]) * np.tanh(c)
        else:
            g = hh @ h
            reset, z = (
                sigmoid(i[s] + g[s] + b[s]) for s in (np.s_[:units], np.s_[units : 2 * units])
            )
            last = np.s_[2 * units :]
            if kind == "gru":
                inner = i[last] + b[2 * units : 3 * units] + reset * (g[last] + b[3 * units :])
            else:
                inner = i[last] + hh[last] @ (reset * h) + b[last]
            h = (1 - z) * np.tanh(inner) + z * h
        r = real[f"layers.{n}.weight_hr"] @ h if layer.projection else h
        out.append(r)
    return np.array(out)


def cost(model: Model, real: Real, frames: Any, labels: Any) -> float:
    total = 0.0
    for x, label in zip(frames, labels, strict=True):
        signal = model.layers[0].input.dequantise(x)
        for n in range(0, len(model.layers), model.directions):
            forward = run_layer(model.layers[n], n, real, signal)
            if model.directions == 2:
                back = run_layer(model.layers[n + 1], n + 1, real, signal[::-1])[::-1]
                forward = np.concatenate([forward, back], axis=1)
            signal = forward
        half = signal.shape[1] // 2
        fed = {
            "last": signal[-1:],
            "mean": signal.mean(axis=0, keepdims=True),
            "every": signal,
            "hn": np.concatenate([signal[-1:, :half], signal[:1, half:]], axis=1),
        }[model.pool]
        logits = fed @ real["head.weight"].T + real["head.bias"]
        for row, right in zip(logits, label, strict=True):
            if right >= 0:
                total += np.log(np.exp(row).sum()) - row[right]
    return total


def real_of(model: Model) -> Real:
    found = {}
    for tensor in tensors_of(model):
        fracs = np.array(tensor.fracs, float)
        parts = np.repeat(fracs, len(tensor.values) // len(fracs))
        found[tensor.name] = tensor.values / 2.0 ** parts.reshape(
            (-1,) + (1,) * (tensor.values.ndim - 1)
        )
    return found


def dense(model: Model, real: Real) -> Real:
    """Matrices of kept weights as they multiply."""
    found = dict(real)
    for n, layer in enumerate(model.layers):
        for m in layer.matrices:
            name, csb = f"layers.{n}.{m.name}", m.matrix
            whole = np.zeros((csb.geometry.rows, csb.geometry.padded_columns + 1))
            rows = np.arange(csb.geometry.rows)[:, None, None]
            whole[rows, csb.column_indices] = real[name]
            found[name] = whole[:, : csb.geometry.columns]
    return found


@pytest.mark.quick(5)
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_the_real_network(name: str) -> None:
    model = network(value_bits=16, act_bits=16, **NETWORKS[name])
    frames, asked = batch(model, lengths=SHORT)
    learner = Learner(model, Settings(gradient_bits=16))
    learner._look(frames, asked)
    outcome, _, _ = learner.gradients(frames, asked)
    real, rng, step = real_of(model), np.random.default_rng(0), 1e-5

    def at(change: Callable[[Real], None]) -> float:
        other = {key: value.copy() for key, value in real.items()}
        change(other)
        return cost(model, dense(model, other), frames, asked.labels)

    masters = Masters(model, ("",))
    for key, gradient in outcome.gradients.items():
        keeps = masters.tensors[key].real
        places = np.argwhere(np.ones(gradient.sums.shape, bool) if keeps is None else keeps)
        ours, theirs = [], []
        for place in map(tuple, rng.choice(places, min(4, len(places)), replace=False)):

            def moved(other: Real, by: float, place: Any = place, key: str = key) -> None:
                other[key][place] += by

            theirs.append(
                (at(lambda o: moved(o, step)) - at(lambda o: moved(o, -step))) / (2 * step)
            )
            ours.append(gradient.sums[place] * 2.0**gradient.exponent)
        # straight through every rounding of the forward pass, and those of the gradients
        assert ours == pytest.approx(theirs, rel=0.02, abs=2e-3 * max(map(abs, theirs))), key
