"""Takes bus words apart into the 32-bit words of load packets."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import bits_for
from compiler.lower.load import WORD

from .beat_fifo import BeatFifo

__all__ = ["WordSplitter"]


class WordSplitter(wiring.Component):
    """One word a cycle, the lowest of a beat first.

    Parameters
    ----------
    data_bits : int
        Of a beat, a multiple of 32.

    Members
    -------
    beats : In, stream of :meth:`~hdl.dram.beat_fifo.BeatFifo.layout`
    padding : In
        Bits at the top of the last beat that are no words, a multiple of 32.
    valid, word : Out
        A word, from the cycle after its beat was taken on. Nothing holds it back.
    clear : In
        Forget everything.
    """

    beats: stream.Interface
    padding: Signal
    valid: Signal
    word: Signal
    clear: Signal

    def __init__(self, data_bits: int):
        self._data_bits = data_bits
        super().__init__(
            {
                "beats": In(stream.Signature(BeatFifo.layout(data_bits))),
                "padding": In(bits_for(data_bits)),
                "valid": Out(1),
                "word": Out(WORD),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A shift register and a count."""
        m = Module()
        count = self._data_bits // WORD
        kept, left = Signal(self._data_bits, reset_less=True), Signal(range(count + 1))
        beat = self.beats.payload
        m.d.comb += [
            self.valid.eq(left.any() & ~self.clear),
            self.word.eq(kept[:WORD]),
            self.beats.ready.eq((left <= 1) & ~self.clear),
        ]
        with m.If(self.valid):
            m.d.sync += [left.eq(left - 1), kept.eq(kept >> WORD)]
        with m.If(self.beats.valid & self.beats.ready):
            spare = Mux(beat.last, self.padding[WORD.bit_length() - 1 :], 0)
            m.d.sync += [kept.eq(beat.data), left.eq(count - spare)]
        with m.If(self.clear):
            m.d.sync += left.eq(0)
        return m
