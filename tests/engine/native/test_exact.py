"""The C library computes the integer model's bits: every kernel, every kind of network."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from csb_format.cells import CELLS
from csb_format.cells.cell import reaches
from csb_format.cells.lstm import CellArithmetic
from csb_format.csb import Csb
from csb_format.fixed import Fixed, IntArray
from csb_format.geometry import Geometry
from csb_format.model import LstmLayer, Model
from csb_format.pooling import POOLS
from csb_format.random_models import random_frames, random_network
from engine.native.library import kernels, library
from engine.native.model import NativeModel
from engine.reference import IntegerModel, Trace
from tests.engine.native.networks import any_network

FIELDS = ("hidden", "cell", "output")


def assert_equal(got: list[Trace], want: list[Trace]) -> None:
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def compare(model: Model, sequences: list[IntArray]) -> list[Trace]:
    want = IntegerModel(model).run(sequences)
    for kernel in kernels():
        assert_equal(NativeModel(model, kernel).run(sequences), want)
    return want


@pytest.mark.parametrize("seed", range(24))
def test_any_network(seed: int) -> None:
    compare(*any_network(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24, 224))
def test_200_networks(seed: int) -> None:
    compare(*any_network(seed))


@pytest.mark.parametrize("width", [1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 300])
def test_banks_of_any_width(width: int) -> None:
    rng = np.random.default_rng(width)
    banks = (5, 1, 1)
    model = random_network(rng, 5 * width, 20, banks, (min(3, width), 7, 0), value_bits=8)
    compare(model, random_frames(rng, model, [4, 2]))


@pytest.mark.parametrize("act_bits", [6, 8, 16, 18])
@pytest.mark.parametrize("cell", CELLS)
def test_states_of_any_reach(cell: str, act_bits: int) -> None:
    for reach in reaches(act_bits):
        rng = np.random.default_rng(reach)
        model = random_network(
            rng, 7, 18, 2, (2, 3, 0), value_bits=8, act_bits=act_bits, cell=cell, reach=reach
        )
        compare(model, random_frames(rng, model, [9]))


@pytest.mark.parametrize("bits", [(4, 6), (8, 8), (8, 16), (16, 8), (16, 16), (18, 18)])
def test_ends_of_every_range(bits: tuple[int, int]) -> None:
    """Largest inputs, weights and biases: gates at their ends, full cells, sums beyond 32 bits."""
    value_bits, act_bits = bits
    rng, gate = np.random.default_rng(3), CellArithmetic(act_bits)
    weight = Fixed(value_bits, value_bits - 1)
    ends = [weight.min, weight.max]
    ih, hh = (
        Csb.pack(rng.choice(ends, (80, n)), Geometry(80, n, 1, n, value_bits)) for n in (40, 20)
    )
    bias = rng.choice([gate.state.min, gate.state.max], 80)
    bias[:40] = gate.state.max  # i and f open: the cell adds up
    layer = LstmLayer(ih, hh, bias, gate.gate, gate.gate, weight, weight, gate.state)
    sequences = [rng.choice([gate.gate.min, gate.gate.max], (30, 40)) for _ in range(2)]
    want = compare(Model((layer,)), sequences)
    assert np.isin(want[0].cell, [gate.state.min, gate.state.max]).any()


def test_many_sequences_side_by_side() -> None:
    rng = np.random.default_rng(4)
    model = random_network(rng, 9, 33, 3, (2, 3, 2), layers=2, directions=2, projection=5)
    compare(model, random_frames(rng, model, rng.integers(0, 5, 70).tolist()))


@pytest.mark.parametrize("kernel", kernels())
@pytest.mark.parametrize(
    "more", [{}, {"projection": 21}, {"cell": "gru"}, {"cell": "gru0"}], ids=str
)
def test_streams_keep_their_states(kernel: str, more: dict[str, Any]) -> None:
    rng = np.random.default_rng(5)
    model = random_network(rng, 12, 40, 4, (2, 3, 3), layers=2, value_bits=8, act_bits=12, **more)
    sequences = random_frames(rng, model, [6, 6, 6])
    want = IntegerModel(model).run(sequences)
    native = NativeModel(model, kernel)
    stream = native.start(3)
    for t in range(6):
        got = stream.step(np.stack([s[t] for s in sequences]))
        states = (*stream.states, got)
        for n, of in enumerate(want):
            for state, name in zip(states, FIELDS, strict=True):
                np.testing.assert_array_equal(state[n], getattr(of, name)[t])
    stream.reset(1)
    again = stream.step(np.stack([s[0] for s in sequences]))
    np.testing.assert_array_equal(again[1], want[1].output[0])
    assert not np.array_equal(again[0], want[0].output[0])


@pytest.mark.parametrize("kernel", kernels())
@pytest.mark.parametrize("more", [{}, {"projection": 21}, {"cell": "gru"}], ids=str)
def test_some_sequences_step_and_the_others_stay(kernel: str, more: dict[str, Any]) -> None:
    rng = np.random.default_rng(6)
    model = random_network(rng, 12, 40, 4, (2, 3, 3), layers=2, value_bits=8, act_bits=12, **more)
    sequences = random_frames(rng, model, [8] * 7)
    want = IntegerModel(model).run(sequences)
    stream, at = NativeModel(model, kernel).start(7), np.zeros(7, int)
    while (live := np.flatnonzero(at < 8)).size:
        which = np.sort(rng.choice(live, rng.integers(1, live.size + 1), replace=False))
        got = stream.step_some(which, np.stack([sequences[n][at[n]] for n in which]))
        hidden, cell = stream.states
        for row, n in enumerate(which):
            for state, name in zip((hidden[n], cell[n], got[row]), FIELDS, strict=True):
                np.testing.assert_array_equal(state, getattr(want[n], name)[at[n]])
        at[which] += 1
    nobody = np.zeros(0, int)
    assert stream.step_some(nobody, np.zeros((0, 12), int)).shape == (0, model.output_size)


def test_a_stream_outlives_its_model_in_a_circle() -> None:
    """The collector takes objects of a circle in any order; a crash would end the process."""
    model = random_network(np.random.default_rng(8), 3, 4, 1, (1, 1, 0))
    for order in ("model", "stream"), ("stream", "model"):
        native = NativeModel(model)
        held: dict[str, Any] = {"model": native, "stream": native.start(2)}
        users = native.users
        assert users._count == 2
        del native
        for name in order:  # as the collector does, objects still there
            held[name].__del__()
        assert users._count == 0
        for name in order:
            held[name].__dict__.clear()


def test_sequences_that_are_none_are_refused() -> None:
    rng = np.random.default_rng(7)
    model = random_network(rng, 3, 4, 1, (1, 1, 0))
    stream = NativeModel(model).start(3)
    cases: list[tuple[Any, str]] = [
        ([0, 3], "sequences 0 to 3: this has 3"),
        ([-1, 0], "sequences -1 to 0: this has 3"),
        ([1, 1], r"which\[1\] is 1: give numbers below 3, each above"),
        ([2, 0], r"which\[1\] is 0: give numbers below 3, each above"),
        ([0], r"which has shape \(1,\): give an integer for each frame"),
        ([0.0, 1.0], "give an integer for each frame"),
    ]
    for which, match in cases:
        with pytest.raises(ValueError, match=match):
            stream.step_some(which, np.zeros((2, 3)))
    least = model.layers[0].input.min
    with pytest.raises(ValueError, match="input 1 of frame 1 is"):
        stream.step_some([0, 2], np.array([[0, 0, 0], [0, least - 1, 0]]))
    assert not np.concatenate(stream.states).any()


@pytest.mark.parametrize("kernel", [kernels()[0], "plain"])
@pytest.mark.parametrize(
    "more", [{}, {"projection": 90}, {"cell": "gru"}, {"cell": "gru0"}], ids=str
)
def test_threads_share_blocks(kernel: str, more: dict[str, Any]) -> None:
    """Of a network large enough to be shared: more threads than cores, and than blocks."""
    rng = np.random.default_rng(6)
    model = random_network(rng, 300, 320, 10, (20, 9, 9), layers=2, value_bits=8, **more)
    sequences = random_frames(rng, model, [5, 3])
    want = IntegerModel(model).run(sequences)
    for threads in (2, 3, 40):
        native = NativeModel(model, kernel, threads)
        assert_equal(native.run(sequences), want)
        stream = native.start()
        for t in range(5):
            np.testing.assert_array_equal(
                stream.step(sequences[0][t : t + 1])[0], want[0].output[t]
            )


def test_threads_that_cannot_be_are_refused() -> None:
    model, _ = any_network(0)
    for threads in (0, 65):
        with pytest.raises(ValueError, match=f"threads = {threads}: must be 1 to 64"):
            NativeModel(model, threads=threads)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("directions", [1, 2])
def test_logits(pool: str, directions: int) -> None:
    rng = np.random.default_rng(6)
    model = random_network(rng, 4, 6, 2, (1, 1, 0), directions=directions, head=5)
    model = replace(model, pool=pool)
    outputs = IntegerModel(model).run(random_frames(rng, model, [7]))[0].output
    np.testing.assert_array_equal(NativeModel(model).logits(outputs), model.logits(outputs))


def test_the_mean_of_states_below_zero_is_rounded_up() -> None:
    rng = np.random.default_rng(7)
    model = replace(random_network(rng, 4, 2, 2, (1, 1, 0), head=1), pool="mean")
    for sums in ([-1, 0], [-3, 0], [-2, -1], [1, 0], [-7, -7]):
        outputs = np.array([sums, sums[::-1]])
        np.testing.assert_array_equal(NativeModel(model).logits(outputs), model.logits(outputs))


@pytest.mark.parametrize("bits", range(6, 19))
def test_tables_are_those_of_the_cell(bits: int) -> None:
    base, rise = ctypes.c_int64(), ctypes.c_int64()
    read = library().sparseflow_run_table
    for reach in reaches(bits):
        piecewise = CellArithmetic(bits, reach).piecewise
        for n, want in enumerate(zip(*piecewise.table, strict=True)):
            got = read(bits, piecewise.index_bits, n, ctypes.byref(base), ctypes.byref(rise))
            assert (got, base.value, rise.value) == (0, *want)
    assert read(bits, 8, 256, ctypes.byref(base), ctypes.byref(rise)) != 0


def test_bytes_run_what_they_can_hold() -> None:
    """18 bits are for the plain way, in a network whose other layer is narrower."""
    if len(kernels()) == 1:
        pytest.skip("this CPU has plain C only")
    rng = np.random.default_rng(8)
    sizes: dict[str, Any] = {"input_size": 64, "hidden_size": 32, "banks": 4, "k": (2, 2, 0)}
    narrow, wide = (
        NativeModel(random_network(rng, **sizes, value_bits=bits)).layers[0] for bits in (16, 18)
    )
    assert (narrow.kernel, wide.kernel) == (kernels()[0], "plain")
    assert (narrow.state_digits, narrow.weight_digits) == (2, 2)
    assert (narrow.loads, wide.loads) == (2 * 2, 0)  # a window of each matrix for 16 units
    assert (narrow.sum_bits, wide.sum_bits) == (40, 64)


def test_what_digits_cannot_hold_is_added() -> None:
    """Above 32639 two signed digits hold no weight; AVX2 has none of -128, at either end."""
    gate, weight = CellArithmetic(16), Fixed(16, 15)
    dense = np.full((32, 8), weight.max)
    dense[::2] = 32639
    dense[1::4], dense[3::8] = -32768, -128
    matrix = Csb.pack(dense, Geometry(32, 8, 1, 8, 16))
    layer = LstmLayer(
        matrix, matrix, np.zeros(32, int), gate.gate, gate.gate, weight, weight, gate.state
    )
    frames = [np.random.default_rng(9).integers(-32768, 32768, (5, 8))]
    compare(Model((layer,)), frames)
    if len(kernels()) > 1:
        beyond = int((matrix.values > 32639).sum())
        assert 2 * beyond <= NativeModel(Model((layer,))).layers[0].rests <= 2 * matrix.values.size
