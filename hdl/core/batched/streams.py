"""Which stream's vector a word of the matrices meets, and for how long."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data

from compiler.array.design import Design

__all__ = ["Streams", "lowest", "times"]


class Streams:
    """Walks through the streams of a batch for each group of a row, in a batched design.

    Of the last group of a row a stream has ``interval - groups + 1`` cycles, in which its results
    are dealt.

    Parameters
    ----------
    design : Design
    now : View
        The instruction under way; see :mod:`compiler.array.program`.
    started : Signal
        Its pass has issued before this cycle.
    forget : Signal
        What was under way is not.

    Attributes
    ----------
    mask : Signal
        To be driven: the streams that are there, constant during a pass.
    stream : Signal
        The one whose cycle it is.
    first : Signal
        It is the first of them.
    issues, ends : Signal
        It is the first cycle of the stream for the group; the last of the last one.
    """

    def __init__(self, design: Design, now: data.View, started: Signal, forget: Signal):
        self._now, self._started, self._forget = now, started, forget
        self.mask = Signal(design.batch, name="mask")
        self.stream = Signal(range(design.batch), name="stream")
        self.first, self.issues = Signal(name="first_stream"), Signal(name="stream_issues")
        self.ends = Signal(name="streams_end")

    def advance(self, m: Module, issuing: Value, last_group: Value) -> None:
        """Step on in every cycle that issues."""
        kept = Signal.like(self.stream, name="kept_stream")
        rest = Signal.like(self._now.interval, name="rest")
        least = lowest(self.mask)
        above = Signal.like(self.mask, name="streams_above")
        for n in range(len(above)):  # those behind the one whose cycle it is
            m.d.comb += above[n].eq(self.mask[n] & (self.stream < n))
        extra = Mux(last_group, self._now.interval - self._now.groups, 0)
        over = rest == extra[: len(rest)]
        m.d.comb += [
            self.stream.eq(Mux(self._started, kept, least)),
            self.first.eq(self.stream == least),
            self.issues.eq(rest == 0),
            self.ends.eq(over & ~above.any()),
        ]
        with m.If(issuing):
            m.d.sync += [kept.eq(self.stream), rest.eq(rest + 1)]
            with m.If(over):
                m.d.sync += [kept.eq(Mux(above.any(), lowest(above), least)), rest.eq(0)]
        with m.If(self._forget):
            m.d.sync += rest.eq(0)


def lowest(mask: Value) -> Value:
    """Number of the lowest set bit; the last one's if none is."""
    found: Value | int = len(mask) - 1
    for n in reversed(range(len(mask) - 1)):
        found = Mux(mask[n], n, found)
    return Value.cast(found)


def times(number: Value, mask: Value) -> Value:
    """A number as often as bits are set, made of adders."""
    bits = len(mask).bit_length()
    count = sum((mask[n] for n in range(1, len(mask))), mask[0])[:bits]
    parts = [Mux(count[n], number << n, 0) for n in range(bits)]
    return sum(parts[1:], parts[0])
