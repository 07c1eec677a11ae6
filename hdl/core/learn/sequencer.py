"""Leads all updaters through an update, or shows a weight: addresses, groups, steps, dice."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import DICE_BITS, Design, bits_for
from compiler.array.latency import Latencies
from compiler.learn.commands import FACTOR_BITS, LEFT_BITS, MOST_PLACE, PLACE_BITS, Learn
from compiler.learn.dice import STATE_BITS, TRIPLE, WEYL
from compiler.lower.load import LEARN_WORDS, WORD

from ..layouts import group_layout
from ..pipeline import delayed
from .back import Walk, back_members, back_states
from .updater import steps_layout

__all__ = ["LearnSequencer"]


class LearnSequencer(wiring.Component):
    """Gathers the sum of a weight while the one before it moves; all PEs in step.

    Parameters
    ----------
    design : Design

    Members
    -------
    write_en, register, word : In
        A register of :class:`~compiler.learn.commands.Learn` is written; not while ``busy``.
    address, group : Out
        As of the :class:`~hdl.core.controller.Controller`: a word of the matrix memories is read,
        and groups of gradients and tape issue.
    steps : Out
        What updaters do.
    lane : Out
        Whose weight they take.
    column : Out
        Dice of the column of the weight that is gathered.
    place : Out
        Where its master lies.
    store : Out
        The updaters' word goes back to ``stored``.
    stored : Out
    low_en, low_place : Out
        The moved master's low bits are written.
    busy : Out
        From the cycle after the write that starts something.
    shown, pe : Out
        A weight is shown (a pulse): its PE.
    back : Out, of a design that trains recurrent layers
        :func:`~hdl.core.learn.back.back_steps_layout`.
    lefts : Out, likewise
        Shifts of the sums of each gate.
    room : In, likewise
        Of the output buffer.
    """

    write_en: Signal
    register: Signal
    word: Signal
    address: Signal
    group: data.View
    steps: data.View
    lane: Signal
    column: Signal
    place: Signal
    store: Signal
    stored: Signal
    low_en: Signal
    low_place: Signal
    busy: Signal
    shown: Signal
    pe: Signal

    def __init__(self, design: Design):
        self.design = design
        address, place = bits_for(design.matrix_depth), bits_for(design.train)
        super().__init__(
            {
                "write_en": In(1),
                "register": In(bits_for(LEARN_WORDS)),
                "word": In(WORD),
                "address": Out(address),
                "group": Out(group_layout(design)),
                "steps": Out(steps_layout()),
                "lane": Out(range(max(2, design.lanes))),
                "column": Out(DICE_BITS),
                "place": Out(place),
                "store": Out(1),
                "stored": Out(address),
                "low_en": Out(1),
                "low_place": Out(place),
                "busy": Out(1),
                "shown": Out(1),
                "pe": Out(bits_for(design.pes)),
                **(back_members(design) if design.backward else {}),
            }
        )
        depth = max(design.matrix_depth, design.vector_depth) + 1
        counts = bits_for(depth)
        sizes = {
            Learn.BASE: address,
            Learn.GROUPS: counts,
            Learn.SLOTS: counts,
            Learn.CHUNKS: counts,
            Learn.DIGITS: counts,
            Learn.GRADIENTS: address,
            Learn.TAPE: bits_for(design.vector_depth),
            Learn.MASTERS: place,
            Learn.START: STATE_BITS,
            Learn.STRIDE: STATE_BITS,
            Learn.RATE: FACTOR_BITS + PLACE_BITS,
            Learn.READ: WORD,
            **(_back_registers(design, counts) if design.backward else {}),
        }
        self._given = {
            r: Signal(size, name=r.name.lower(), reset_less=True) for r, size in sizes.items()
        }
        # a sum is there so many cycles after its last group, and a word so many after its address
        latencies = Latencies(design)
        self._row, self._issue = latencies.row, latencies.issue
        names = ("gathered", "still", "begins_row", "begins_word")
        self._gathered, self._still, self._begins_row, self._begins_word = (
            Signal(name=name) for name in names
        )

    def elaborate(self, platform: object) -> Module:
        """Two machines: one gathers, one moves."""
        m = Module()
        given = self._given
        for register, kept in given.items():
            with m.If(self.write_en & (self.register == register)):
                m.d.sync += kept.eq(self.word)
        go = self.write_en & (self.register == Learn.GO)
        read = self.write_en & (self.register == Learn.READ)
        if self.design.backward:
            m.d.comb += Value.cast(self.lefts).eq(given[Learn.LEFTS])
        self._dice(m)
        self._gather(m, go, read)
        self._move(m)
        return m

    def _gather(self, m: Module, go: Value, read: Value) -> None:
        """Rows of all PEs, words of a row, weights of a word, terms of a sum."""
        given, steps = self._given, self.steps
        lanes, address = self.design.lanes, Signal.like(self.address)
        row, term = Signal.like(self.address), Signal.like(self.address)
        slot, group = Signal.like(given[Learn.SLOTS]), Signal.like(given[Learn.GROUPS])
        lane, wait = Signal.like(self.lane), Signal(range(self._row + 8))
        take, dice, chosen = Signal(), Signal(), Signal.like(self.lane)
        m.d.comb += [
            steps.take.eq(delayed(m, take, self._issue, reset=True)),
            self.lane.eq(delayed(m, chosen, self._issue)),
            steps.dice.eq(delayed(m, dice, self._issue, reset=True)),
            self.stored.eq(address),
            self.busy.eq(1),
        ]
        with m.FSM():
            with m.State("idle"):
                m.d.comb += self.busy.eq(0)
                m.d.sync += [
                    address.eq(given[Learn.BASE]),
                    row.eq(given[Learn.GRADIENTS]),
                    self.place.eq(given[Learn.MASTERS]),
                    slot.eq(0),
                    lane.eq(0),
                    wait.eq(0),
                ]
                with m.If(go):
                    m.next = "row"
                with m.If(read):
                    m.next = "look"
                if self.design.backward:
                    with m.If(self.write_en & (self.register == Learn.BACK)):
                        m.next = "settle"
                        with m.If(given[Learn.SLOTS] != 0):
                            m.next = "gradients"
            with m.State("row"):
                m.d.comb += [dice.eq(1), self.address.eq(row), self._begins_row.eq(1)]
                m.d.sync += group.eq(0)
                m.next = "word"
            with m.State("word"):
                m.d.comb += [take.eq(1), self.address.eq(address), self._begins_word.eq(1)]
                m.d.sync += term.eq(row + given[Learn.SLOTS])
                m.next = "terms"
            with m.State("terms"):
                m.d.comb += self.address.eq(term)
                m.d.sync += [term.eq(term + given[Learn.SLOTS]), wait.eq(0)]
                with m.If(self._terms(m, lane)):
                    m.next = "wait"
            with m.State("wait"):
                # the next weight is taken meanwhile: all groups of this one have issued
                m.d.comb += [take.eq(wait == 0), self.address.eq(address), chosen.eq(lane + 1)]
                m.d.sync += wait.eq(wait + (wait != self._row - 1))
                with m.If((wait == self._row - 1) & self._still):
                    m.d.comb += self._gathered.eq(1)
                    m.d.sync += [lane.eq(lane + 1), self.place.eq(self.place + 1)]
                    m.d.sync += term.eq(row + given[Learn.SLOTS])
                    m.next = "terms"
                    with m.If(lane == lanes - 1):
                        m.d.sync += lane.eq(0)
                        m.next = "store"
            with m.State("store"):
                m.d.comb += self.address.eq(address)  # its indices stay: the word is there again
                with m.If(self._still):
                    m.d.comb += self.store.eq(1)
                    m.d.sync += [address.eq(address + 1), group.eq(group + 1)]
                    m.next = "word"
                    with m.If(group == given[Learn.GROUPS] - 1):
                        m.d.sync += [slot.eq(slot + 1), row.eq(row + 1)]
                        m.next = "row"
                        with m.If(slot == given[Learn.SLOTS] - 1):
                            m.next = "idle"
            self._show(m, address, wait, take, chosen)
            if self.design.backward:
                at = Walk(address, row, slot, group, lane, wait, take, chosen, self.address)
                back_states(m, self.design, given, at, self.back, self.room)

    def _show(self, m: Module, address: Value, wait: Signal, take: Signal, chosen: Signal) -> None:
        """Read a word, take a weight of it, and read its master."""
        asked = self._given[Learn.READ]
        m.d.comb += self.pe.eq(asked)
        with m.State("look"):
            m.d.comb += [take.eq(wait == 0), self.address.eq(address), chosen.eq(asked[16:])]
            m.d.sync += wait.eq(wait + 1)
            with m.If(wait == 0):
                m.d.sync += self.place.eq(self.place + asked[16:])
            with m.If(wait == self._issue + 2):
                m.d.comb += self.shown.eq(1)
                m.next = "idle"

    def _terms(self, m: Module, lane: Value) -> Value:
        """Issue the terms of a sum, a chunk of answers after the other; high with the last."""
        given, group = self._given, self.group
        chunk, digit = Signal.like(given[Learn.CHUNKS]), Signal.like(given[Learn.DIGITS])
        last_digit = digit == given[Learn.DIGITS] - 1
        last = last_digit & (chunk == given[Learn.CHUNKS] - 1)
        part = (chunk * self.design.lanes + lane) << self.design.index_bits
        m.d.comb += [
            group.valid.eq(1),
            group.first.eq((chunk == 0) & (digit == 0)),
            group.last.eq(last),
            group.base.eq(given[Learn.TAPE] + part),
        ]
        m.d.sync += digit.eq(digit + 1)
        with m.If(last_digit):
            m.d.sync += [digit.eq(0), chunk.eq(chunk + 1)]
        with m.If(last):
            m.d.sync += chunk.eq(0)
        return last

    def _move(self, m: Module) -> None:
        """Shift the sum, multiply it bit by bit, move, keep."""
        rate, steps = self._given[Learn.RATE], self.steps
        factor, place = rate[:FACTOR_BITS], rate[FACTOR_BITS:].as_signed()
        left = Signal(range(max(MOST_PLACE, FACTOR_BITS) + 1))
        shifted, bits = Signal.like(factor, name="bits"), Signal.like(left, name="shifts")
        m.d.comb += bits.eq(Mux(place < 0, -place, place))
        with m.FSM():
            with m.State("idle"):
                m.d.comb += self._still.eq(1)
                with m.If(self._gathered):
                    m.d.comb += steps.load.eq(1)
                    m.d.sync += [left.eq(bits), self.low_place.eq(self.place), shifted.eq(factor)]
                    m.next = "shift"
                    with m.If(bits == 0):
                        m.d.sync += left.eq(FACTOR_BITS)
                        m.next = "multiply"
            with m.State("shift"):
                m.d.comb += [steps.left.eq(place < 0), steps.right.eq(place >= 0)]
                m.d.sync += left.eq(left - 1)
                with m.If(left == 1):
                    m.d.sync += left.eq(FACTOR_BITS)
                    m.next = "multiply"
            with m.State("multiply"):
                m.d.comb += [steps.multiply.eq(1), steps.bit.eq(shifted[0])]
                m.d.sync += [left.eq(left - 1), shifted.eq(shifted >> 1)]
                with m.If(left == 1):
                    m.next = "move"
            with m.State("move"):
                m.d.comb += steps.move.eq(1)
                m.next = "keep"
            with m.State("keep"):
                m.d.comb += [steps.keep.eq(1), self.low_en.eq(1)]
                m.next = "idle"

    def _dice(self, m: Module) -> None:
        """A Weyl sequence over columns, lanes apart by a row of a bank; two rounds behind it."""
        # of the word's first lane, of the lane that is gathered, after a round
        first, now, once = (
            Signal(STATE_BITS, name=name, reset_less=True) for name in ("first", "now", "once")
        )
        with m.If(self._begins_row):
            m.d.sync += first.eq(self._given[Learn.START])
        with m.If(self._begins_word):
            m.d.sync += [now.eq(first), first.eq(first + WEYL)]
        with m.If(self._gathered):
            m.d.sync += now.eq(now + self._given[Learn.STRIDE])
        m.d.sync += [once.eq(_round(now)), self.column.eq(_round(once)[-DICE_BITS:])]


def _back_registers(design: Design, counts: int) -> dict[Learn, int]:
    """Bits of those of the way back alone."""
    return {Learn.WIDTH: counts, Learn.LEFTS: LEFT_BITS * design.abreast}


def _round(state: Value) -> Value:
    """A step of xorshift32."""
    for by in TRIPLE:
        other = (state << by)[:STATE_BITS] if by > 0 else state >> -by
        state = state ^ other
    return state
