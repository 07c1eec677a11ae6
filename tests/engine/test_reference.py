"""The integer model against a float LSTM, and against its rules written with fractions."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from csb_format import DenseLayer, Fixed, LstmLayer, Model
from csb_format.random_models import random_frames, random_model, random_network
from engine.reference import IntegerModel

FloatArray = npt.NDArray[np.float64]

# X, H, banks, k_ih, k_hh, value_bits, act_bits
MODELS = [
    (10, 9, 4, 2, 2, 16, 16),
    (7, 5, 1, 3, 2, 12, 8),
    (6, 8, 2, 0, 3, 18, 18),
    (9, 4, 4, 2, 0, 4, 6),
    (20, 12, 3, 3, 1, 8, 12),
]


def drawn(seed: int, sizes: tuple[int, ...]) -> tuple[Model, np.random.Generator]:
    rng = np.random.default_rng(seed)
    x, h, banks, k_ih, k_hh, value, act = sizes
    return random_model(rng, x, h, banks, k_ih, k_hh, value, act, head=5), rng


class FloatLstm:
    """``torch.nn.LSTM`` as its documentation states it, in float64."""

    def __init__(self, layer: LstmLayer):
        self.layer = layer
        self.w_ih, self.w_hh = (
            np.concatenate(
                [
                    fixed.dequantise(part)
                    for fixed, part in zip(
                        layer.gate_formats(name),
                        np.split(getattr(layer, name).to_dense(), 4),
                        strict=True,
                    )
                ]
            )
            for name in ("weight_ih", "weight_hh")
        )
        self.bias = layer.state.dequantise(layer.bias)

    def step(self, x: FloatArray, h: FloatArray, c: FloatArray) -> tuple[FloatArray, FloatArray]:
        i, f, g, o = np.split(self.w_ih @ x + self.w_hh @ h + self.bias, 4)
        i, f, o = (1 / (1 + np.exp(-v)) for v in (i, f, o))
        c = f * c + i * np.tanh(g)
        return o * np.tanh(c), c

    def run(self, frames: FloatArray) -> FloatArray:
        h = c = np.zeros(self.layer.hidden_size)
        hidden = []
        for x in frames:
            h, c = self.step(x, h, c)
            hidden.append(h)
        return np.array(hidden)


@pytest.mark.parametrize("seed", range(8))
def test_close_to_a_float_lstm(seed: int) -> None:
    model, rng = drawn(seed, (24, 32, 4, 3, 4, 16, 16))
    layer = model.layers[0]
    frames = random_frames(rng, model, [20])[0]
    hidden = layer.hidden.dequantise(IntegerModel(model).run([frames])[0].hidden)
    error = np.abs(hidden - FloatLstm(layer).run(layer.input.dequantise(frames)))
    assert error.max() < 1e-3
    assert np.abs(hidden).max() > 0.3


@pytest.mark.parametrize("act_bits", [8, 12, 16])
def test_one_step_is_within_rounding_of_float(act_bits: int) -> None:
    """From the same state; a step rounds pre-activations, gates, the cell and h."""
    model, rng = drawn(3, (12, 16, 4, 2, 3, 16, act_bits))
    layer, integer = model.layers[0], IntegerModel(model)
    bound = 6 * layer.state.lsb
    for x in random_frames(rng, model, [30])[0]:
        h = rng.integers(layer.hidden.min, layer.hidden.max + 1, 16)
        c = rng.integers(layer.state.min // 4, layer.state.max // 4, 16)
        got = [v[0] for v in integer.step(x[None], h[None], c[None])]
        formats = (layer.input, layer.hidden, layer.state)
        real = [f.dequantise(v) for f, v in zip(formats, (x, h, c), strict=True)]
        want = FloatLstm(layer).step(*real)
        for value, fmt, exact in zip(got, formats[1:], want, strict=True):
            assert np.abs(fmt.dequantise(value) - exact).max() < bound


class ExactStep:
    """One step by the rules of docs/architecture.md, on single numbers and exact fractions."""

    def __init__(self, layer: LstmLayer):
        self.layer, self.gate, self.state = layer, layer.hidden, layer.state
        self.weights = [
            (
                getattr(layer, name).to_dense().tolist(),
                [fixed.frac + vector.frac for fixed in layer.gate_formats(name)],
            )
            for name, vector in (("weight_ih", layer.input), ("weight_hh", layer.hidden))
        ]
        # [0, 8) has 256 segments, or as many as leave two arguments of sigmoid in each
        self.segments = min(256, 8 << layer.state.frac)
        self.table = [self.segment(n) for n in range(self.segments)]

    @staticmethod
    def round(value: Fraction) -> int:
        return math.floor(value + Fraction(1, 2))

    @staticmethod
    def clip(value: int, fmt: Fixed) -> int:
        return max(-(1 << fmt.width - 1), min(value, (1 << fmt.width - 1) - 1))

    def segment(self, n: int) -> tuple[int, int]:
        """The chord of tanh, lifted by half its largest distance; the first starts at 0."""
        start, end = n * 8 / self.segments, (n + 1) * 8 / self.segments
        rise = math.tanh(end) - math.tanh(start)
        slope = rise / (end - start)
        touch = math.sqrt(1 - slope)  # tanh where its derivative is the slope
        lift = touch - math.tanh(start) - slope * (math.atanh(touch) - start)
        one = 2 ** (self.gate.width + 1)
        base = math.floor((math.tanh(start) + lift / 2) * one + 0.5) if n else 0
        return base, math.floor(rise * one + 0.5)

    def magnitude(self, z: Fraction) -> Fraction:
        """tanh(z) for z >= 0, on the table's grid."""
        z = min(z, 8 - Fraction(1, 2 ** (self.state.frac + 1)))
        place = z * self.segments / 8
        base, rise = self.table[math.floor(place)]
        size = base + self.round(rise * (place - math.floor(place)))
        return Fraction(size, 2 ** (self.gate.width + 1))

    def to_gate(self, real: Fraction) -> int:
        return self.clip(self.round(real * 2**self.gate.frac), self.gate)

    def tanh(self, x: int) -> int:
        size = self.to_gate(self.magnitude(Fraction(abs(x), 2**self.state.frac)))
        return size if x >= 0 else -size

    def sigmoid(self, x: int) -> int:
        half = self.magnitude(Fraction(abs(x), 2 ** (self.state.frac + 1)))
        return self.to_gate((1 + half if x >= 0 else 1 - half) / 2)

    def preactivation(self, row: int, x: list[int], h: list[int]) -> int:
        total = Fraction(0)
        gate = row * 4 // len(self.layer.bias)
        for (weights, fracs), vector in zip(self.weights, (x, h), strict=True):
            exact = sum(w * v for w, v in zip(weights[row], vector, strict=True))
            total += Fraction(exact) / Fraction(2) ** fracs[gate]
        rounded = self.round(total * 2**self.state.frac)
        return self.clip(rounded + int(self.layer.bias[row]), self.state)

    def step(self, x: list[int], h: list[int], c: list[int]) -> tuple[list[int], list[int]]:
        size, hidden, cell = len(c), [], []
        for unit in range(size):
            i, f, g, o = (self.preactivation(n * size + unit, x, h) for n in range(4))
            i, f, g, o = self.sigmoid(i), self.sigmoid(f), self.tanh(g), self.sigmoid(o)
            real = Fraction(f * c[unit], 2 ** (self.gate.frac + self.state.frac))
            real += Fraction(i * g, 2 ** (2 * self.gate.frac))
            cell.append(self.clip(self.round(real * 2**self.state.frac), self.state))
            product = Fraction(o * self.tanh(cell[-1]), 2**self.gate.frac)
            hidden.append(self.clip(self.round(product), self.gate))
        return hidden, cell


@pytest.mark.parametrize("sizes", MODELS)
def test_equals_the_rules_on_fractions(sizes: tuple[int, ...]) -> None:
    model, rng = drawn(11, sizes)
    frames = random_frames(rng, model, [5])[0]
    exact, trace = ExactStep(model.layers[0]), IntegerModel(model).run([frames])[0]
    h = c = [0] * sizes[1]
    for step, frame in enumerate(frames.tolist()):
        h, c = exact.step(frame, h, c)
        assert trace.hidden[step].tolist() == h
        assert trace.cell[step].tolist() == c


@pytest.mark.parametrize("sizes", MODELS)
def test_equals_the_rules_at_the_ends_of_every_range(sizes: tuple[int, ...]) -> None:
    model, rng = drawn(12, sizes)
    layer, units = model.layers[0], sizes[1]
    exact, integer = ExactStep(layer), IntegerModel(model)
    for _ in range(4):
        x = rng.choice([layer.input.min, layer.input.max], sizes[0])
        h = rng.choice([layer.hidden.min, layer.hidden.max], units)
        c = rng.choice([layer.state.min, -1, 0, 1, layer.state.max], units)
        got_h, got_c = integer.step(x[None], h[None], c[None])
        want = exact.step(x.tolist(), h.tolist(), c.tolist())
        assert (got_h[0].tolist(), got_c[0].tolist()) == want


def test_wide_biases_saturate() -> None:
    model, rng = drawn(13, MODELS[0])
    layer = model.layers[0]
    extremes = rng.choice([layer.state.min, layer.state.max], len(layer.bias))
    layer = replace(layer, bias=extremes)
    model = replace(model, layers=(layer,))
    x = np.full((1, layer.input_size), layer.input.max)
    h = c = np.zeros((1, layer.hidden_size), np.int64)
    got_h, got_c = IntegerModel(model).step(x, h, c)
    want = ExactStep(layer).step(x[0].tolist(), h[0].tolist(), c[0].tolist())
    assert (got_h[0].tolist(), got_c[0].tolist()) == want


@pytest.mark.parametrize("lengths", [[3, 7, 1, 7, 0, 4], [5], [1, 1], [2, 9]])
def test_a_ragged_batch_equals_one_by_one(lengths: list[int]) -> None:
    model, rng = drawn(21, MODELS[0])
    integer, sequences = IntegerModel(model), random_frames(rng, model, lengths)
    for sequence, trace in zip(sequences, integer.run(sequences), strict=True):
        assert len(trace.hidden) == len(trace.cell) == len(sequence)
        h = c = np.zeros((1, integer.layer.hidden_size), np.int64)
        for step, x in enumerate(sequence):
            h, c = integer.step(x[None], h, c)
            np.testing.assert_array_equal(trace.hidden[step], h[0])
            np.testing.assert_array_equal(trace.cell[step], c[0])


def test_no_sequences_give_no_traces() -> None:
    assert IntegerModel(drawn(1, MODELS[0])[0]).run([]) == []


def test_gate_sums_are_exact_on_the_common_scale() -> None:
    model, rng = drawn(22, MODELS[4])
    layer, integer = model.layers[0], IntegerModel(model)
    x, h = rng.integers(-2000, 2000, 20), rng.integers(-2000, 2000, 12)
    sums = integer.gate_sums(x, h, np.zeros(12, np.int64))
    ih, hh = layer.weight_ih.to_dense().astype(object), layer.weight_hh.to_dense().astype(object)
    for row in range(48):
        gate = row // 12
        of_ih, of_hh = (layer.gate_formats(name)[gate] for name in ("weight_ih", "weight_hh"))
        exact = Fraction(int(ih[row] @ x)) / 2 ** (of_ih.frac + layer.input.frac)
        exact += Fraction(int(hh[row] @ h)) / 2 ** (of_hh.frac + layer.hidden.frac)
        frac = layer.state.frac + integer.scales.shift[gate]
        assert int(sums[row]) * Fraction(2) ** -frac == exact


def headed(weight: Any, bias: Any) -> IntegerModel:
    model, _ = drawn(1, MODELS[0])
    head = DenseLayer(
        np.array(weight, np.int64), Fixed(16, 8), model.layers[0].hidden, np.array(bias, np.int64)
    )
    return IntegerModel(replace(model, head=head))


def test_classify_takes_the_lowest_of_equal_logits() -> None:
    rows = np.zeros((4, 9), np.int64)
    rows[1, 0] = rows[3, 0] = 7
    hidden = np.zeros((3, 9), np.int64)
    hidden[:, 0] = 100, -100, 0
    assert headed(rows, [0, 0, 0, 0]).classify(hidden).tolist() == [1, 0, 0]
    assert headed(rows, [0, 5, 5, 5]).classify(hidden).tolist() == [1, 2, 1]


def test_classify_is_the_argmax_of_exact_logits() -> None:
    model, rng = drawn(31, MODELS[0])
    assert model.head is not None
    hidden = rng.integers(-(2**15), 2**15, (50, 9))
    weight, bias = model.head.weight.astype(object), model.head.bias.astype(object)
    want = []
    for h in hidden:
        logits = [int(row @ h) + int(b) for row, b in zip(weight, bias, strict=True)]
        want.append(logits.index(max(logits)))
    assert IntegerModel(model).classify(hidden).tolist() == want
    assert len(set(want)) > 1


def test_classify_needs_a_head() -> None:
    model, _ = drawn(1, MODELS[0])
    with pytest.raises(ValueError, match=r"no head: pack it with its classifier"):
        IntegerModel(replace(model, head=None)).classify(np.zeros(9, np.int64))


def test_quantise_rounds_and_saturates_to_the_input_format() -> None:
    integer = IntegerModel(drawn(1, MODELS[0])[0])
    lsb, largest = integer.input.lsb, integer.input.max
    frames = [[[0.5 * lsb, -0.5 * lsb, 1e9]], [[2 * lsb, -1e9, 0.0]]]
    first, second = integer.quantise(frames)
    assert first.tolist() == [[1, 0, largest]]
    assert second.tolist() == [[2, integer.input.min, 0]]


def float_reset_first(layer: LstmLayer, frames: FloatArray) -> FloatArray:
    """ONNX's GRU with ``linear_before_reset`` of 0 as its specification states it, in float64."""
    units = layer.hidden_size
    ih, hh = (
        m.matrix.to_real(m.formats).astype(float).reshape(3, units, -1) for m in layer.matrices
    )
    bias = layer.state.dequantise(layer.bias).reshape(3, units)
    h, found = np.zeros(units), []
    for x in frames:
        r, z = (1 / (1 + np.exp(-(ih[n] @ x + hh[n] @ h + bias[n]))) for n in range(2))
        n = np.tanh(ih[2] @ x + hh[2] @ (r * h) + bias[2])
        h = (1 - z) * n + z * h
        found.append(h)
    return np.array(found)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_reset_first_gru_is_near_the_real_one(reverse: bool) -> None:
    rng = np.random.default_rng(11)
    model = random_network(
        rng, 10, 9, 3, (2, 2, 1), directions=1 + reverse, value_bits=12, act_bits=18, cell="gru0"
    )
    (frames,) = random_frames(rng, model, [12])
    layer = model.layers[-1]
    turned = frames[::-1] if reverse else frames
    real = float_reset_first(layer, layer.input.dequantise(turned))
    got = layer.hidden.dequantise(IntegerModel(model).run([frames])[0].output)[:, -9:]
    assert np.abs(got - (real[::-1] if reverse else real)).max() < 1e-3
    # the other form is another network
    other = replace(layer, cell="gru", bias=np.pad(layer.bias, (0, 9)))
    (trace,) = IntegerModel(Model((other,))).run([turned])
    assert np.abs(layer.hidden.dequantise(trace.output) - real).max() > 2e-2
