"""The screen unit: a hidden state in, the k largest logits out."""

from __future__ import annotations

from abc import abstractmethod

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import bits_for
from compiler.array.screen.design import ScreenDesign
from compiler.lower.screen import NAMES, ScreenImage, screen_depths, screen_widths
from csb_format.scales import DesignError

from ..hierarchy import Hierarchy, Ram
from .activations import Activations
from .blocks import BlockStage
from .digits import DigitStage
from .largest import Largest
from .layouts import pair_layout, write_layout
from .query import QueryUnit
from .refine import RefineStage
from .survivors import Survivors

__all__ = ["COUNTERS", "ScreenUnit", "Sink", "StagedUnit", "counts_layout"]

Sink = Largest | Activations

COUNTERS = ("blocks", "first", "second", "exact", "words")


def counts_layout() -> data.StructLayout:
    """What was read for a hidden state."""
    return data.StructLayout({name: 32 for name in COUNTERS})


class StagedUnit(wiring.Component):
    """Three stages, their queues and memories, in front of what takes the exact rows.

    Parameters
    ----------
    design : ScreenDesign
    results : dict
        Members that results leave by.
    image : ScreenImage, optional
    hierarchy : Hierarchy, optional
    source : dict, optional
        Members that bring planes, if not ``write`` to memories of the unit.

    Members
    -------
    write, hidden, counts
        See :class:`ScreenUnit`.
    """

    write: data.View
    hidden: stream.Interface
    counts: data.View

    def __init__(
        self,
        design: ScreenDesign,
        results: dict[str, wiring.Member],
        image: ScreenImage | None,
        hierarchy: Hierarchy | None,
        source: dict[str, wiring.Member] | None = None,
    ):
        if image and image.design != design:
            raise DesignError(
                "the image was made for another screen unit: give what screen_image makes for this "
                "design"
            )
        self.design, self.image = design, image
        self.hierarchy = hierarchy or Hierarchy()
        beat = data.ArrayLayout(signed(design.act_bits), design.elements)
        super().__init__(
            {
                **(source or {"write": In(write_layout(design))}),
                "hidden": In(stream.Signature(beat)),
                **results,
                "counts": Out(counts_layout()),
            }
        )

    @abstractmethod
    def _sink(self) -> Sink:
        """What takes exact rows and says what bounds are compared with."""

    @abstractmethod
    def _tell(self, m: Module, sink: Sink, telling: Signal) -> Signal:
        """Results leave while ``telling``; high with the last."""

    def _source(self, m: Module, query: QueryUnit, sink: Sink) -> None:
        """Where hidden states come from."""
        wiring.connect(m, wiring.flipped(self.hidden), query.hidden)

    def elaborate(self, platform: object) -> Module:
        """Wires between stages, and when a state is done."""
        m = Module()
        design = self.design
        m.submodules.query = query = QueryUnit(design)
        m.submodules.list = sink = self._sink()
        m.submodules.blocks = blocks = BlockStage(design)
        m.submodules.digits = digits = DigitStage(design)
        m.submodules.refine = refine = RefineStage(design)
        rows, numbers = design.row_bits, bits_for(design.blocks)
        ahead = self._queue(m, "ahead", blocks, sink, numbers, design.blocks_ahead)
        left = self._queue(m, "left", digits, sink, rows, design.survivors)
        final = self._queue(m, "final", refine, sink, rows, design.finalists)
        self._source(m, query, sink)
        for stage in (blocks, digits, refine):
            m.d.comb += stage.query.eq(query.query)
        m.d.comb += [
            digits.elements.eq(query.elements),
            refine.elements.eq(query.elements),
            digits.block.eq(ahead.head),
            digits.block_valid.eq(ahead.valid),
            digits.beaten.eq(ahead.beaten),
            ahead.pop.eq(digits.pop),
            sink.start.eq(refine.exact),
            sink.pair.eq(refine.pair),
        ]
        for queue, name in ((left, "survivor"), (final, "final")):
            m.d.comb += [
                getattr(refine, name).eq(queue.head),
                getattr(refine, f"{name}_valid").eq(queue.valid),
                getattr(refine, f"{name}_beaten").eq(queue.beaten),
                queue.pop.eq(getattr(refine, f"{name}_pop")),
            ]
        self._memories(m, blocks, digits, refine)
        idle = blocks.ended & ahead.idle & left.idle & final.idle & refine.idle
        clear = self._control(m, query, blocks, sink, idle, refine.begins)
        events = Cat(blocks.claim, digits.claim, refine.claim, refine.begins)
        self._count(m, clear, events, digits.reads, refine.reads)
        return m

    def _queue(
        self,
        m: Module,
        name: str,
        stage: wiring.Component,
        sink: Sink,
        bits: int,
        depth: int,
        asks: tuple[Value, Value] | None = None,
    ) -> Survivors:
        """What a stage lets through; ``asks``: what claims a place and has room, if not it."""
        m.submodules[name] = queue = Survivors(self.design, bits, depth)
        claim, room = asks or (stage.claim, stage.room)
        m.d.comb += [
            queue.claim.eq(claim),
            queue.arrive.eq(stage.arrive),
            queue.number.eq(stage.number),
            queue.bound.eq(stage.bound),
            queue.least.eq(sink.least),
            room.eq(queue.room),
        ]
        return queue

    def _memories(
        self, m: Module, blocks: BlockStage, digits: DigitStage, refine: RefineStage
    ) -> None:
        """Seven memories, each read by one stage."""
        ports = {
            "blocks": (blocks.address, blocks.word),
            "first": (digits.address, digits.word),
            "marks": (digits.marks_address, digits.marks),
            "middle": (refine.address, refine.middle),
            "low": (refine.address, refine.low),
            "second": (refine.row_address, refine.second),
            "whole": (refine.whole_address, refine.whole),
        }
        widths, depths = screen_widths(self.design), screen_depths(self.design)
        for name, (address, word) in ports.items():
            init = self.image.memories[name] if self.image else ()
            ram = Ram(
                widths[name], depths[name], hierarchy=self.hierarchy, image=f"screen_{name}",
                init=init,
            )  # fmt: skip
            m.submodules[f"{name}_words"] = ram
            write = self.write
            inside = write.address < depths[name]
            m.d.comb += [
                ram.read_addr.eq(address),
                word.eq(ram.read_data),
                ram.write_en.eq(write.en[NAMES.index(name)] & inside),
                ram.write_addr.eq(write.address),
                ram.write_data.eq(write.word),
            ]

    def _control(
        self,
        m: Module,
        query: QueryUnit,
        blocks: BlockStage,
        sink: Sink,
        idle: Value,
        begins: Value,
        most: int = 15,
    ) -> Signal:
        """A state is done when no row is under way; then its results leave, and the next comes.

        At most ``most`` whole rows are under way.
        """
        under_way, telling = Signal(range(most + 1)), Signal()
        running = query.ready & ~telling
        clear = self._tell(m, sink, telling)
        m.d.comb += [blocks.run.eq(running), blocks.clear.eq(clear), query.release.eq(clear)]
        m.d.sync += under_way.eq(under_way + begins - sink.done)
        with m.If(running & idle & (under_way == 0)):
            m.d.sync += telling.eq(1)
        with m.If(clear):
            m.d.sync += telling.eq(0)
        return clear

    def _count(self, m: Module, clear: Signal, events: Cat, first: Signal, second: Signal) -> None:
        """Counters of one state, cleared with its last result."""
        for name, event in zip(COUNTERS, events, strict=False):
            counter = getattr(self.counts, name)
            m.d.sync += counter.eq(counter + event)
        m.d.sync += self.counts.words.eq(self.counts.words + first + second)
        with m.If(clear):
            m.d.sync += self.counts.eq(0)


class ScreenUnit(StagedUnit):
    """Three stages, their queues and memories, and the list of the largest.

    Latency and throughput depend on data: :class:`compiler.timing.screen_cycles.ScreenCycles` says
    both to the cycle. The next state is taken when the last result is.

    Parameters
    ----------
    design : ScreenDesign
    image : ScreenImage, optional
        Contents of the memories at start.
    hierarchy : Hierarchy, optional
    source : dict, optional
        See :class:`StagedUnit`.

    Members
    -------
    write : In
        A word for one of the memories, :func:`~hdl.core.screen.layouts.write_layout`, there for
        reads two cycles later; a word beyond the memory goes nowhere. No state is under way then.
    hidden : In, stream
        Beats of a hidden state, :class:`~hdl.core.screen.query.QueryUnit`.
    largest : Out, stream
        k pairs a state, the largest logit first, of equal ones that of the lower output; ``last``
        with the last.
    counts : Out
        Of the last state, valid with its results: blocks, rows with first planes, with second
        planes, whole rows, and words of planes.
    """

    largest: stream.Interface

    def __init__(
        self,
        design: ScreenDesign,
        image: ScreenImage | None = None,
        hierarchy: Hierarchy | None = None,
        source: dict[str, wiring.Member] | None = None,
    ):
        result = data.StructLayout({"pair": pair_layout(design), "last": 1})
        results = {"largest": Out(stream.Signature(result))}
        super().__init__(design, results, image, hierarchy, source)

    def _sink(self) -> Sink:
        return Largest(self.design)

    def _tell(self, m: Module, sink: Sink, telling: Signal) -> Signal:
        """The list turns, the largest first."""
        assert isinstance(sink, Largest)
        place, last = Signal(range(max(2, self.design.top))), self.largest.payload.last
        taken = self.largest.valid & self.largest.ready
        clear = Signal()
        m.d.comb += [
            sink.clear.eq(clear),
            sink.turn.eq(taken),
            self.largest.valid.eq(telling),
            self.largest.payload.pair.eq(sink.first),
            last.eq(place == self.design.top - 1),
            clear.eq(taken & last),
        ]
        with m.If(taken):
            m.d.sync += place.eq(place + 1)
        with m.If(clear):
            m.d.sync += place.eq(0)
        return clear
