"""Activation against Piecewise: every argument of narrow formats, all edges of wide ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from csb_format import Fixed, IntArray, round_shift, saturate
from csb_format.cells.cell import reaches as reaches_of_width
from csb_format.cells.lstm import CellArithmetic
from csb_format.cells.piecewise import Piecewise
from hdl.core.activation import Activation, rounded, saturated


def arguments(piecewise: Piecewise) -> IntArray:
    """All of up to 2**10, else both ends, every segment's edges and a random sample."""
    low, high = piecewise.state.min, piecewise.state.max
    if high - low < 1 << 10:
        return np.arange(low, high + 1)
    edges = np.arange(0, high + 1, 1 << piecewise.offset_bits - 1)
    near = np.concatenate([edges - 1, edges, edges + 1])
    sample = np.random.default_rng(5).integers(low, high + 1, 3000)
    ends = np.concatenate([np.arange(8) + low, high - np.arange(8), np.arange(-300, 300)])
    every: IntArray = np.concatenate([near, -near, ends, sample]).clip(low, high)
    return every


@pytest.mark.quick(12)
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
@pytest.mark.parametrize(
    ("act_bits", "reach"), [(6, 8), (6, 16), (8, 16), (8, 64), (12, 16), (16, 16), (18, 16)]
)
def test_every_argument_gives_the_models_value(
    play: Any, act_bits: int, reach: int, function: str, deep: bool
) -> None:
    piecewise = CellArithmetic(act_bits, reach).piecewise
    x = np.random.default_rng(act_bits).permutation(arguments(piecewise))
    cycles = [{"argument": int(v)} for v in x]
    block, latency = Activation(piecewise, function, deep), Activation.delay(deep)
    seen = play(block, cycles, ["result"], extra=latency)
    results = [result for (result,) in seen[latency:]]
    np.testing.assert_array_equal(results, getattr(piecewise, function)(x))


@pytest.mark.parametrize("act_bits", range(6, 19))
def test_the_last_segment_is_flat(act_bits: int) -> None:
    """So an argument beyond the domain may be clipped to any offset in it."""
    for reach in reaches_of_width(act_bits):
        assert CellArithmetic(act_bits, reach).piecewise.table[1][-1] == 0


SEVERAL = [(8, (8, 16, 64)), (16, (16, 32)), (6, (8, 16)), (8, (16, 32)), (12, (8, 128))]
KINDS = [("both", True), ("sigmoid", False), ("tanh", True), ("sigmoid", True), ("tanh", False)]


@pytest.mark.quick(5)
@pytest.mark.parametrize(
    ("several", "kind"),
    [(several, KINDS[(n + k) % 5]) for k in range(5) for n, several in enumerate(SEVERAL)],
)
def test_arguments_of_several_reaches(
    play: Any, several: tuple[int, tuple[int, ...]], kind: tuple[str, bool]
) -> None:
    """Of 6 and 8 bits the coarser have a table of fewer segments."""
    (act_bits, reaches), (function, deep) = several, kind
    every = [CellArithmetic(act_bits, reach).piecewise for reach in reaches]
    rng, tanh = np.random.default_rng(act_bits), 0
    x, which = list[int](), list[int]()
    for number, piecewise in enumerate(every):
        x += arguments(piecewise).tolist()
        which += [number] * (len(x) - len(which))
    order = rng.permutation(len(x))[:2500]
    cycles, wanted = [], []
    for n in order:
        tanh = int(rng.integers(2)) if function == "both" else int(function == "tanh")
        piecewise = every[which[n]]
        more = {"tanh": tanh} if function == "both" else {}
        cycles.append({"argument": x[n], "reach": which[n]} | more)
        wanted.append(int((piecewise.tanh if tanh else piecewise.sigmoid)(np.array(x[n]))))
    latency = Activation.delay(deep)
    seen = play(Activation(every, function, deep), cycles, ["result"], extra=latency)
    assert [result for (result,) in seen[latency:]] == wanted


KINDS_OF_TABLE = [{}, {"deep": True}, {"shallow": True}]


@pytest.mark.parametrize("given", KINDS_OF_TABLE, ids=str)
def test_result_follows_its_argument_by_the_latency(play: Any, given: dict[str, bool]) -> None:
    piecewise = CellArithmetic(8).piecewise
    x = [0, 0, 0, 0, 0, piecewise.state.min, 0, 0, 0, 0, 0, 0, 0]
    block = Activation(piecewise, "tanh", **given)
    latency = Activation.delay(**{"deep": False} | given)
    seen = play(block, [{"argument": v} for v in x], ["result"])
    changed = [t for t, (result,) in enumerate(seen) if result]
    assert changed == [5 + latency]


@pytest.mark.parametrize("shallow", [False, True])
def test_table_of_another_size(play: Any, shallow: bool) -> None:
    piecewise = Piecewise(Fixed(9, 4), Fixed(7, 6), segments_log2=3)
    assert len(piecewise.table[0]) == 8
    x = np.arange(-256, 256)
    for function in ("sigmoid", "tanh"):
        block = Activation(piecewise, function, shallow=shallow)
        latency = Activation.delay(False, shallow)
        seen = play(block, [{"argument": int(v)} for v in x], ["result"], extra=latency)
        results = [result for (result,) in seen[latency:]]
        np.testing.assert_array_equal(results, getattr(piecewise, function)(x))


def test_unknown_function() -> None:
    with pytest.raises(ValueError, match=r"function 'relu': choose 'sigmoid', 'tanh' or 'both'"):
        Activation(CellArithmetic(8).piecewise, "relu")


class Rounding(wiring.Component):
    value: Signal
    result: Signal

    def __init__(self, width: int, shift: int, kept: int):
        self._shift, self._kept = shift, kept
        super().__init__({"value": In(signed(width)), "result": Out(signed(kept))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value = saturated(m, rounded(self.value, self._shift), self._kept, "clipped")
        m.d.sync += self.result.eq(value)
        return m


@pytest.mark.parametrize(("shift", "kept"), [(0, 8), (0, 5), (1, 7), (1, 8), (3, 4), (7, 2)])
def test_rounding_and_saturation_are_those_of_the_format(play: Any, shift: int, kept: int) -> None:
    values = np.arange(-128, 128)
    seen = play(Rounding(8, shift, kept), [{"value": int(v)} for v in values], ["result"], 1)
    expected = saturate(round_shift(values, shift), kept)
    np.testing.assert_array_equal([result for (result,) in seen[1:]], expected)
