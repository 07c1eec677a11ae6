"""Finds the first wrong value behind a mismatch: gate, row, bank and cycle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from csb_format import Csb, IntArray
from csb_format.design import GATES
from hdl.compiler import Image, as_seen
from hdl.hierarchy import Ram
from hdl.pe import ProcessingElement
from hdl.verilog import VerilogFiles

from .compare import Mismatch
from .cycle_model import CycleModel, Schedule
from .integer_model import IntegerModel
from .scenario import Job, Outcome
from .verilog import simulate_verilog

__all__ = ["diagnose"]

GATE_NAMES = "ifgo"


@dataclass(frozen=True)
class _Expected:
    """A value that must be on a signal in a cycle."""

    signal: str
    cycle: int
    value: int
    width: int
    gate: int
    bank: int | None


def diagnose(
    model: IntegerModel,
    image: Image,
    files: VerilogFiles,
    sequence: IntArray,
    mismatch: Mismatch,
    work: Path,
    simulator: str = "icarus",
) -> Mismatch:
    """Replay one sequence up to the mismatch with probes in the four PEs concerned.

    Parameters
    ----------
    model : IntegerModel
    image : Image
    files : VerilogFiles
        Emitted with the image.
    sequence : int64 array (T, X)
        The sequence of the mismatch.
    mismatch : Mismatch
    work : Path
        Folder for the simulator.
    simulator : {"icarus", "verilator"}

    Returns
    -------
    Mismatch
        With gate, row, bank and cycle of the first wrong product or sum; without them
        where products and sums are right, so that the element-wise lane is to blame, or
        where the replay does not show the mismatch.
    """
    frames = sequence[: mismatch.step + 1]
    schedule = CycleModel(image).run(len(frames))
    pes, expected = _expectations(model, image, frames, mismatch, schedule)
    signals = sorted({e.signal for e in expected})
    job = replace(Job.of(image, [frames]), probes=signals)
    outcome = simulate_verilog(files, job, work, simulator=simulator, probe=True).outcome
    wrong = _first_wrong(outcome, expected)
    if wrong is None:
        return replace(mismatch, where=_outside_products(image, outcome, mismatch))
    found, got = wrong
    row = found.gate * model.layer.hidden_size + mismatch.unit
    return replace(
        mismatch,
        gate=GATE_NAMES[found.gate],
        row=row,
        bank=found.bank,
        cycle=found.cycle,
        where=f"{found.signal} is {got}, should be {found.value} (PEs {pes[0]} to {pes[-1]})",
    )


def _expectations(
    model: IntegerModel, image: Image, frames: IntArray, at: Mismatch, schedule: Schedule
) -> tuple[range, list[_Expected]]:
    """Products and sums of the four gates of a unit in its step."""
    place = int(np.flatnonzero(image.placement.order == at.unit)[0])
    slot, column = divmod(place, image.design.pes // GATES)
    pes = range(GATES * column, GATES * column + GATES)
    trace = model.run([frames])[0]
    before = trace.hidden[at.step - 1] if at.step else np.zeros_like(trace.hidden[0])
    passes = image.program[1:3]
    operands = (frames[at.step], before)
    starts = (schedule.input_start[at.step], schedule.recurrent_start[at.step])
    matrices = (model.layer.weight_ih, model.layer.weight_hh)
    expected: list[_Expected] = []
    for instruction, start, matrix, vector in zip(passes, starts, matrices, operands, strict=True):
        cycle = int(start) + slot * instruction.interval
        seen = as_seen(matrix, image.design.lanes)
        for gate, pe in enumerate(pes):
            row = gate * model.layer.hidden_size + at.unit
            products = _products(seen, row, vector)
            expected += _product_probes(image, pe, gate, cycle, products)
    sums = model.gate_sums(frames[at.step], before)
    last = cycle + passes[1].groups - 1
    expected += _sum_probes(model, image, at.unit, pes, last, sums)
    return pes, expected


def _products(matrix: Csb, row: int, vector: IntArray) -> IntArray:
    """Products of one row, int64 (groups, lanes)."""
    geometry = matrix.geometry
    padded = np.zeros(geometry.padded_columns, np.int64)
    padded[: len(vector)] = vector
    banks = padded.reshape(geometry.banks, geometry.bank_width)
    operands = banks[np.arange(geometry.banks), matrix.indices[row].astype(np.int64)]
    return np.asarray(matrix.values[row] * operands, np.int64)


def _product_probes(
    image: Image, pe: int, gate: int, cycle: int, products: IntArray
) -> Iterator[_Expected]:
    design = image.design
    delay = Ram.latency + ProcessingElement.product_delay
    for group, row in enumerate(products):
        for lane, product in enumerate(row):
            yield _Expected(
                f"pe{pe}.product{lane}",
                cycle + group + delay,
                int(product),
                design.value_bits + design.act_bits,
                gate,
                lane,
            )


def _sum_probes(
    model: IntegerModel, image: Image, unit: int, pes: range, last: int, sums: IntArray
) -> Iterator[_Expected]:
    cycle = last + Ram.latency + ProcessingElement.latency(image.design)
    for gate, pe in enumerate(pes):
        total = int(sums[gate * model.layer.hidden_size + unit])
        yield _Expected(f"pe{pe}.result", cycle, total, image.design.acc_bits, gate, None)


def _outside_products(image: Image, outcome: Outcome, mismatch: Mismatch) -> str:
    """Where to look when every product and sum of the replay is right."""
    state = outcome.states(image)["hc".index(mismatch.state)]
    if state[mismatch.step, mismatch.unit] == mismatch.expected:
        return "right when the sequence runs alone from the images; look at what ran before it"
    return "products and sums are right; look at the element-wise lane"


def _first_wrong(outcome: Outcome, expected: list[_Expected]) -> tuple[_Expected, int | str] | None:
    """The earliest probe that is not what it should be, and what it is."""
    for probe in sorted(expected, key=lambda e: (e.cycle, e.gate)):
        raw = outcome.probed[probe.signal][probe.cycle]
        got = "unknown" if raw < 0 else raw - (raw >> (probe.width - 1) << probe.width)
        if got != probe.value:
            return probe, got
    return None
