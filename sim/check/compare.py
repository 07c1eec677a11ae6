"""States of the hardware against those of the integer model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.abi.states import Outcome
from csb_format import IntArray
from csb_format.heads.mlp import MlpHead
from engine.reference import Trace
from engine.screened import of_all

__all__ = ["Comparison", "Mismatch", "compare", "expected_states", "states_screened"]


@dataclass(frozen=True)
class Mismatch:
    """A state that differs; once diagnosed, the first that did, and where it went wrong.

    Parameters
    ----------
    layer, sequence, step, unit : int
        The state.
    state : {"h", "c", "r", "y", "index", "logit", "v", "a0", ...}
        Hidden, cell, projected state; sum of a linear layer; output and logit at a place of the
        largest; after diagnosis also ``r * h``, where rows of a matrix wait for it, and what the
        hidden linear layers 0, 1, ... give to the next.
    expected, got : int
        After diagnosis ``got`` may be ``"unknown"``: bits were X.
    cycle : int
        In which the frame left on ``states``; after diagnosis, in which the first wrong
        value appeared.
    gate, row, bank, matrix : optional
        After diagnosis: the gate, the row of the weight matrix, the bank of the product,
        the matrix.
    where : str
        After diagnosis: what was wrong there.
    """

    layer: int
    sequence: int
    step: int
    unit: int
    state: str
    expected: int
    got: int | str
    cycle: int
    gate: str | None = None
    row: int | None = None
    bank: int | None = None
    where: str = ""
    matrix: str | None = None

    def __str__(self) -> str:
        place = f"layer {self.layer}, sequence {self.sequence}, step {self.step}"
        text = f"{place}: {self.state}[{self.unit}] is {self.got}, should be {self.expected}"
        if self.row is not None:
            matrix = f"{self.matrix} " if self.matrix else ""
            gate = f"gate {self.gate}, " if self.gate else ""
            text += f"; {matrix}{gate}row {self.row}"
        if self.bank is not None:
            text += f", bank {self.bank}"
        return f"{text}, cycle {self.cycle}" + (f": {self.where}" if self.where else "")


@dataclass(frozen=True)
class Comparison:
    """All states of a run.

    Parameters
    ----------
    outputs : dict
        For each layer that left, what its last pass gave, int64 (frames, R), in the order
        in which frames went in; ``-1`` for a linear layer.
    values, mismatches : int
        States compared, states that differ.
    first : Mismatch, optional
        The earliest frame's; of one frame the lowest layer's.
    """

    outputs: dict[int, IntArray]
    values: int
    mismatches: int
    first: Mismatch | None

    @property
    def hidden(self) -> IntArray:
        """Output of the last layer that left."""
        return self.outputs[max(self.outputs)]


def compare(stimulus: Stimulus, outcome: Outcome, traces: Sequence[Sequence[Trace]]) -> Comparison:
    """Compare every value that left with the integer model's.

    Parameters
    ----------
    stimulus : Stimulus
    outcome : Outcome
        Of the job that ran it.
    traces : sequence of sequences of Trace
        Of each level all sequences, from
        :meth:`~engine.reference.IntegerModel.run_levels`.

    Returns
    -------
    Comparison
    """
    image, part = stimulus.image, stimulus.part
    found: list[Mismatch] = []
    outputs: dict[int, IntArray] = {}
    values = mismatches = 0
    whole = np.lexsort((stimulus.step, stimulus.sequence))  # streams take turns
    cycles = outcome.frame_cycles(image, part)
    for emitted in outcome.emitted(image, part):
        layer = emitted.emission.layer
        for state, got in emitted.values.items():
            want = expected_states(stimulus, layer, state, traces)
            wrong = np.argwhere(got != want)
            values, mismatches = values + got.size, mismatches + len(wrong)
            if len(wrong):
                frame, unit = (int(i) for i in wrong[0])
                pair = int(want[frame, unit]), int(got[frame, unit])
                found.append(_mismatch(stimulus, layer, frame, unit, state, pair, cycles))
            if state in ("h", "r", "y"):
                outputs[-1 if state == "y" else layer] = got[whole]
    first = min(found, key=lambda m: (m.cycle, m.layer), default=None)
    return Comparison(outputs, values, mismatches, first)


def _mismatch(
    stimulus: Stimulus,
    layer: int,
    frame: int,
    unit: int,
    state: str,
    pair: tuple[int, int],
    cycles: IntArray,
) -> Mismatch:
    sequence, step = int(stimulus.sequence[frame]), int(stimulus.step[frame])
    return Mismatch(layer, sequence, step, unit, state, *pair, int(cycles[frame]))


def expected_states(
    stimulus: Stimulus, layer: int, state: str, traces: Sequence[Sequence[Trace]]
) -> IntArray:
    """The model's values, a row for each frame in the order in which frames went in.

    Parameters
    ----------
    stimulus : Stimulus
    layer : int
        Of the model.
    state : {"h", "c", "r", "y", "index", "logit", "a0", ...}
        But for the last as in :class:`Mismatch`.
    traces : sequence of sequences of Trace
        Of each level all sequences.

    Returns
    -------
    int64 array (frames, size)
    """
    model = stimulus.image.model
    level, direction = divmod(layer, model.directions)
    rows = []
    for sequence, step in zip(stimulus.sequence, stimulus.step, strict=True):
        trace = traces[level][sequence]
        # the second direction meets the last frame first
        at = step if direction == 0 else len(trace.hidden) - 1 - step
        name = {"h": "hidden", "c": "cell"}.get(state, "output")
        whole = getattr(trace, name)[at]
        rows.append(np.split(whole, model.directions)[direction])
    found = np.stack(rows)
    if state in ("h", "c", "r"):
        return found
    assert model.head is not None
    if state.startswith("a"):
        assert isinstance(model.head, MlpHead)
        return model.head.activations(found, int(state[1:]))
    logits = model.head.logits(found)
    if state == "y":
        return logits
    # of the full layer, all of whose logits are sorted
    assert stimulus.image.design.screen is not None
    return of_all(logits, stimulus.image.design.screen.top)[state == "logit"]


def states_screened(stimulus: Stimulus, traces: Sequence[Sequence[Trace]]) -> IntArray:
    """Hidden states (F, H) that a screen unit takes, in the order in which frames go in."""
    return expected_states(stimulus, len(stimulus.image.model.layers) - 1, "r", traces)
