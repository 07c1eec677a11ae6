"""What is asked of all rows for one hidden state: it rounded to 8 bits, and norms."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from compiler.array.screen.design import ScreenDesign

from ..pipeline import delayed, registered
from .layouts import element_layout, query_layout

__all__ = ["QueryUnit"]

_NORMS = 3  # of the state, of what is rounded, of the rest


class QueryUnit(wiring.Component):
    """Takes a hidden state and says its :class:`csb_format.screening.bounds.Query`.

    Latency: ``ScreenLatencies.prepare`` from the last beat to ``ready``. A state is taken when the
    one before it is released.

    Parameters
    ----------
    design : ScreenDesign

    Members
    -------
    hidden : In, stream
        ``elements`` of a beat, ``beats`` beats a state; places behind the last column are ignored.
    elements : Out
        Each beat as it comes, later rounded.
    query, ready : Out
        Valid from the cycle in which ``ready`` is first high, until ``release``.
    release : In
    """

    hidden: stream.Interface
    elements: data.View
    query: data.View
    ready: Signal
    release: Signal

    def __init__(self, design: ScreenDesign):
        self.design = design
        beat = data.ArrayLayout(signed(design.act_bits), design.elements)
        super().__init__(
            {
                "hidden": In(stream.Signature(beat)),
                "elements": Out(element_layout(design)),
                "query": Out(query_layout(design)),
                "ready": Out(1),
                "release": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Store, round and square, then three roots."""
        m = Module()
        design = self.design
        rounding, place = Signal(), Signal(range(design.beats + 4))
        state = [self._taken(v, n, place) for n, v in enumerate(self.hidden.payload)]
        m.submodules.beats = memory = Memory(
            shape=design.act_bits * design.elements, depth=design.beats, init=[]
        )
        write, read = memory.write_port(), memory.read_port(transparent_for=())
        rooting = Signal()
        taken = self.hidden.valid & self.hidden.ready
        ends = taken & (place == design.beats - 1)
        rounded = rounding & (place == design.beats + 3)
        m.d.comb += [
            self.hidden.ready.eq(~(rounding | rooting | self.ready)),
            write.en.eq(taken),
            write.addr.eq(place),
            write.data.eq(Cat(state)),
            read.addr.eq(place),
        ]
        m.d.sync += place.eq(place + (taken | rounding))
        with m.If(ends):
            m.d.sync += [place.eq(0), rounding.eq(1)]
        with m.If(rounded):
            m.d.sync += [place.eq(0), rounding.eq(0), rooting.eq(1)]
        self._magnitude(m, taken, state)
        values = [
            read.data.word_select(n, design.act_bits).as_signed() for n in range(design.elements)
        ]
        valid = registered(m, rounding & (place < design.beats), reset=True)
        sums = self._squares(m, values, valid, registered(m, place), (taken, place, state))
        rooted = self._roots(m, sums, rooting, rounded)
        with m.If(rooted):
            m.d.sync += [rooting.eq(0), self.ready.eq(1)]
        with m.If(self.release):
            m.d.sync += [self.ready.eq(0), *(total.eq(0) for total in sums)]
        return m

    def _taken(self, value: Value, n: int, place: Value) -> Value:
        """An element, or 0 behind the last column."""
        here = (self.design.beats - 1) * self.design.elements + n
        if here < self.design.places:
            return value
        return Mux(place == self.design.beats - 1, 0, value)[: self.design.act_bits].as_signed()

    def _magnitude(self, m: Module, taken: Value, state: list[Value]) -> None:
        """The shift that leaves 7 bits and a sign of the largest element."""
        bits = self.design.act_bits
        ones, now = Signal(bits), Signal(bits)
        sizes = [Mux(value < 0, -value, value)[:bits] for value in state]
        m.d.comb += now.eq(sizes[0] if len(sizes) == 1 else _any(sizes))
        with m.If(taken):
            m.d.sync += ones.eq(ones | now)
        with m.If(self.release):
            m.d.sync += ones.eq(0)
        for n in range(7, bits):
            with m.If(ones[n]):
                m.d.comb += self.query.shift.eq(n - 6)

    def _squares(
        self,
        m: Module,
        values: list[Value],
        valid: Value,
        place: Value,
        loading: tuple[Value, Value, list[Value]],
    ) -> list[Signal]:
        """Sums of the three squares; elements go to the lanes, rounded ones a cycle later."""
        shift, bits = self.query.shift, self.design.act_bits
        terms: list[list[Value]] = [[], [], []]
        rounded = []
        for value in values:
            near = (((value << 1) >> shift) + 1) >> 1
            digit = Signal(signed(8))
            m.d.comb += digit.eq(Mux(near > 127, 127, Mux(near < -127, -127, near)))
            known = (registered(m, digit) << shift)[: bits + 1].as_signed()
            whole = registered(m, value)
            for n, part in enumerate((whole, known, whole - known)):
                term = Signal(signed(bits + 1), name=f"term{n}")
                m.d.comb += term.eq(part)
                terms[n].append(registered(m, term * term))
            rounded.append(registered(m, digit))
        shape = self.design.square_bits
        sums = [Signal(shape, name=f"squares{n}") for n in range(_NORMS)]
        with m.If(delayed(m, valid, 2, reset=True)):
            m.d.sync += [
                total.eq(total + sum(some)) for total, some in zip(sums, terms, strict=True)
            ]
        taken, beat, state = loading
        early = registered(m, valid, reset=True)
        m.d.comb += [
            self.elements.valid.eq(taken | early),
            self.elements.rounded.eq(early),
            self.elements.beat.eq(Mux(early, registered(m, place), beat)),
        ]
        for n, (now, later) in enumerate(zip(state, rounded, strict=True)):
            m.d.comb += self.elements.values[n].eq(Mux(early, later, now))
        return sums

    def _roots(self, m: Module, sums: list[Signal], active: Value, start: Value) -> Value:
        """Norms rounded up, one after the other, two bits of a square a cycle."""
        half = self.design.square_bits // 2
        step, norm = Signal(range(half + 2)), Signal(range(_NORMS))
        square, rest = Signal(2 * half), Signal(half + 2)
        root, known = Signal(half), Signal(self.design.norm_bits)
        above = Signal(half + 4)
        trial = Cat(Const(1, 2), root)
        m.d.comb += above.eq(Cat(square[-2:], rest))
        fits = above >= trial
        found = root + rest.any()
        ends = active & (step == half + 1)
        with m.If(active):
            m.d.sync += step.eq(Mux(ends, 0, step + 1))
        with m.If(active & (step == 0)):
            m.d.sync += [root.eq(0), rest.eq(0)]
            with m.Switch(norm):
                for n, total in enumerate(sums):
                    with m.Case(n):
                        m.d.sync += square.eq(total)
        with m.Elif(active & ~ends):
            m.d.sync += [
                square.eq(square << 2),
                root.eq(Cat(fits, root)),
                rest.eq(Mux(fits, above - trial, above)),
            ]
        with m.If(ends):
            m.d.sync += norm.eq(norm + 1)
            with m.Switch(norm):
                with m.Case(0):
                    m.d.sync += self.query.beyond.eq(found - self.design.typical)
                with m.Case(1):
                    m.d.sync += known.eq(found)
                with m.Default():
                    m.d.sync += [
                        norm.eq(0),
                        self.query.first.eq(known + (found << 2)),
                        self.query.second.eq(known + (found << 4)),
                    ]
        return ends & (norm == _NORMS - 1)


def _any(values: list[Value]) -> Value:
    """All bits that are set in one of them."""
    found = values[0]
    for value in values[1:]:
        found = found | value
    return found
