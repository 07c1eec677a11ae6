"""Compact designs and matrices in pieces: same states, every cycle where the model says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler.abi.registers import design_hash
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.timing.cycle_model import CycleModel
from csb_format import IntArray, Model, round_shift, saturate
from csb_format.cells.lstm import CellArithmetic, Gates
from csb_format.random_models import random_frames, random_model
from csb_format.scales import DesignError, Scales
from csb_format.words import split_words
from engine.reference import IntegerModel
from hdl.core.lanes.lstm_serial import SerialLane
from hdl.verilog import emit_verilog
from sim.check.verify import verify
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job

LENGTHS = [3, 1, 2]
FIRST = [True, False, False, True, True, False]
# X, H, banks, k_ih, k_hh, value bits, act bits, M, N and the design's options
CASES: dict[str, tuple[Any, ...]] = {
    "the iCEBreaker's array": (12, 16, 8, 1, 2, 8, 12, 4, 2, {"compact": True}),
    "as many pieces as bits allow": (6, 10, 2, 1, 2, 16, 16, 4, 2, {"compact": True}),
    "rows longer than a lane's period": (8, 16, 8, 1, 2, 16, 16, 4, 2, {"compact": True}),
    "several lanes": (12, 16, 8, 1, 2, 16, 16, 8, 2, {"compact": True, "pieces": 1}),
    "one cycle a row": (12, 16, 8, 1, 1, 6, 18, 4, 8, {"compact": True, "pieces": 1}),
    "pieces alone": (6, 10, 2, 1, 2, 16, 16, 4, 2, {"pieces": 3}),
}


def build(case: tuple[Any, ...], seed: int = 1) -> tuple[Model, Image]:
    *sizes, pes, lanes, options = case
    model = random_model(np.random.default_rng(seed), *sizes)
    return model, compile_model(model, design_for(model, pes, lanes, **options))


def expected(model: Model, sequences: list[IntArray]) -> tuple[IntArray, IntArray]:
    traces = IntegerModel(model).run(sequences)
    hidden = np.concatenate([trace.hidden for trace in traces])
    return hidden, np.concatenate([trace.cell for trace in traces])


@pytest.mark.quick(3)
@pytest.mark.parametrize(
    ("name", "load"), [("the iCEBreaker's array", False), *((name, True) for name in CASES)]
)
def test_states_and_cycles_are_those_of_the_models(name: str, load: bool) -> None:
    model, image = build(CASES[name])
    sequences = random_frames(np.random.default_rng(2), model, LENGTHS)
    job = replace(Job.of(image, sequences, load=load), limit=20_000)
    outcome = simulate_amaranth(image, job)
    hidden, cell = expected(model, sequences)
    assert hidden.any()
    np.testing.assert_array_equal(outcome.states(image)[0], hidden)
    np.testing.assert_array_equal(outcome.states(image)[1], cell)
    done = CycleModel(image).run(len(FIRST), FIRST).frame_done
    np.testing.assert_array_equal(outcome.frame_cycles(image), done)


def test_the_verilog_of_the_icebreakers_array_is_exact(tmp_path: Path) -> None:
    model, image = build(CASES["the iCEBreaker's array"])
    files = emit_verilog(image.design, tmp_path / "verilog", image)
    assert "sparseflow_ram_single.v" in files.sources
    sequences = random_frames(np.random.default_rng(2), model, LENGTHS)
    found = verify(
        IntegerModel(model), image, files, sequences, tmp_path, simulator="icarus", load=True
    )
    assert found.exact, found.first


def test_words_are_cut_into_pieces_of_equal_width() -> None:
    _, image = build(CASES["as many pieces as bits allow"])
    design = image.design
    assert (design.word_bits, design.pieces, design.piece_bits) == (38, 3, 13)
    whole = design_for(image.model, 4, 2)
    words = compile_model(image.model, whole).memories["matrix_000"]
    pieces = image.memories["matrix_000"]
    assert pieces == split_words(words, 38, 3)
    joined = [a | b << 13 | c << 26 for a, b, c in zip(*[iter(pieces)] * 3, strict=True)]
    assert joined == words
    assert max(pieces) < 1 << 13


class Units:
    """Units for a lane, each with the cycle in which it comes."""

    def __init__(self, design: Design, gaps: list[int], seed: int):
        self.design, self.rng = design, np.random.default_rng(seed)
        self.starts = np.cumsum([0, *gaps]).tolist()
        self.cells = np.zeros(design.state_depth, np.int64)
        self.cycles: list[dict[str, Any]] = []
        self.expected: dict[int, tuple[int, int, int]] = {}
        self.lane = SerialLane(design)

    def draw(self, bits: int) -> list[int]:
        """Four numbers of any magnitude, some at their ends."""
        scale = 2.0 ** self.rng.uniform(3, bits)
        numbers = np.round(self.rng.normal(size=4) * scale).astype(np.int64)
        return [int(v) for v in np.clip(numbers, -(1 << bits - 1), (1 << bits - 1) - 1)]

    def add(self, start: int, until: int) -> None:
        """A unit, whose sums and control are there as long as the lane needs them."""
        d = self.design
        sums, bias = self.draw(d.acc_bits), self.draw(d.state.width)
        shifts = [int(n) for n in self.rng.integers(0, d.acc_bits - 8, 4)]
        # no cell twice in a row: a unit reads its own before the unit before has written
        cell, zero = len(self.expected) % d.state_depth, bool(self.rng.random() < 0.2)
        old = np.asarray(0 if zero else self.cells[cell], np.int64)
        reach = int(self.rng.integers(len(d.reaches))) if d.wider else 0
        arithmetic = d.arithmetics[reach]
        given = four(sums), four(bias), tuple(shifts), old
        pre = (
            arithmetic.preactivation(s, b, n)
            for s, b, n in zip(given[0], given[1], shifts, strict=True)
        )
        h, c = arithmetic.step(four(list(pre)), old)
        self.cells[cell] = c
        self.expected[start] = (int(h), int(c), clips(arithmetic, *given))
        unit = {"valid": 1, "zero": int(zero), "cell": cell, "shift": shifts, "select": 0}
        unit |= {"reach": reach} if d.wider else {}
        for n in range(until - start):
            # the bias memory answers two cycles after its address, gate by gate
            at = SerialLane.bias_gate(n)
            now: dict[str, Any] = {"bias": bias[at] if at is not None else 0}
            now |= {"sums": sums} if n < 12 else {"sums": self.draw(d.acc_bits)}
            other = {"reach": int(self.rng.integers(len(d.reaches)))} if d.wider else {}
            late = unit | {"valid": 0, "cell": 0, "zero": 1} | other
            now |= {"unit": unit if n == 0 else late}
            self.cycles.append(now)


def four(values: Any) -> Gates:
    i, f, g, o = np.asarray(values, np.int64)
    return i, f, g, o


def clips(arithmetic: Any, sums: Gates, bias: Gates, shift: Any, c: IntArray) -> int:
    assert isinstance(arithmetic, CellArithmetic)
    gate, state = arithmetic.gate, arithmetic.state
    exact = [round_shift(s, n) + b for s, b, n in zip(sums, bias, shift, strict=True)]
    pre = [saturate(value, state.width) for value in exact]
    i, f, g, o = arithmetic.gates(four(pre))
    lift = gate.frac - state.frac
    cell = round_shift((f * c << lift) + i * g, gate.frac + lift)
    kept = saturate(cell, state.width)
    hidden = round_shift(o * arithmetic.piecewise.tanh(kept), gate.frac)
    lost = [a != b for a, b in zip(exact, pre, strict=True)]
    return int(any(lost) or cell != kept or hidden != saturate(hidden, gate.width))


@pytest.mark.parametrize(
    ("value_bits", "act_bits", "reaches"),
    [
        (8, 12, (16,)),
        (16, 16, (16,)),
        (4, 6, (16,)),
        (18, 18, (16,)),
        (8, 8, (8, 16, 64)),
        (16, 16, (16, 32)),
    ],
)
def test_the_lane_follows_its_model_at_every_distance(
    play: Any, value_bits: int, act_bits: int, reaches: tuple[int, ...]
) -> None:
    """Units 16 cycles apart, or 24 and more, in any order."""
    design = Design(
        4, 2, 1, 4, 4, 8, 4, 6, 8, 2, value_bits=value_bits, act_bits=act_bits, compact=True,
        reach=reaches[0], wider=reaches[1:],
    )  # fmt: skip
    rng = np.random.default_rng(5)
    gaps = [int(g) for g in rng.permutation([16] * 30 + list(range(24, 54)))]
    units = Units(design, gaps, seed=6)
    for start, until in zip(units.starts, [*units.starts[1:], units.starts[-1] + 40], strict=True):
        units.add(start, until)
    latency = SerialLane.latency(design)
    seen = play(units.lane, units.cycles, ["hidden", "cell", "clipped"], extra=latency)
    assert {t: seen[t + latency] for t in units.expected} == units.expected
    quiet = [clip for t, (*_, clip) in enumerate(seen) if t - latency not in units.expected]
    assert not any(quiet)
    assert {clip for *_, clip in units.expected.values()} == {0, 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compact": True, "deep": True}, r"deep = True: a compact design has none"),
        ({"compact": True, "streamed": True, "pieces": 1}, r"streamed = True: a compact design"),
        ({"compact": True, "units": 1}, r"units = 1: a compact design has a lane for every 4"),
        ({"pieces": 2, "streamed": True}, r"pieces = 2: a streamed design has no matrix memories"),
        ({"pieces": 2, "deep": True}, r"pieces = 2: a deep design is not proven to gather"),
        ({"pieces": 0}, r"pieces = 0: must be a whole number of at least 1"),
        ({"max_align": 8}, r"max_align = 8: must be 0 to 7"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    model = random_model(np.random.default_rng(1), 12, 16, 8, 1, 2)
    with pytest.raises(DesignError, match=message):
        design_for(model, 8, 2, **options)


def test_a_model_that_aligns_further_than_the_design_is_refused() -> None:
    model = random_model(np.random.default_rng(1), 12, 16, 8, 1, 2)
    most = max(map(Scales.largest, model.layers))
    assert most > 0
    design = design_for(model, 4, 2, compact=True, max_align=most - 1)
    with pytest.raises(DesignError, match=rf"aligns its products by {most} bits"):
        compile_model(model, design)


def test_designs_of_before_keep_their_hash() -> None:
    """The bitstreams that are out there still know their models."""
    model = random_model(np.random.default_rng(0), 12, 32, banks=8, k_ih=1, k_hh=2)
    assert design_hash(design_for(model, 4, 2)) == 1893299195
    assert design_hash(design_for(model, 4, 2, compact=True)) != 1893299195
