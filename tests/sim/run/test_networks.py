"""Networks: the integer model against a float LSTM and plain integers, Verilog against it."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from csb_format import Fixed, LstmLayer, Model
from csb_format.cells.lstm import CellArithmetic
from csb_format.random_models import random_frames, random_model, random_network
from engine.reference import IntegerModel
from hdl.verilog import emit_verilog
from sim.check.verify import verify

FloatArray = npt.NDArray[np.float64]
NETWORKS: list[dict[str, Any]] = [
    {"layers": 3},
    {"directions": 2},
    {"projection": 5},
    {"layers": 2, "directions": 2, "projection": 5},
    {"layers": 2, "projection": 3, "value_bits": 8, "act_bits": 8},
]


def drawn(seed: int, more: dict[str, Any]) -> tuple[Model, np.random.Generator]:
    rng = np.random.default_rng(seed)
    sizes: dict[str, Any] = {"input_size": 10, "hidden_size": 9, "banks": 3, "k": (2, 2, 2)}
    return random_network(rng, **(sizes | more)), rng


def nearest(value: Fraction, fixed: Fixed) -> int:
    """Halves up, saturating."""
    whole = math.floor(value * Fraction(2) ** fixed.frac + Fraction(1, 2))
    return max(fixed.min, min(whole, fixed.max))


class PlainLayer:
    """One direction, number by number; activations are those that test_piecewise checks."""

    def __init__(self, layer: LstmLayer):
        self.layer = layer
        cell = CellArithmetic(layer.hidden.width)
        self.table, self.gate, self.state = cell.piecewise, cell.gate, cell.state

    @staticmethod
    def dot(weights: list[int], vector: list[int], frac: int) -> Fraction:
        exact = sum(w * v for w, v in zip(weights, vector, strict=True))
        return Fraction(exact) / Fraction(2) ** frac

    def gates(self, x: list[int], r: list[int]) -> list[int]:
        layer, pre = self.layer, []
        ih, hh = layer.weight_ih.to_dense().tolist(), layer.weight_hh.to_dense().tolist()
        for row, bias in enumerate(layer.bias.tolist()):
            gate = row // layer.hidden_size
            frac_ih = layer.gate_formats("weight_ih")[gate].frac + layer.input.frac
            frac_hh = layer.gate_formats("weight_hh")[gate].frac + layer.output.frac
            total = self.dot(ih[row], x, frac_ih) + self.dot(hh[row], r, frac_hh)
            whole = math.floor(total * 2**self.state.frac + Fraction(1, 2)) + bias
            value = np.array(max(self.state.min, min(whole, self.state.max)))
            pre.append(int(self.table.tanh(value) if gate == 2 else self.table.sigmoid(value)))
        return pre

    def step(self, x: list[int], r: list[int], c: list[int]) -> tuple[list[int], ...]:
        gates, size, one = self.gates(x, r), len(c), 2**self.gate.frac
        i, f, g, o = (gates[n * size : (n + 1) * size] for n in range(4))
        cell = [
            nearest(
                Fraction(f[u] * c[u], one * 2**self.state.frac) + Fraction(i[u] * g[u], one**2),
                self.state,
            )
            for u in range(size)
        ]
        tanh = self.table.tanh(np.array(cell)).tolist()
        h = [nearest(Fraction(a * b, one**2), self.gate) for a, b in zip(o, tanh, strict=True)]
        return h, cell, self.project(h)

    def project(self, h: list[int]) -> list[int]:
        projection = self.layer.projection
        if projection is None:
            return h
        frac = projection.weight_format.frac + self.layer.hidden.frac
        rows = projection.weight.to_dense().tolist()
        return [nearest(self.dot(row, h, frac), projection.output) for row in rows]

    def run(self, frames: list[list[int]]) -> list[tuple[list[int], ...]]:
        r, c = [0] * self.layer.output_size, [0] * self.layer.hidden_size
        steps: list[tuple[list[int], ...]] = []
        for x in frames:
            h, c, r = self.step(x, r, c)
            steps.append((h, c, r))
        return steps


def plain_run(model: Model, frames: list[list[int]]) -> list[tuple[list[int], ...]]:
    """Layer i forward is ``layers[i * directions]``, its reverse the next one."""
    for n in range(0, len(model.layers), model.directions):
        steps = PlainLayer(model.layers[n]).run(frames)
        if model.directions == 2:
            back = PlainLayer(model.layers[n + 1]).run(frames[::-1])[::-1]
            steps = [
                tuple(a + b for a, b in zip(*two, strict=True))
                for two in zip(steps, back, strict=True)
            ]
        frames = [output for _, _, output in steps]
    return steps


@pytest.mark.parametrize("more", NETWORKS)
def test_equals_plain_integers(more: dict[str, Any]) -> None:
    model, rng = drawn(5, more)
    sequences = random_frames(rng, model, [4, 1, 6])
    for frames, trace in zip(sequences, IntegerModel(model).run(sequences), strict=True):
        steps = plain_run(model, frames.tolist())
        for got, want in zip(
            (trace.hidden, trace.cell, trace.output), zip(*steps, strict=True), strict=True
        ):
            assert got.tolist() == list(want)


def float_layer(layer: LstmLayer, frames: FloatArray) -> FloatArray:
    """``torch.nn.LSTM`` with ``proj_size`` as its documentation states it."""
    w_ih, w_hh = (float_weight(layer, name) for name in ("weight_ih", "weight_hh"))
    bias = layer.state.dequantise(layer.bias)
    project = np.eye(layer.hidden_size)
    if layer.projection is not None:
        project = layer.projection.weight_format.dequantise(layer.projection.weight.to_dense())
    r, c, outputs = np.zeros(layer.output_size), np.zeros(layer.hidden_size), []
    for x in frames:
        i, f, g, o = np.split(w_ih @ x + w_hh @ r + bias, 4)
        i, f, o = (1 / (1 + np.exp(-v)) for v in (i, f, o))
        c = f * c + i * np.tanh(g)
        r = project @ (o * np.tanh(c))
        outputs.append(r)
    return np.array(outputs)


def float_weight(layer: LstmLayer, name: str) -> FloatArray:
    parts = np.split(getattr(layer, name).to_dense(), 4)
    formats = layer.gate_formats(name)
    return np.concatenate([f.dequantise(p) for f, p in zip(formats, parts, strict=True)])


@pytest.mark.parametrize("more", NETWORKS[:4])
def test_close_to_a_float_lstm(more: dict[str, Any]) -> None:
    model, rng = drawn(6, more)
    frames = random_frames(rng, model, [12])[0]
    real = model.layers[0].input.dequantise(frames)
    for level in model.levels:
        parts = [float_layer(level[0], real)]
        parts += [float_layer(layer, real[::-1])[::-1] for layer in level[1:]]
        real = np.concatenate(parts, axis=1)
    output = model.levels[-1][0].output
    got = output.dequantise(IntegerModel(model).run([frames])[0].output)
    inside = np.abs(real) < output.max * output.lsb
    assert inside.mean() > 0.9
    assert np.abs(got - real)[inside].max() < 4e-3
    assert np.abs(got).max() > 0.3


def test_random_networks_are_what_was_asked_for() -> None:
    rng = np.random.default_rng(1)
    model = random_network(rng, 12, 8, (4, 3, 2), (2, 1, 4), 2, 2, 6, 12, 10, head=5)
    assert (len(model.layers), model.directions, model.output_size) == (4, 2, 12)
    for layer in model.layers:
        assert layer.projection is not None
        found = [layer.weight_ih, layer.weight_hh, layer.projection.weight]
        assert [m.geometry.banks for m in found] == [4, 3, 2]
        assert [m.geometry.nonzeros for m in found] == [2, 1, 4]
        assert {m.geometry.value_bits for m in found} == {12}
        assert layer.hidden == CellArithmetic(10).gate
    assert model.head is not None
    assert (model.head.input_size, model.head.output_size) == (12, 5)


def test_the_same_seed_gives_the_same_network() -> None:
    more = {"layers": 2, "directions": 2, "projection": 5}
    assert drawn(3, more)[0].equals(drawn(3, more)[0])
    assert not drawn(3, more)[0].equals(drawn(4, more)[0])


def test_a_matrix_may_have_more_banks_than_another_has_columns() -> None:
    model = random_network(np.random.default_rng(0), 10, 6, (10, 2, 1), (1, 3, 6))
    assert model.layers[0].weight_ih.geometry.banks == 10
    with pytest.raises(ValueError, match=r"banks 65: must be 1 to 64"):
        random_network(np.random.default_rng(0), 10, 6, 65, (1, 1, 1))
    assert random_model(np.random.default_rng(0), 10, 6, 2, 1, 1).layers[0].projection is None


def check_hardware(case: Any, seed: int, folder: Path, simulator: str) -> None:
    """Every value, every cycle; some load their memories, some start from images."""
    load = seed % 3 == 0
    design, frames = case.image.design, sum(map(len, case.sequences))
    files = emit_verilog(design, folder / "v", None if load else case.image)
    more: dict[str, Any] = {"simulator": simulator, "load": load, "contexts": design.contexts}
    shown = verify(case.reference, case.image, files, case.sequences, folder, **more)
    assert shown.exact, str(shown.first or shown.cycle_mismatch)
    assert len(shown.before) + 1 == len(case.image.parts)
    assert shown.frames == frames
    emitted = {emission.layer for emission in case.image.parts[-1].emissions}
    assert set(shown.comparison.outputs) - {-1} == emitted
    assert len(shown.comparison.outputs[max(emitted)]) == frames


@pytest.mark.quick(2)
@pytest.mark.parametrize("seed", range(12))
def test_random_networks_on_icarus(random_case: Any, seed: int, tmp_path: Path) -> None:
    check_hardware(random_case(seed), seed, tmp_path, "icarus")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 212))
def test_more_random_networks_on_icarus(random_case: Any, seed: int, tmp_path: Path) -> None:
    check_hardware(random_case(seed), seed, tmp_path, "icarus")


@pytest.mark.quick(2)
@pytest.mark.parametrize("seed", range(100))
def test_random_networks_with_k_per_gate(random_case: Any, seed: int, tmp_path: Path) -> None:
    """Values and cycles of the Verilog, of LSTMs and of GRUs whose gates have own slots."""
    case = random_case(seed, by_gate=True)
    assert case.image.design.by_gate
    check_hardware(case, seed, tmp_path, "icarus")


VERILATED = [3, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 17))]


@pytest.mark.parametrize("seed", VERILATED)
def test_random_networks_on_verilator(
    random_case: Any, seed: int, tmp_path: Path, quick_builds: None
) -> None:
    check_hardware(random_case(seed), seed, tmp_path, "verilator")


def test_the_random_networks_in_ci_have_everything(random_case: Any) -> None:
    cases = [random_case(seed) for seed in range(12)]
    models = [case.model for case in cases]
    assert {model.directions for model in models} == {1, 2}
    assert {len(model.levels) for model in models} == {1, 2, 3}
    assert {model.layers[0].projection is None for model in models} == {True, False}
    assert {bool(case.image.design.linear) for case in cases} == {True, False}
    assert {case.image.design.contexts for case in cases} == {1, 2, 3}
    assert {model.layers[0].hidden.width for model in models} == {8, 16}
    assert {case.image.design.reach for case in cases} == {8, 16, 64}
    assert {model.layers[0].weight_ih.geometry.value_bits for model in models} == {4, 8, 12, 16}
    assert {case.image.design.lanes for case in cases} == {1, 2, 4, 8}
