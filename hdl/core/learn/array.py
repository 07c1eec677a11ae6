"""Joins updaters and their sequencer to the blocks of the forward pass."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring

from compiler.array.design import Design
from compiler.array.latency import Latencies
from compiler.array.widths import align_bits, row_left
from compiler.learn.transposed import COLUMN, PRODUCT
from compiler.lower.load import Space

from ..hierarchy import Hierarchy
from ..layouts import group_layout
from ..loader import Loader
from ..pipeline import delayed, registered
from .columns import Columns
from .leaving import Exit, leaving
from .sequencer import LearnSequencer
from .updater import Updater

__all__ = ["LEARNT_BITS", "UPDATER_MODULE", "LearningArray", "columns_of"]

UPDATER_MODULE = "sparseflow_updater"
COLUMNS_MODULE = "sparseflow_columns"
LEARNT_BITS = 32  # of a weight above the low bits of its master


def columns_of(design: Design) -> Columns:
    """Of gradients as wide as weights, which may be shifted, and as many rows as PEs have."""
    return Columns(design, design.value_bits + row_left(design), design.slots, design.pes)


class LearningArray:
    """The PEs' multipliers, trees and accumulators as they serve to learn.

    Parameters
    ----------
    design : Design
    hierarchy : Hierarchy
    """

    def __init__(self, design: Design, hierarchy: Hierarchy):
        self.design = design
        self.sequencer = LearnSequencer(design)
        self.updaters = [
            hierarchy.place(UPDATER_MODULE, lambda: Updater(design)) for _ in range(design.pes)
        ]
        self.learnt = Signal(LEARNT_BITS)
        self._drain: Value = Signal()  # at the PE that is joined next: that it drains, and where
        self._columns = [
            hierarchy.place(COLUMNS_MODULE, lambda: columns_of(design))
            for _ in range(design.pes * design.backward)
        ]
        self._now = Signal(name="learning_now")  # at the PEs

    def group(self, other: data.View) -> data.View:
        """The group that issues: of the learner while it is busy."""
        mine, busy = Value.cast(self.sequencer.group), self.sequencer.busy
        return data.View(group_layout(self.design), Mux(busy, mine, Value.cast(other)))

    def address(self, other: Value) -> Value:
        """The word of the matrix memories that is read."""
        return Mux(self.sequencer.busy, self.sequencer.address, other)

    def loaded(self, loader: Loader) -> tuple[Value, Value]:
        """Whether the loader writes matrix memories, and the word: gradients have no indices."""
        design, index = self.design, self.design.index_bits
        short = loader.space == Space.GRADIENTS
        marks = Const(0, design.lanes * index) | loader.shift
        values = [loader.write_data.word_select(n, design.value_bits) for n in range(design.lanes)]
        places = [marks.word_select(n, index) for n in range(design.lanes)]
        spread = Cat(part for pair in zip(values, places, strict=True) for part in pair)
        word = Mux(short, spread, loader.write_data[: design.word_bits])
        return short | (loader.space == Space.MATRIX), word

    def write(
        self, space: Space, pe: int, en: Value, addr: Value, word: Value
    ) -> tuple[Value, Value, Value]:
        """A write of a matrix memory or of masters: the loader's, or the learner's."""
        lead, updater = self.sequencer, self.updaters[pe]
        if space is Space.MATRIX:
            store, place, mine = lead.store, lead.stored, Value.cast(updater.kept)
        else:
            store, place, mine = lead.low_en, lead.low_place, updater.new_low
        return en | store, Mux(store, place, addr), Mux(store, mine, word)

    def join(self, m: Module, pe: int, element: wiring.Component, word: Value, low: Value) -> None:
        """A PE and its updater: which place of the tape it reads, and how sums are shifted."""
        updater, design = self.updaters[pe], self.design
        m.submodules[f"updater{pe}"] = updater
        taken = data.View(element.word.shape(), element.word.as_value())
        shown = data.View(element.word.shape(), word[: design.word_bits])
        marks = Cat(shown[n].index for n in range(design.lanes))[: align_bits(design)]
        m.d.comb += [
            updater.word.eq(word),
            updater.steps.eq(self.sequencer.steps),
            updater.lane.eq(self.sequencer.lane),
            updater.column.eq(self.sequencer.column),
            updater.sum.eq(element.result),
            updater.low.eq(low),
        ]
        shift: Value = marks
        if design.backward:
            self._back(m, pe, element, marks)
            shift = marks + self.sequencer.lefts[pe % design.abreast]
        with m.If(self._now):
            m.d.comb += element.group.align.eq(shift)
            m.d.comb += [taken[n].index.eq(updater.index) for n in range(design.lanes)]

    def _back(self, m: Module, pe: int, element: wiring.Component, marks: Value) -> None:
        """A PE and its columns; what drains them goes from PE to PE."""
        mine, updater, back = self._columns[pe], self.updaters[pe], self._steps
        design = self.design
        m.submodules[f"columns{pe}"] = mine
        if pe >= design.abreast:  # from PE to PE of the same gate
            m.d.comb += mine.incoming.eq(self._columns[pe - design.abreast].sums)
            if not pe % design.abreast:
                self._drain = registered(m, self._drain, reset=True)
        drain, column = self._drain[0], self._drain[1:]
        place = Cat(registered(m, updater.index), self._bank)
        m.d.comb += [
            element.back.on.eq(back.on),
            element.back.keep.eq(back.on & ~back.fresh),
            element.back.weight.eq(updater.value << self._row_left(m, marks)),
            mine.valid.eq(self._added),
            mine.products.eq(element.products),
            mine.drain.eq(drain),
            mine.column.eq(Mux(drain, column, place)),
        ]

    def _row_left(self, m: Module, marks: Value) -> Value:
        """Shift of the row's weights, which its gradients tell, where rows of gates take turns.

        They tell what finer formats are shifted by to the coarsest, and what steps are; here the
        coarser ones are, to the finest, so that one register has the sum of all three.
        """
        left = Signal(range(row_left(self.design) + 1), name="row_left", reset_less=True)
        back, all_lefts = self._steps, self.sequencer.lefts[0]
        with m.If(back.on & back.fresh):
            m.d.sync += left.eq(all_lefts - marks)
        return left

    def back(self, m: Module) -> Exit:
        """What the PEs are told, and what leaves; before they are joined."""
        lead, issue = self.sequencer, Latencies(self.design).issue
        told = delayed(m, lead.back, issue, reset=True)
        self._steps = told
        self._added = delayed(m, told.add, PRODUCT, reset=True)
        self._bank = delayed(m, lead.lane, PRODUCT)
        self._drain = delayed(m, Cat(told.drain, told.column), PRODUCT, reset=True)
        late = PRODUCT + self.design.pes // self.design.abreast - 1 + COLUMN
        there, final = (delayed(m, flag, late, reset=True) for flag in (told.drain, told.final))
        gates = [list(of.sums) for of in self._columns[-self.design.abreast :]]
        return leaving(m, self.design, there, final, gates, lead.lefts)

    def lead(self, m: Module, loader: Loader) -> None:
        """The sequencer behind the loader."""
        m.submodules.learner = lead = self.sequencer
        chosen = Signal(self.learnt.shape(), name="chosen")
        m.d.comb += [
            lead.write_en.eq(loader.write_en & (loader.space == Space.LEARN)),
            lead.register.eq(loader.write_addr),
            lead.word.eq(loader.write_data),
            self._now.eq(delayed(m, lead.busy, Latencies(self.design).issue, reset=True)),
        ]
        with m.Switch(lead.pe):
            for n, updater in enumerate(self.updaters):
                with m.Case(n):
                    m.d.comb += chosen.eq(Cat(updater.low, updater.value.as_unsigned()))
        with m.If(lead.shown):
            m.d.sync += self.learnt.eq(chosen)
