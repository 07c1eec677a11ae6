"""Walks over the memories that a program only reads, and holds them against the model's check."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import crc, data, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design, bits_for
from compiler.array.latency import RAM, WALK_DATA, issue_delay
from compiler.lower.load import WORD, Space, space_depths, space_targets, space_widths
from compiler.lower.walk import WALKED, walk_chunks

from ..pipeline import delayed, registered

__all__ = ["MemoryWalk", "walked"]


def walked(design: Design) -> list[Space]:
    """Spaces that the design has memories of, in the order of a walk."""
    return [space for space in WALKED if space_targets(design)[space]]


class MemoryWalk(wiring.Component):
    """Reads what nobody reads, 32 bits a cycle; the integers are :mod:`compiler.lower.walk`.

    It goes on in every cycle in which the memory whose turn it is is ``spare``; where all are, a
    whole walk takes :func:`~compiler.lower.walk.walk_cycles`. A flip is told after two walks at the
    latest: one may have passed it already.

    Parameters
    ----------
    design : Design
        With ``walk``.
    filled : bool
        The memories have an image at start.

    Members
    -------
    spare : In
        A bit for each space of :func:`walked`: nobody else wants a word of this address.
    address, reading : Out
        The word that is read, and of which space, one bit each; never without its ``spare``.
    words : In
        Of each space what all its memories give, that of target 0 lowest; as late after the
        address as the memories are.
    told_address, told : Out, In
        Its own memory, a read port of :class:`~hdl.core.hierarchy.Ram`.
    written, filled : In
        A word of a space of :func:`walked` is written: nothing is known of them then, and no walk
        is made until its own memory is filled, whose last word is written now.
    clear : In
        Begin anew, and forget what was found.
    wrong : Out
        A walk has found another check. Sticky.
    walks : Out
        Whole walks that have found the right one, since a reset, modulo 2**32.
    """

    spare: data.View
    address: Signal
    reading: data.View
    words: data.View
    told_address: Signal
    told: Signal
    written: Signal
    filled: Signal
    clear: Signal
    wrong: Signal
    walks: Signal

    def __init__(self, design: Design, *, filled: bool = False):
        self.design, self._spaces = design, walked(design)
        # contents of memories survive a reset, and so does what is known of them
        self._known = Signal(init=filled, reset_less=True)
        widths, targets = space_widths(design), space_targets(design)
        names = [space.name.lower() for space in self._spaces]
        # proofs look at these
        self.check, self.found = crc.catalog.CRC32_ISO_HDLC(WORD).create(), Signal()
        self.rests = Signal()
        self.turn = Signal(range(len(self._spaces)))
        self.place = Signal(range(max(walk_chunks(design, s) for s in self._spaces)))
        bits = data.StructLayout({name: 1 for name in names})
        given = {s.name.lower(): widths[s] * targets[s] for s in self._spaces}
        deepest = max(space_depths(design)[space] for space in self._spaces)
        super().__init__(
            {
                "spare": In(bits),
                "address": Out(bits_for(deepest)),
                "reading": Out(bits),
                "words": In(data.StructLayout(given)),
                "told_address": Out(1),
                "told": In(WORD),
                "written": In(1),
                "filled": In(1),
                "clear": In(1),
                "wrong": Out(1),
                "walks": Out(WORD),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A machine that reads, two steps that choose 32 bits, a CRC."""
        m = Module()
        with m.If(self.written):
            m.d.sync += self._known.eq(0)
        with m.Elif(self.filled):
            m.d.sync += self._known.eq(1)
        m.d.comb += self.rests.eq(self.clear | ~self._known)
        m.submodules.check = check = self.check
        walking, starts, walking_next = Signal(), Signal(), Signal()
        step, ends = self._step(m, walking)
        found = self.found
        self._judge(m, walking, starts, walking_next, step & ends)
        parts = [self._part(m, number) for number in range(len(self._spaces))]
        word, valid = Signal(WORD, reset_less=True), Signal()
        any_part: Value = Const(0, WORD)
        for one, there in parts:
            any_part = any_part | Mux(there, one, 0)
        m.d.sync += [word.eq(any_part), valid.eq(Cat(there for _, there in parts).any())]
        begins = registered(m, walking_next, reset=True)  # what is told has come
        m.d.comb += [
            check.start.eq(starts),
            check.data.eq(Mux(begins, self.told, word)),
            check.valid.eq(begins | valid),
        ]
        with m.If(found):
            right = check.crc == self.told
            m.d.sync += [self.walks.eq(self.walks + right), self.wrong.eq(self.wrong | ~right)]
        with m.If(self.rests):
            m.d.sync += valid.eq(0)
        with m.If(self.clear):
            m.d.sync += self.wrong.eq(0)
        return m

    def _step(self, m: Module, walking: Signal) -> tuple[Value, Value]:
        """(a word is read in this cycle, it is the last); then on to the next."""
        address, place, turn = self.address, self.place, self.turn
        depths, step = space_depths(self.design), Signal()
        last_place, last_address = Signal(), Signal()
        with m.Switch(turn):
            for number, space in enumerate(self._spaces):
                name = space.name.lower()
                last: Value | int = depths[space] - 1
                if space is Space.MATRIX:
                    last = self.told[: len(address)]
                with m.Case(number):
                    m.d.comb += [
                        step.eq(walking & self.spare[name]),
                        self.reading[name].eq(walking & self.spare[name]),
                        last_place.eq(place == walk_chunks(self.design, space) - 1),
                        last_address.eq(address == last),
                    ]
        with m.If(step):
            m.d.sync += place.eq(place + 1)
            with m.If(last_place):
                m.d.sync += [place.eq(0), address.eq(address + 1)]
                with m.If(last_address):
                    m.d.sync += [address.eq(0), turn.eq(turn + 1)]
        with m.If(self.rests):
            m.d.sync += [place.eq(0), address.eq(0), turn.eq(0)]
        return step, last_place & last_address & (turn == len(self._spaces) - 1)

    def _judge(
        self, m: Module, walking: Signal, starts: Signal, walking_next: Signal, ended: Value
    ) -> None:
        """Wait for what is told, walk, wait for the last word; then the check is there."""
        drain = issue_delay(self.design) + WALK_DATA
        left, draining, found = Signal(range(drain + 1), init=RAM), Signal(), self.found
        m.d.comb += [
            starts.eq(~walking & ~draining),
            walking_next.eq(starts & (left == 1) & ~self.rests),
            found.eq(draining & (left == 0) & ~self.rests),
            self.told_address.eq(draining),
        ]
        with m.If(~walking & (left != 0)):
            m.d.sync += left.eq(left - 1)
        with m.If(walking_next):
            m.d.sync += walking.eq(1)
        with m.If(ended):
            m.d.sync += [walking.eq(0), draining.eq(1), left.eq(drain - 1)]
        with m.If(found):
            m.d.sync += [draining.eq(0), left.eq(RAM), self.turn.eq(0)]
        with m.If(self.rests):
            m.d.sync += [walking.eq(0), draining.eq(0), left.eq(RAM)]

    def _part(self, m: Module, number: int) -> tuple[Value, Value]:
        """32 bits of a space, and whether they are there: chosen in two steps."""
        space, count = self._spaces[number], walk_chunks(self.design, self._spaces[number])
        late = issue_delay(self.design) if space is Space.MATRIX else RAM
        asked = self.reading[space.name.lower()]
        there = delayed(m, asked, late, reset=True, clear=self.rests)
        place = delayed(m, self.place[: bits_for(count)], late)
        chunks, near = self._chunks(space), (bits_for(count) + 1) // 2
        groups = [chunks[at : at + (1 << near)] for at in range(0, count, 1 << near)]
        chosen = [registered(m, Array(group)[place[:near]]) for group in groups]
        far = registered(m, place[near:]) if len(groups) > 1 else Const(0)
        return Array(chosen)[far], registered(m, there, reset=True, clear=self.rests)

    def _chunks(self, space: Space) -> list[Value]:
        """What the memories of a space give, in parts of 32 bits."""
        words, width = self.words[space.name.lower()], space_widths(self.design)[space]
        parts = []
        for target in range(space_targets(self.design)[space]):
            word = words.word_select(target, width)
            for at in range(0, width, WORD):
                part = word[at : at + WORD]
                parts.append(Cat(part, Const(0, WORD - len(part))) if len(part) < WORD else part)
        return parts
