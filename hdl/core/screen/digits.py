"""The second stage: first planes, two bits of a weight times 8 of the state, by adders alone."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from compiler.array.design import bits_for
from compiler.array.latency import RAM, tree_latency
from compiler.array.screen.design import ScreenDesign
from compiler.array.screen.latency import FAN_IN, ScreenLatencies
from csb_format.screening.bounds import BLOCK, FRACTION

from ..pipeline import delayed
from .layouts import element_layout, query_layout
from .tree import Term, summed, tree

__all__ = ["DigitLanes", "DigitRows", "DigitStage"]


class DigitLanes(wiring.Component):
    """Sums of -3, -1, 1 and 3 times rounded elements: twice w times each, and the sum of all.

    A digit is ``2 w + 1``, w of -2, -1, 0 and 1 the two bits of a word as they lie. So w y takes a
    bit less than the digit times y, in lanes and tree; the sum of all y is that of every row.

    Latency: ``RAM`` less of ``1 + tree_latency + 1`` cycles from a word to the sum that it ends.
    Throughput: a word a cycle, no backpressure. No multiplier.

    Parameters
    ----------
    design : ScreenDesign

    Members
    -------
    elements : In
        Rounded ones are kept, and their sum.
    word, group, first : In
        Fields of a word; which of the row's; it is the first of them.
    total : Out
        Of the row's words so far.
    """

    elements: data.View
    word: Signal
    group: Signal
    first: Signal
    total: Signal

    def __init__(self, design: ScreenDesign):
        self.design = design
        bits = (3 * 127 * design.places).bit_length() + 1
        super().__init__(
            {
                "elements": In(element_layout(design)),
                "word": In(2 * design.digits),
                "group": In(bits_for(design.groups)),
                "first": In(1),
                "total": Out(signed(bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Elements, lanes, a tree and an accumulator."""
        m = Module()
        design = self.design
        operands = self._banks(m) if self._banked else self._registers(m)
        terms = [self._lane(m, lane, kept) for lane, kept in enumerate(operands)]
        missing = max(0, design.digits - design.places)
        terms += [(Signal(signed(2)), Signal())] * missing
        value, carry = tree(m, terms)
        first = delayed(m, self.first, 1 + tree_latency(design.digits, FAN_IN))
        before = Mux(first, self._sum(m), self.total)
        twice = Cat(carry, value).as_signed()  # the carry once more makes 2 (value + carry)
        m.d.sync += self.total.eq(summed((before, carry), (twice, Const(0, 1)))[0])
        return m

    def _given(self, lane: int) -> Value:
        """A rounded element of a beat."""
        return self.elements.values[lane][:8].as_signed()

    @property
    def _banked(self) -> bool:
        """Whether a lane has its elements in a memory: a register each would need a choice."""
        return self.design.groups > 1 and self.design.digits % self.design.elements == 0

    def _banks(self, m: Module) -> list[Value]:
        """Elements of a word's lanes, from a small memory of each."""
        design = self.design
        beats, operands = design.digits // design.elements, []  # of a word
        word, part = Signal(range(design.groups)), Signal(range(beats))
        m.d.comb += [word.eq(self.elements.beat // beats), part.eq(self.elements.beat % beats)]
        for lane in range(design.digits):
            bank = Memory(shape=signed(8), depth=design.groups, init=[])
            m.submodules[f"bank{lane}"] = bank
            write, read = bank.write_port(), bank.read_port(domain="comb")
            here = self.elements.valid & self.elements.rounded & (part == lane // design.elements)
            m.d.comb += [
                write.en.eq(here),
                write.addr.eq(word),
                write.data.eq(self._given(lane % design.elements)),
                read.addr.eq(self.group),
            ]
            operands.append(read.data)
        return operands

    def _registers(self, m: Module) -> list[Value]:
        """Elements of a word's lanes, each from a register."""
        design = self.design
        stored = [self._element(m, place) for place in range(design.places)]
        operands: list[Value] = []
        for lane in range(min(design.digits, design.places)):
            own = stored[lane :: design.digits]
            own += [Signal(signed(8))] * (design.groups - len(own))  # behind the last column
            operands.append(own[0] if len(own) == 1 else Array(own)[self.group])
        return operands

    def _element(self, m: Module, place: int) -> Signal:
        """An element, for as long as the state is there."""
        kept = Signal(signed(8), name=f"one{place}", reset_less=True)
        beat, lane = divmod(place, self.design.elements)
        here = self.elements.valid & self.elements.rounded & (self.elements.beat == beat)
        with m.If(here):
            m.d.sync += kept.eq(self._given(lane))
        return kept

    def _sum(self, m: Module) -> Signal:
        """The sum of all elements, there before the first row: roots take longer."""
        total = Signal(self.total.shape(), name="elements_sum", reset_less=True)
        given = sum(self._given(lane) for lane in range(self.design.elements))
        with m.If(self.elements.valid & self.elements.rounded):
            m.d.sync += total.eq(Mux(self.elements.beat == 0, 0, total) + given)
        return total

    def _lane(self, m: Module, lane: int, kept: Value) -> Term:
        """-2, -1, 0 or 1 times one element: the sign's bit is added in the tree."""
        one, below = self.word[2 * lane], self.word[2 * lane + 1]
        size, value = Signal(signed(9)), Signal(signed(9), name=f"value{lane}", reset_less=True)
        sign = Signal(name=f"sign{lane}", reset_less=True)
        m.d.comb += size.eq(Mux(one, kept, Mux(below, kept << 1, 0)))
        m.d.sync += [value.eq(size ^ below.replicate(9)), sign.eq(below)]
        return value, sign


class DigitRows(wiring.Component):
    """Words of rows: one a cycle, a bound ``ScreenLatencies.first`` after a row's last.

    The bound is ``((scale * sum << shift) + (norm * reach << lift) << exponent) + prior``. Which
    row and word a cycle takes says ``_sequence``: the rows of blocks, in :class:`DigitStage`,
    or those that a memory outside sends.

    Parameters
    ----------
    design : ScreenDesign
    source : dict
        Members that say what comes, those of the stage itself.

    Members
    -------
    query, elements : In
    word, marks_address, marks : In, Out, In
        Of the memories ``first`` and ``marks``, ``RAM`` cycles after the word's cycle, and after
        ``marks_address``.
    reads : Out
        A word is read.
    arrive, number, bound : Out
        To the queue.
    """

    def __init__(self, design: ScreenDesign, source: dict[str, wiring.Member]):
        self.design = design
        super().__init__(
            source
            | {
                "query": In(query_layout(design)),
                "elements": In(element_layout(design)),
                "word": In(2 * design.digits),
                "marks_address": Out(design.row_bits),
                "marks": In(32),
                "reads": Out(1),
                "arrive": Out(1),
                "number": Out(design.row_bits),
                "bound": Out(signed(design.bound_bits)),
            }
        )

    @property
    def summed(self) -> int:
        """Cycles from a word's to the sum of the row that it ends."""
        return RAM + 1 + tree_latency(self.design.digits, FAN_IN) + 1

    def elaborate(self, platform: object) -> Module:
        """Which word is read, the lanes, and the bound."""
        m = Module()
        design = self.design
        lanes = DigitLanes(design)
        m.submodules.lanes = lanes
        row, group, last = self._sequence(m)
        latency = ScreenLatencies(design)
        m.d.comb += [
            lanes.elements.eq(self.elements),
            lanes.word.eq(self.word),
            lanes.group.eq(delayed(m, group, RAM)),
            lanes.first.eq(delayed(m, group == 0, RAM)),
            self.marks_address.eq(delayed(m, row, self.summed - RAM)),
            self.arrive.eq(delayed(m, last, latency.first, reset=True)),
            self.number.eq(delayed(m, row, latency.first)),
        ]
        self._bound(m, lanes.total)
        return m

    def _sequence(self, m: Module) -> tuple[Value, Value, Value]:
        """The row and the word of a cycle; whether it ends the row. Drives ``reads``."""
        raise NotImplementedError

    def _bound(self, m: Module, total: Signal) -> None:
        """Scale and norm, shift, exponent, prior: a register behind each."""
        design, query = self.design, self.query
        fields = {"prior": signed(12), "scale": 8, "norm": 8, "exponent": 4}
        marks = data.View(data.StructLayout(fields), self.marks)
        scaled = Signal(signed(len(total) + 9), reset_less=True)
        reach = Signal(8 + design.reach_bits, reset_less=True)
        whole = Signal(
            signed(max(len(scaled) + 9, len(reach) + design.lift + 1) + 1), reset_less=True
        )
        wide = signed(design.bound_bits + FRACTION)
        raised = Signal(wide, reset_less=True)
        prior = delayed(m, marks.prior, 3)
        bound = raised + (prior << design.prior_shift + FRACTION)
        m.d.sync += [
            scaled.eq(total * marks.scale),
            reach.eq(marks.norm * query.first),
            whole.eq((scaled << query.shift) + (reach << design.lift)),
            raised.eq(whole << delayed(m, marks.exponent, 2)),
            self.bound.eq(bound >> FRACTION),
        ]


class DigitStage(DigitRows):
    """Rows of the blocks that are left, from memories of the unit.

    Parameters
    ----------
    design : ScreenDesign

    Members
    -------
    block, block_valid, beaten, pop : In, In, In, Out
        The oldest block that is left; whether its bound has been beaten since; it is done.
    room, claim : In, Out
        Of the queue behind; a row begins.
    address : Out
        Of the memory ``first``.
    query, elements, word, marks_address, marks, reads, arrive, number, bound
        See :class:`DigitRows`.
    """

    def __init__(self, design: ScreenDesign):
        source = {
            "block": In(bits_for(design.blocks)),
            "block_valid": In(1),
            "beaten": In(1),
            "pop": Out(1),
            "room": In(1),
            "claim": Out(1),
            "address": Out(bits_for(design.rows * design.groups)),
        }
        super().__init__(design, source)

    def _sequence(self, m: Module) -> tuple[Value, Value, Value]:
        """The row and the word of a cycle; whether it ends the row."""
        design = self.design
        place, group = Signal(range(BLOCK)), Signal(bits_for(design.groups))
        row = Signal(design.row_bits)
        starts = self.block_valid & ~self.beaten & self.room & (group == 0)
        last = Signal()
        leaves = self.block_valid & self.beaten & (group == 0)
        ends = (place == BLOCK - 1) | (row == design.rows - 1)
        m.d.comb += [
            row.eq((self.block << 4) | place),
            self.claim.eq(starts),
            self.reads.eq(starts | (group != 0)),
            last.eq(self.reads & (group == design.groups - 1)),
            self.address.eq(row * design.groups + group),
            self.pop.eq(leaves | (last & ends)),
        ]
        with m.If(self.reads):
            m.d.sync += group.eq(Mux(last, 0, group + 1))
        with m.If(last):
            m.d.sync += place.eq(place + 1)
        with m.If(self.pop):
            m.d.sync += place.eq(0)
        return row, group, last
