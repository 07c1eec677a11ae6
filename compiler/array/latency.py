"""Latencies of the accelerator, composed from those of its blocks.

Every block of :mod:`hdl` takes its latency from here, and a test holds each to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csb_format.fixed import IntArray

from .design import Design
from .program import Instruction, Sink

__all__ = [
    "FETCH",
    "LANES",
    "LOGIC_WORDS",
    "RAM",
    "SERIAL",
    "WALK_DATA",
    "Latencies",
    "activation_delay",
    "biased_delay",
    "block_stage",
    "candidate_delay",
    "cell_delay",
    "fetch_delay",
    "gates_delay",
    "gru_latency",
    "home_delay",
    "issue_delay",
    "lane_latency",
    "operand_stage",
    "pe_latency",
    "pre_delay",
    "product_delay",
    "projector_exact",
    "projector_latency",
    "read_delay",
    "reset_delay",
    "reset_first_latency",
    "serial_latency",
    "table_delay",
    "tree_latency",
]

RAM = 2  # from an address to its word: a memory and its output register
FETCH = RAM + 1  # from one instruction to the next: address, word, the controller's register
_PROJECTOR = 2  # select and shift; round and saturate
_BIASED = RAM + 1  # the bias of a linear layer, and its sum
WALK_DATA = 3  # from words of memories to the walk's check: two registers of choice, its own
LOGIC_WORDS = 64  # about what synthesis makes of logic, whatever the width


def block_stage(deep: bool, depth: int) -> int:
    """Cycles more that the output of a memory read in one cycle takes: 1 for a register of its own.

    Memories of more words than ``LOGIC_WORDS`` lie in blocks, which answer late in a cycle; a deep
    design has no multiplier in the rest of it. Others are logic with a register behind it.
    """
    return int(deep and depth > LOGIC_WORDS)


def tree_latency(operands: int, fan_in: int) -> int:
    """Registers between ``operands`` summands and their sum, ``fan_in`` added at a time."""
    levels = 0
    while operands > 1:
        operands = -(-operands // fan_in)
        levels += 1
    return levels


def read_delay(design: Design) -> int:
    """Cycles from a group at a PE to the reads of its elements of the vector."""
    return int(design.deep)


def operand_stage(design: Design) -> int:
    """Cycles from the output of a vector bank to its multiplier."""
    return block_stage(design.deep, design.bank_depth)


def product_delay(design: Design) -> int:
    """Cycles from a group to its products: inputs, vector read, multiplier, the way there."""
    return 2 * int(design.deep) + read_delay(design) + operand_stage(design) + 2


def pe_latency(design: Design) -> int:
    """Cycles from a row's last group to its result: products, tree, align, sum, the way out."""
    tree = tree_latency(design.lanes, design.fan_in)
    if design.shallow and tree:  # what its last adders give is aligned in the same cycle
        tree -= 1
    # sums of a unit that were kept are shown together, a cycle after the last of them
    return product_delay(design) + tree + 2 + int(design.deep) + int(design.collects)


def projector_latency(design: Design) -> int:
    """Cycles from the choice of a sum to what it is rounded to, with a bias if any."""
    return _PROJECTOR + _BIASED * design.rectified


def projector_exact(design: Design) -> int:
    """Cycles from the choice of a sum to what leaves: one more where rows are shifted."""
    if design.shallow and not design.linear:
        return projector_latency(design)
    return max(_BIASED + (design.row_shift > 0), projector_latency(design))


def activation_delay(deep: bool, shallow: bool = False) -> int:
    """Cycles from an argument of a table to its result: entry, register, product, sum, rounding.

    Of a shallow one entry, product, and the rest.
    """
    return 3 if shallow else 7 if deep else 5


def table_delay(design: Design) -> int:
    """Of the tables of a design's lanes."""
    return activation_delay(design.deep, design.shallow)


def biased_delay(design: Design) -> int:
    """Cycles from ``unit`` to the sum that its bias is added to: select, shift."""
    return RAM + design.deep


def pre_delay(design: Design) -> int:
    """Cycles from ``unit`` to its pre-activations: select, shift, bias, saturate.

    A shallow lane saturates what it adds in the same cycle.
    """
    return biased_delay(design) + 2 - design.shallow


def gates_delay(design: Design) -> int:
    """Cycles from ``unit`` to its gates."""
    return pre_delay(design) + table_delay(design)


def cell_delay(design: Design) -> int:
    """Cycles from ``unit`` to its new cell state: products; sum; rounding, or both at once."""
    return gates_delay(design) + 3 + design.deep - design.shallow


def lane_latency(design: Design) -> int:
    """Cycles from ``unit`` to its hidden state: tanh of the cell; product; rounding."""
    return cell_delay(design) + table_delay(design) + 2 + design.deep


@dataclass(frozen=True)
class Serial:
    """Cycles of a lane that takes turns with one table and one multiplier, from ``unit`` on.

    Parameters
    ----------
    select : tuple of 4 int
        In which gates i, f, g, o are selected.
    shifted, pre : int
        From there to the shifted sum and to the pre-activation.
    steps : int
        Of the multiplier.
    """

    select: tuple[int, int, int, int] = (1, 2, 10, 11)
    shifted: int = 2
    pre: int = 3
    steps: int = 4

    @property
    def activated(self) -> int:
        """From the selection of a gate to its value."""
        return self.pre + activation_delay(False)

    @property
    def keep(self) -> int:
        """The multiplier is given f * c."""
        return self.select[1] + self.activated

    @property
    def add(self) -> int:
        """It is given i * g."""
        return self.select[2] + self.activated

    @property
    def summed(self) -> int:
        """The sum of both."""
        return self.add + self.steps + 2

    @property
    def cell(self) -> int:
        """The new cell state."""
        return self.summed + 1

    @property
    def last(self) -> int:
        """The multiplier is given o * tanh(c)."""
        return self.cell + activation_delay(False)

    @property
    def hidden(self) -> int:
        """The new hidden state."""
        return self.last + self.steps + 2


SERIAL = Serial()


def serial_latency(design: Design) -> int:
    """Cycles from ``unit`` to its hidden state, in a compact design."""
    return SERIAL.hidden


# Of a GRU: results of a unit come from its last row, which is that of n. The rows of r and z take
# the same way as far as their gates.


def reset_delay(design: Design) -> int:
    """Cycles from ``unit`` to the argument of tanh: reset gate times sum; sum; rounding."""
    return gates_delay(design) + 3 + design.deep


def candidate_delay(design: Design) -> int:
    """Cycles from ``unit`` to its candidate state."""
    return reset_delay(design) + table_delay(design)


def reset_first_latency(design: Design) -> int:
    """Cycles from ``unit`` to ``r * h`` or a state: difference; product; sum; rounding; once more.

    Of a cell whose three gates come in passes of their own, through one table and multiplier.
    """
    return gates_delay(design) + 5 + design.deep


def gru_latency(design: Design) -> int:
    """Cycles from ``unit`` to its hidden state: difference; product; sum; rounding; once more."""
    return candidate_delay(design) + 5 + design.deep


# of the cell's lane, plain and compact
LANES = {
    ("lstm", False): lane_latency,
    ("lstm", True): serial_latency,
    ("gru", False): gru_latency,
    ("gru0", False): reset_first_latency,
}


def issue_delay(design: Design) -> int:
    """Cycles from the issue of a group to its arrival at the PEs, with its words."""
    # a deep design registers the address twice: for all memories, and beside each
    return RAM + 2 * design.deep


def home_delay(design: Design, latency: int) -> int:
    """Cycles from the deal of a beat to the pulse that says it may be read.

    The write register is one cycle behind the lanes, whose ``latency`` it is; a group reads
    some cycles after it was issued.
    """
    read = issue_delay(design) + read_delay(design)
    # a deep design's controller hears of it a cycle late
    return max(0, latency + 1 - read - design.deep)


def fetch_delay(design: Design) -> int:
    """Cycles from an instruction to its successor at least: its fetch."""
    return FETCH + design.program_pieces - 1


@dataclass(frozen=True)
class Latencies:
    """Cycles between events, for one design.

    Parameters
    ----------
    design : Design
    """

    design: Design

    @property
    def row(self) -> int:
        """From the issue of a row's last group to its result."""
        return self.issue + pe_latency(self.design)

    @property
    def issue(self) -> int:
        """From the issue of a group to its arrival at the PEs."""
        return issue_delay(self.design)

    @property
    def read(self) -> int:
        """From the issue of a group to the reads of its elements of the vector."""
        return self.issue + read_delay(self.design)

    def lane(self, sink: Sink) -> int:
        """From the deal of a beat to its results."""
        if sink == Sink.PROJECT:
            return projector_latency(self.design)
        return LANES[self.design.arithmetic.name, self.design.compact](self.design)

    @property
    def unit(self) -> int:
        """From the issue of a slot's last group to its first unit's new state."""
        return self.row + self.lane(Sink.UNITS)

    def beats(self, sink: Sink) -> int:
        """Beats of a slot's results, or of a block's: cycles in which they are dealt."""
        units = sink == Sink.UNITS
        return self.design.units_per_slot if units else self.design.results_per_slot

    def beats_of(self, now: Instruction) -> IntArray:
        """Beats that get ready with each round of a pass, int64 (rounds,)."""
        blocks = now.walk.turns if self._collected(now) else np.ones_like(now.walk.turns)
        return np.asarray(blocks * self.beats(now.sink), np.int64)

    def ready(self, now: Instruction) -> tuple[IntArray, IntArray]:
        """For each beat of a pass the slot that completes it, and its place among the slot's.

        Returns
        -------
        slots, places : int64 arrays (beats,)
        """
        beats = self.beats_of(now)
        slots = np.repeat(now.walk.ends, beats)[: now.beats]
        places = np.arange(int(beats.sum())) - np.repeat(np.cumsum(beats) - beats, beats)
        return slots, places[: now.beats]

    def first_results(self, now: Instruction) -> int:
        """Cycles of a pass up to the last group of its first results."""
        first = now.walk.ends[0] if self._collected(now) else 0
        return int(now.walk.lasts[first]) + 1

    def _collected(self, now: Instruction) -> bool:
        """Whether the results of a pass are units whose sums PEs keep."""
        return self.design.collects and now.sink == Sink.UNITS

    def dealing(self, now: Instruction) -> int:
        """Cycles in which the results of a pass's last slot are needed."""
        pause = self.design.lane_pause if now.sink == Sink.UNITS else 1
        return max(int(self.beats_of(now)[-1]), pause)

    def home(self, sink: Sink) -> int:
        """From the issue of a slot's last group to the first group that may read its first beat."""
        return self.row + home_delay(self.design, self.lane(sink)) + 1 + self.design.deep

    def written(self, sink: Sink) -> int:
        """From the issue of a slot's last group to its first beat on the write port."""
        return self.row + self.lane(sink)

    def leaves(self, sink: Sink) -> int:
        """From the issue of a slot's last group to its first beat on ``states``."""
        exact = projector_exact(self.design) if sink == Sink.PROJECT else self.lane(sink)
        return self.row + exact + self.output

    @property
    def output(self) -> int:
        """From a result at its lane to its beat on ``states``: the output buffer."""
        return 2 - self.design.shallow
