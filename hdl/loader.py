"""Writes the memories from a stream of 32-bit words, and starts the program.

A packet is a header, a count and data:

=========  =============  ==================================================
header     bits 31..28    space: 1 matrix, 2 bias, 3 program, 4 start, 5 linear,
                          6 vector, 7 cell
           bits 27..16    which memory: PE, element-wise lane, projector, 0
           bits 15..0     first word written; for *start*, program address
count      32 bits        memory words that follow (not for *start*)
data       ...            each memory word in ``ceil(width / 32)`` words,
                          lowest first
=========  =============  ==================================================
"""

import enum

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from csb_format.design import GATES, Design

from .layouts import instruction_layout

__all__ = ["WORD", "Loader", "Space", "header", "space_depths", "space_targets", "space_widths"]

WORD = 32


class Space(enum.IntEnum):
    """Kinds of memory that a packet can address, and the start command."""

    MATRIX = 1
    BIAS = 2
    PROGRAM = 3
    START = 4
    LINEAR = 5
    VECTOR = 6
    CELL = 7


def header(space: Space, target: int = 0, address: int = 0) -> int:
    """The first word of a packet."""
    return int(space) << 28 | target << 16 | address


def space_widths(design: Design) -> dict[Space, int]:
    """Bits of a memory word in each space."""
    return {
        Space.MATRIX: design.piece_bits,
        Space.BIAS: design.state.width if design.compact else design.bias_bits,
        Space.PROGRAM: -(-instruction_layout(design).size // design.program_pieces),
        Space.LINEAR: design.acc_bits,
        Space.VECTOR: design.lanes * design.act_bits,
        Space.CELL: design.state.width,
    }


def space_targets(design: Design) -> dict[Space, int]:
    """Memories in each space."""
    return {
        Space.MATRIX: 0 if design.streamed else design.pes,
        Space.BIAS: design.units,
        Space.PROGRAM: 1,
        Space.LINEAR: design.projectors if design.linear else 0,
        Space.VECTOR: 1,
        Space.CELL: design.units,
    }


def space_depths(design: Design) -> dict[Space, int]:
    """Words of the memories of each space."""
    return {
        Space.MATRIX: design.matrix_depth * design.pieces,
        Space.BIAS: design.cells * (GATES if design.compact else 1),
        Space.PROGRAM: design.program_depth * design.program_pieces,
        Space.LINEAR: design.linear,
        Space.VECTOR: design.vector_depth,
        Space.CELL: design.state_depth,
    }


_OUT = ("space", "target", "write_en", "write_addr", "write_data", "start", "start_addr")


class Loader(wiring.Component):
    """Decodes packets; one 32-bit word a cycle, always ready.

    Parameters
    ----------
    design : Design

    Members
    -------
    words : In, stream of 32 bits
    space, target : Out
        The memory that ``write_en`` means.
    write_en, write_addr, write_data : Out
        One memory word; narrower memories take the low bits.
    start, start_addr : Out
        Start the program (a pulse).
    fault : Out
        Sticky until the next start: a header named a space or a memory that does not exist,
        a word lay beyond its memory or a start beyond the program. What is wrong is skipped.
    """

    words: stream.Interface
    space: Signal
    target: Signal
    write_en: Signal
    write_addr: Signal
    write_data: Signal
    start: Signal
    start_addr: Signal
    fault: Signal

    def __init__(self, design: Design):
        self.design = design
        super().__init__(
            {
                "words": In(stream.Signature(WORD)),
                "space": Out(4),
                "target": Out(12),
                "write_en": Out(1),
                "write_addr": Out(16),
                "write_data": Out(max(space_widths(design).values())),
                "start": Out(1),
                "start_addr": Out(16),
                "fault": Out(1),
            }
        )
        self._written = Signal()  # a memory word is complete
        # what goes out: at once, or a cycle later where the wires are long
        self._out = {n: Signal.like(getattr(self, n), name=f"next_{n}") for n in _OUT}

    def elaborate(self, platform: object) -> Module:
        """A three-state machine over header, count and data."""
        m = Module()
        word, taken = self.words.payload, self.words.valid
        head = data.View(data.StructLayout({"address": 16, "target": 12, "space": 4}), word)
        left = Signal(WORD)
        out, kind = self._out, m.d.sync if self.design.deep else m.d.comb
        m.d.comb += [self.words.ready.eq(1), out["start_addr"].eq(out["write_addr"])]
        m.d.sync += [out["start"].eq(0), self._written.eq(0)]
        kind += [getattr(self, name).eq(value) for name, value in out.items()]
        with m.If(self._written):
            m.d.sync += out["write_addr"].eq(out["write_addr"] + 1)
        self._check_depth(m)
        with m.If(taken), m.FSM():
            with m.State("header"):
                m.d.sync += [
                    out["space"].eq(head.space),
                    out["target"].eq(head.target),
                    out["write_addr"].eq(head.address),
                ]
                starts = head.address < self.design.program_depth
                with m.If(head.space == Space.START):
                    m.d.sync += [out["start"].eq(starts), self.fault.eq(~starts)]
                with m.Else():
                    m.next = "count"
                    with m.If(~self._known(head)):
                        m.d.sync += self.fault.eq(1)
            with m.State("count"):
                m.d.sync += left.eq(word)
                m.next = "data"
                with m.If(word == 0):
                    m.next = "header"
            with m.State("data"), m.If(self._collect(m, word)):
                m.d.sync += left.eq(left - 1)
                with m.If(left == 1):
                    m.next = "header"
        return m

    def _check_depth(self, m: Module) -> None:
        """Write where there is a place; the rest of a packet that is too long is skipped."""
        inside = Signal()
        with m.Switch(self._out["space"]):
            for space, depth in space_depths(self.design).items():
                with m.Case(space):
                    m.d.comb += inside.eq(self._out["write_addr"] < depth)
        m.d.comb += self._out["write_en"].eq(self._written & inside)
        with m.If(self._written & ~inside):
            m.d.sync += self.fault.eq(1)

    def _known(self, head: data.View) -> Value:
        counts = space_targets(self.design)
        return sum(
            ((head.space == space) & (head.target < count) for space, count in counts.items()),
            start=Value.cast(0),
        ).bool()

    def _collect(self, m: Module, word: Value) -> Signal:
        """Gather the chunks of a memory word; high with its last."""
        chunk = Signal(range(-(-len(self._out["write_data"]) // WORD)))
        whole = Signal()
        with m.Switch(self._out["space"]):
            for space, width in space_widths(self.design).items():
                with m.Case(space):
                    m.d.comb += whole.eq(chunk == -(-width // WORD) - 1)
            with m.Default():
                m.d.comb += whole.eq(1)
        m.d.sync += [
            self._out["write_data"].word_select(chunk, WORD).eq(word),
            chunk.eq(chunk + 1),
        ]
        with m.If(whole):
            m.d.sync += [chunk.eq(0), self._written.eq(1)]
        return whole
