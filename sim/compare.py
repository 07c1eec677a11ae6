"""States of the hardware against those of the integer model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from csb_format import IntArray
from hdl.compiler import Image

from .integer_model import Trace
from .scenario import Outcome

__all__ = ["Comparison", "Mismatch", "compare"]


@dataclass(frozen=True)
class Mismatch:
    """A state that differs, and, once diagnosed, where the difference begins.

    Parameters
    ----------
    layer, sequence, step, unit : int
        The state.
    state : {"h", "c"}
    expected, got : int
    cycle : int
        In which the frame left on ``states``; after diagnosis, in which the first wrong
        value appeared.
    gate, row, bank : optional
        After diagnosis: the gate, the row of its weight matrix, the bank of the product.
    where : str
        After diagnosis: what was wrong there.
    """

    layer: int
    sequence: int
    step: int
    unit: int
    state: str
    expected: int
    got: int
    cycle: int
    gate: str | None = None
    row: int | None = None
    bank: int | None = None
    where: str = ""

    def __str__(self) -> str:
        place = f"layer {self.layer}, sequence {self.sequence}, step {self.step}"
        text = f"{place}: {self.state}[{self.unit}] is {self.got}, should be {self.expected}"
        if self.gate is not None:
            text += f"; gate {self.gate}, row {self.row}"
        if self.bank is not None:
            text += f", bank {self.bank}"
        return f"{text}, cycle {self.cycle}" + (f": {self.where}" if self.where else "")


@dataclass(frozen=True)
class Comparison:
    """All states of a run.

    Parameters
    ----------
    hidden : int64 array (frames, H)
        What the hardware gave, sequence after sequence.
    values, mismatches : int
        States compared, states that differ.
    first : Mismatch, optional
        The earliest.
    """

    hidden: IntArray
    values: int
    mismatches: int
    first: Mismatch | None


def compare(image: Image, outcome: Outcome, traces: Sequence[Trace]) -> Comparison:
    """Compare every hidden and cell state of every step.

    Parameters
    ----------
    image : Image
    outcome : Outcome
        Of the job that ran the same sequences in the same order.
    traces : sequence of Trace
        From :meth:`~sim.integer_model.IntegerModel.run`.

    Returns
    -------
    Comparison
    """
    hidden, cell = outcome.states(image)
    got = np.stack([hidden, cell], axis=1)
    want = np.stack(
        [np.concatenate([t.hidden for t in traces]), np.concatenate([t.cell for t in traces])],
        axis=1,
    )
    wrong = np.argwhere(got != want)
    first = None
    if len(wrong):
        frame, state, unit = (int(i) for i in wrong[0])
        sequence, step = _locate(frame, [len(t.hidden) for t in traces])
        first = Mismatch(
            layer=0,
            sequence=sequence,
            step=step,
            unit=unit,
            state="hc"[state],
            expected=int(want[frame, state, unit]),
            got=int(got[frame, state, unit]),
            cycle=int(outcome.frame_cycles(image)[frame]),
        )
    return Comparison(hidden, want.size, len(wrong), first)


def _locate(frame: int, lengths: Sequence[int]) -> tuple[int, int]:
    """(sequence, step) of a frame of concatenated sequences."""
    ends = np.cumsum(lengths)
    sequence = int(np.searchsorted(ends, frame, side="right"))
    return sequence, frame - int(ends[sequence] - lengths[sequence])
