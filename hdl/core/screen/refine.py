"""The last stages: second planes and whole rows, on lanes that multiply."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from compiler.array.design import bits_for
from compiler.array.latency import RAM, tree_latency
from compiler.array.screen.design import ScreenDesign
from compiler.array.screen.latency import FAN_IN, ScreenLatencies
from csb_format.screening.bounds import FRACTION

from ..pipeline import delayed, registered
from .layouts import element_layout, pair_layout, query_layout, second_layout
from .tree import tree

__all__ = ["RefineLanes", "RefineStage"]


class RefineLanes(wiring.Component):
    """Products of weights' middles, or of what these leave, with elements, and their sum.

    Latency: ``ScreenLatencies.sum`` less ``RAM`` from a word to the sum that it ends. Throughput: a
    word a cycle, no backpressure.

    Parameters
    ----------
    design : ScreenDesign

    Members
    -------
    elements : In
        As they came and rounded, both are kept.
    middle, low, fold : In
        Words of a row; its fold.
    lowest, rounded, place, first : In
        With a word: take ``low``, not the middles; take rounded elements; which word of the row;
        it is the first.
    total : Out
        Of the words since the first.
    """

    def __init__(self, design: ScreenDesign):
        self.design = design
        self.product_bits = max(8, design.low_bits) + design.act_bits
        super().__init__(
            {
                "elements": In(element_layout(design)),
                "middle": In(5 * design.lanes),
                "low": In(design.low_bits * design.lanes),
                "fold": In(2),
                "lowest": In(1),
                "rounded": In(1),
                "place": In(bits_for(design.words)),
                "first": In(1),
                "total": Out(signed(self.product_bits + design.columns.bit_length())),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Memories of elements, multipliers, a tree and an accumulator."""
        m = Module()
        design = self.design
        operands = self._operands(m)
        terms = []
        for lane, operand in enumerate(operands):
            weight = Signal(signed(max(8, design.low_bits)), name=f"weight{lane}", reset_less=True)
            product = Signal(signed(self.product_bits), name=f"product{lane}", reset_less=True)
            low = self.low.word_select(lane, design.low_bits).as_signed()
            middle = self._middle(self.middle.word_select(lane, 5))
            m.d.sync += [
                weight.eq(Mux(self.lowest, low, middle)),
                product.eq(weight * operand),
            ]
            terms.append((product, Const(0, 1)))
        value, _ = tree(m, terms)
        first = delayed(m, self.first, 2 + tree_latency(design.lanes, FAN_IN))
        m.d.sync += self.total.eq(Mux(first, 0, self.total) + value)
        return m

    def _middle(self, field: Value) -> Value:
        """The middle of what sign, size and second plane leave open: 8 bits, signed."""
        below, large = field[1], field[0] ^ field[1]
        folds = large & (self.fold != 0)
        odd = Cat(Const(1, 1), field[2:5], large & ~folds)  # 2 m + 1, or 2 m + 17
        size = Mux(folds, odd << Mux(self.fold == 1, 2, 3), odd)
        return Mux(below, -size, size)[:8].as_signed()

    def _operands(self, m: Module) -> list[Value]:
        """Elements of a word's lanes, a cycle later; rounded ones lie behind the others."""
        design, words = self.design, bits_for(self.design.words)
        beats = design.lanes // design.elements  # in a word
        beat, operands = self.elements.beat, []
        word, part = Signal(words), Signal(bits_for(beats))
        m.d.comb += word.eq(beat // beats), part.eq(beat % beats)
        for lane in range(design.lanes):
            shape = signed(design.act_bits)
            bank = Memory(shape=shape, depth=2 << words, init=[])
            m.submodules[f"bank{lane}"] = bank
            write, read = bank.write_port(), bank.read_port(transparent_for=())
            m.d.comb += [
                write.en.eq(self.elements.valid & (part == lane // design.elements)),
                write.addr.eq(Cat(word, self.elements.rounded)),
                write.data.eq(self.elements.values[lane % design.elements]),
                read.addr.eq(Cat(self.place, self.rounded)),
            ]
            operands.append(read.data)
        return operands


class RefineStage(wiring.Component):
    """Whole rows that wait, else second planes: a word a cycle.

    The bound after a second plane is ``(sum << shift + up - 1) + (norm * reach << t) + prior``, the
    logit of a whole row ``((sum of middles << up) + (sum of low << down)) / 2 + bias``.

    Parameters
    ----------
    design : ScreenDesign

    Members
    -------
    survivor, survivor_valid, survivor_beaten, survivor_pop : In, In, In, Out
        The oldest row that the first plane has left, and whether its bound has been beaten.
    final, final_valid, final_beaten, final_pop : In, In, In, Out
        The same of the second plane.
    room, claim : In, Out
        Of the queue behind second planes.
    query, elements : In
    address, middle, low : Out, In, In
        Of the memories ``middle`` and ``low``, which are read alike.
    row_address, second : Out, In
        Of the memory ``second``.
    whole_address, whole : Out, In
        Of the memory ``whole``.
    begins, reads, idle : Out
        A whole row begins; a word is read; no row is being read.
    arrive, number, bound : Out
        To the queue.
    exact, pair : Out
        A row is computed.
    """

    def __init__(self, design: ScreenDesign):
        self.design = design
        rows = design.row_bits
        queue = {"": In(rows), "_valid": In(1), "_beaten": In(1), "_pop": Out(1)}
        members = {f"survivor{name}": flow for name, flow in queue.items()}
        members |= {f"final{name}": flow for name, flow in queue.items()}
        super().__init__(
            members
            | {
                "room": In(1),
                "claim": Out(1),
                "query": In(query_layout(design)),
                "elements": In(element_layout(design)),
                "address": Out(bits_for(design.rows * design.words)),
                "middle": In(5 * design.lanes),
                "low": In(design.low_bits * design.lanes),
                "row_address": Out(rows),
                "second": In(second_layout()),
                "whole_address": Out(rows),
                "whole": In(design.logit_bits + rows),
                "begins": Out(1),
                "reads": Out(1),
                "idle": Out(1),
                "arrive": Out(1),
                "number": Out(rows),
                "bound": Out(signed(design.bound_bits)),
                "exact": Out(1),
                "pair": Out(pair_layout(design)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Which word is read, the lanes, and what sums become."""
        m = Module()
        design, latency = self.design, ScreenLatencies(self.design)
        m.submodules.lanes = lanes = RefineLanes(design)
        now = self._sequence(m)
        later = delayed(m, now, RAM)
        m.d.comb += [
            lanes.elements.eq(self.elements),
            lanes.middle.eq(self.middle),
            lanes.low.eq(self.low),
            lanes.fold.eq(self.second.fold),
            lanes.lowest.eq(later.lowest),
            lanes.rounded.eq(~later.whole),
            lanes.place.eq(later.place),
            lanes.first.eq(later.place == 0),
        ]
        done = delayed(m, later, latency.sum - RAM)
        ends = delayed(m, self.reads & now.last, latency.sum, reset=True)
        self._bound(m, lanes.total, delayed(m, self.second, latency.sum - RAM))
        self._logit(m, lanes.total, delayed(m, self.second, latency.sum - RAM), ends & ~done.lowest)
        m.d.comb += [
            self.whole_address.eq(delayed(m, now.row, latency.exact - 1 - RAM)),
            self.arrive.eq(delayed(m, ends & ~done.whole, 2, reset=True)),
            self.number.eq(delayed(m, done.row, 2)),
            self.exact.eq(delayed(m, ends & done.lowest, 2, reset=True)),
        ]
        return m

    def _sequence(self, m: Module) -> data.View:
        """The row, the plane and the word of a cycle."""
        design = self.design
        layout = data.StructLayout(
            {"row": design.row_bits, "whole": 1, "lowest": 1, "place": bits_for(design.words),
             "last": 1}
        )  # fmt: skip
        now, kept = Signal(layout), Signal(layout)
        cycle = Signal(range(max(2, design.exact_cycles)))
        free = cycle == 0
        takes = free & self.survivor_valid & ~self.final_valid & self.room
        begins, claims = Signal(), Signal()
        at = Mux(now.lowest, cycle - design.words, cycle)
        ends = Mux(now.whole, design.exact_cycles - 1, design.words - 1)
        m.d.comb += [
            begins.eq(free & self.final_valid & ~self.final_beaten),
            claims.eq(takes & ~self.survivor_beaten),
            self.final_pop.eq(free & self.final_valid),
            self.survivor_pop.eq(takes),
            self.begins.eq(begins),
            self.claim.eq(claims),
            now.row.eq(Mux(free, Mux(self.final_valid, self.final, self.survivor), kept.row)),
            now.whole.eq(Mux(free, self.final_valid, kept.whole)),
            now.lowest.eq(now.whole & (cycle >= design.words)),
            now.place.eq(at),
            now.last.eq(at == design.words - 1),
            self.idle.eq(free),
            self.reads.eq((begins | claims | ~free) & (cycle < 2 * design.words)),
            self.address.eq(now.row * design.words + now.place),
            self.row_address.eq(now.row),
        ]
        with m.If(begins | claims | ~free):
            m.d.sync += [cycle.eq(Mux(cycle == ends, 0, cycle + 1)), kept.eq(now)]
        return now

    def _bound(self, m: Module, total: Signal, second: data.View) -> None:
        """Two registers from the sum of a second plane."""
        design, query = self.design, self.query
        wide = signed(design.bound_bits + FRACTION)
        sums, held = Signal(wide, reset_less=True), Signal(16 + design.reach_bits, reset_less=True)
        prior, reach = registered(m, second.prior), registered(m, second.reach)
        total = total[: 16 + design.columns.bit_length()].as_signed()  # of 8 bits and 8
        bound = (sums << FRACTION - 1) + (held << reach)
        bound = bound + (prior << design.prior_shift + FRACTION)
        m.d.sync += [
            sums.eq(total << (query.shift + second.up)),
            held.eq(second.norm * query.second),
            self.bound.eq(bound >> FRACTION),
        ]

    def _logit(self, m: Module, total: Signal, second: data.View, middles: Value) -> None:
        """Two registers from the sum of a whole row; that of the middles has come before."""
        design = self.design
        kept, doubled = Signal.like(total, reset_less=True), Signal(
            signed(design.logit_bits + 1), reset_less=True
        )  # fmt: skip
        bias = self.whole[: design.logit_bits].as_signed()
        with m.If(middles):
            m.d.sync += kept.eq(total)
        m.d.sync += [
            doubled.eq((kept << second.up) + (total << second.down)),
            self.pair.logit.eq((doubled >> 1) + bias),
            self.pair.index.eq(self.whole[design.logit_bits :]),
        ]
