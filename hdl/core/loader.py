"""Writes the memories from a stream of 32-bit words, and starts the program.

The packets are those of :mod:`compiler.lower.load`.
"""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design
from compiler.array.widths import align_bits
from compiler.lower.load import (
    COUNT_BITS,
    WORD,
    Space,
    space_depths,
    space_targets,
    space_widths,
)

from .pipeline import delayed

__all__ = ["Loader"]


_CONTROL = ("write_en", "vector_en", "start")
_DATA = ("space", "target", "write_addr", "write_data", "start_addr")  # means nothing without


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
    vector_en : Out
        ``write_en``, and it is a word of the vectors.
    shift : Out, of a design that trains
        Of gradients that are written.
    start, start_addr : Out
        Start the program (a pulse).
    clear : Out
        Forget what is under way: from the cycle after the word that starts to ``start``.
    spoilt : Out, of a checked design
        A packet since the last start had changed on its way: a start is not carried out
        then. Sticky until the next that is.
    fault : Out
        Sticky until the next start: a header named a space or a memory that does not exist,
        a word lay beyond its memory or a start beyond the program. What is wrong is skipped.
    """

    words: stream.Interface
    space: Signal
    target: Signal
    write_en: Signal
    vector_en: Signal
    write_addr: Signal
    write_data: Signal
    start: Signal
    start_addr: Signal
    clear: Signal
    fault: Signal
    spoilt: Signal
    shift: Signal

    def __init__(self, design: Design):
        self.design = design
        super().__init__(
            {
                "words": In(stream.Signature(WORD)),
                "space": Out(4),
                "target": Out(12),
                "write_en": Out(1),
                "vector_en": Out(1),
                "write_addr": Out(16),
                "write_data": Out(max(space_widths(design).values())),
                "start": Out(1),
                "start_addr": Out(16),
                "clear": Out(1),
                "fault": Out(1),
                **({"spoilt": Out(1)} if design.checked else {}),
                **({"shift": Out(align_bits(design))} if design.train else {}),
            }
        )
        self._written = Signal()  # a memory word is complete
        self._begins = Signal()  # a start is told in the next cycle
        # what goes out: at once, or a cycle later where the wires are long
        self._out = {
            name: Signal.like(getattr(self, name), name=f"next_{name}", reset_less=name in _DATA)
            for name in (*_CONTROL, *_DATA)
        }

    def elaborate(self, platform: object) -> Module:
        """A three-state machine over header, count and data."""
        m = Module()
        word, taken = self.words.payload, self.words.valid
        head = data.View(data.StructLayout({"address": 16, "target": 12, "space": 4}), word)
        left, out = Signal(WORD, reset_less=True), self._out
        m.d.comb += [self.words.ready.eq(1), out["start_addr"].eq(out["write_addr"])]
        m.d.sync += [out["start"].eq(self._begins), self._written.eq(0)]
        for name, value in out.items():
            later = delayed(m, value, int(self.design.deep), reset=name in _CONTROL)
            m.d.comb += getattr(self, name).eq(later)
        if self.design.deep:  # with the start and in the cycle before; it goes everywhere
            m.d.sync += self.clear.eq(self._begins | out["start"])
        else:
            m.d.comb += self.clear.eq(self.start)
        with m.If(self._written):
            m.d.sync += out["write_addr"].eq(out["write_addr"] + 1)
        self._wrong = Signal()  # an unknown memory, or a word beyond its memory's end
        with m.If(delayed(m, self._wrong, int(self.design.deep), reset=True)):
            m.d.sync += self.fault.eq(1)
        self._check_depth(m)
        end = "check" if self.design.checked else "header"
        self._sum = Signal(WORD)
        with m.If(taken), m.FSM() as fsm:
            with m.State("header"):
                m.d.sync += [
                    out["space"].eq(head.space),
                    out["target"].eq(head.target),
                    out["write_addr"].eq(head.address),
                ]
                starts = head.address < self.design.program_depth
                with m.If(head.space == Space.START):
                    if self.design.checked:
                        m.next = "check"
                    else:
                        m.d.comb += self._begins.eq(starts)
                        m.d.sync += self.fault.eq(~starts)
                with m.Else():
                    m.next = "count"
                    with m.If(~self._known(head)):
                        m.d.comb += self._wrong.eq(1)
            with m.State("count"):
                count = self._count(m, word)
                m.d.sync += left.eq(count)
                m.next = "data"
                with m.If(count == 0):
                    m.next = end
            with m.State("data"), m.If(self._collect(m, word)):
                m.d.sync += left.eq(left - 1)
                with m.If(left == 1):
                    m.next = end
            if self.design.checked:
                with m.State("check"):
                    self._check(m, word)
                    m.next = "header"
                m.d.sync += self._sum.eq(Mux(fsm.ongoing("header"), 0, self._sum) ^ word)
        return m

    def _count(self, m: Module, word: Value) -> Value:
        """Words that follow; above them a shift, of gradients."""
        if not self.design.train:
            return word
        count = Signal(WORD, name="count")
        m.d.comb += count.eq(word)
        with m.If(self._out["space"] == Space.GRADIENTS):
            m.d.comb += count.eq(word[:COUNT_BITS])
            m.d.sync += self.shift.eq(word[COUNT_BITS:])
        return count

    def _check(self, m: Module, word: Value) -> None:
        """The word behind a packet; a start waits for it."""
        out, good = self._out, word == self._sum
        with m.If(~good):
            m.d.sync += self.spoilt.eq(1)
        with m.If(out["space"] == Space.START):
            starts = good & ~self.spoilt & (out["write_addr"] < self.design.program_depth)
            m.d.comb += self._begins.eq(starts)
            m.d.sync += [self.fault.eq(~starts), self.spoilt.eq(0)]

    def _check_depth(self, m: Module) -> None:
        """Write where there is a place; the rest of a packet that is too long is skipped."""
        inside = Signal()
        with m.Switch(self._out["space"]):
            for space, depth in space_depths(self.design).items():
                with m.Case(space):
                    m.d.comb += inside.eq(self._out["write_addr"] < depth)
        writes, vector = self._written & inside, self._out["space"] == Space.VECTOR
        m.d.comb += [self._out["write_en"].eq(writes), self._out["vector_en"].eq(writes & vector)]
        with m.If(self._written & ~inside):
            m.d.comb += self._wrong.eq(1)

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
