"""Lanes of a screen unit that take rows from a memory outside."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from compiler.array.design import bits_for
from compiler.array.latency import RAM
from compiler.array.screen.bus import Field, PlaneLayout
from compiler.array.screen.latency import ScreenLatencies

from ...pipeline import carried, delayed
from ..digits import DigitRows
from ..refine import RefineStage
from .buffer import RowBuffer
from .fetcher import RowKind

__all__ = ["FetchedDigits", "feed_digits", "feed_refined"]


class FetchedDigits(DigitRows):
    """First planes of rows as they come.

    Parameters
    ----------
    design : ScreenDesign

    Members
    -------
    row, row_valid, pop : In, In, Out
        A row that has come; its first word is taken.
    """

    row: Signal
    row_valid: Signal
    pop: Signal
    reads: Signal

    def __init__(self, layout: PlaneLayout):
        source = {"row": In(layout.design.row_bits), "row_valid": In(1), "pop": Out(1)}
        super().__init__(layout.design, source)

    def _sequence(self, m: Module) -> tuple[Value, Value, Value]:
        """The row and the word of a cycle; whether it ends the row."""
        design = self.design
        group, kept, last = Signal(bits_for(design.groups)), Signal.like(self.row), Signal()
        row = Mux(group == 0, self.row, kept)
        m.d.comb += [
            self.pop.eq(self.row_valid & (group == 0)),
            self.reads.eq(self.pop | (group != 0)),
            last.eq(self.reads & (group == design.groups - 1)),
        ]
        m.d.sync += kept.eq(row)
        with m.If(self.reads):
            m.d.sync += group.eq(Mux(last, 0, group + 1))
        return row, group, last


def feed_digits(m: Module, layout: PlaneLayout, buffer: RowBuffer, digits: FetchedDigits) -> None:
    """Words and numbers of first planes, as late as from a memory."""
    fields = layout.first
    marks = delayed(m, _held(m, buffer, fields["marks"]), digits.summed)
    m.d.comb += [
        digits.row.eq(buffer.row),
        digits.row_valid.eq(buffer.valid),
        buffer.pop.eq(digits.pop),
        digits.word.eq(_words(m, buffer, fields["signs"])),
        digits.marks.eq(marks),
    ]


def feed_refined(m: Module, layout: PlaneLayout, buffer: RowBuffer, refine: RefineStage) -> None:
    """Words and numbers of second planes and whole rows, as late as from memories."""
    design, fields = layout.design, layout.refined
    for name, kind in (("survivor", RowKind.SECOND), ("final", RowKind.WHOLE)):
        m.d.comb += [
            getattr(refine, name).eq(buffer.row),
            getattr(refine, f"{name}_valid").eq(buffer.valid & (buffer.kind == kind)),
        ]
    late = 2 * design.words - 1 + ScreenLatencies(design).exact - 1
    begins = Signal()
    m.d.comb += [
        refine.room.eq(1),  # a place was claimed when the row was asked for
        begins.eq(refine.final_pop),
        buffer.pop.eq(refine.survivor_pop | refine.final_pop),
        refine.middle.eq(_words(m, buffer, fields["middle"])),
        refine.low.eq(_words(m, buffer, fields["low"])),
        Value.cast(refine.second).eq(delayed(m, _held(m, buffer, fields["second"]), RAM)),
        refine.whole.eq(
            carried(m, begins, _part(buffer, fields["whole"]), late, design.exact_cycles)
        ),
    ]


def _part(buffer: RowBuffer, field: Field) -> Value:
    return buffer.bits[field.start : field.end]


def _held(m: Module, buffer: RowBuffer, field: Field) -> Value:
    """A number of a row in all of the row's cycles."""
    kept, now = Signal(field.bits, reset_less=True), Signal(field.bits)
    m.d.comb += now.eq(Mux(buffer.pop, _part(buffer, field), kept))
    m.d.sync += kept.eq(now)
    return now


def _words(m: Module, buffer: RowBuffer, field: Field) -> Value:
    """The lanes' word of a cycle, ``RAM`` cycles later."""
    count = -(-field.bits // field.word)
    padded = Cat(_part(buffer, field), Const(0, count * field.word - field.bits))
    words = {field.cycle + n: padded.word_select(n, field.word) for n in range(count)}
    at, word = Signal(range(field.cycle + count)), Signal(field.word)
    m.d.comb += [at.eq(buffer.step), word.eq(_chosen(words, at))]
    return delayed(m, word, RAM)


def _chosen(words: Mapping[int, Value], at: Value) -> Value:
    """The word of a number; any of them for a number that has none.

    Choices between two, as a cell of an FPGA takes several of them; of a case for each number
    Yosys makes three times as many look-up tables.
    """
    if len(words) == 1:
        return next(iter(words.values()))
    half = 1 << (len(at) - 1)
    lower = {n: word for n, word in words.items() if n < half}
    upper = {n - half: word for n, word in words.items() if n >= half}
    if lower and upper:
        return Mux(at[-1], _chosen(upper, at[:-1]), _chosen(lower, at[:-1]))
    return _chosen(lower or upper, at[:-1])
