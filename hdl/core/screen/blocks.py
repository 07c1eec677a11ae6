"""The first stage: blocks of rows whose bound needs none of their digits."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import bits_for
from compiler.array.latency import RAM
from compiler.array.screen.design import ScreenDesign
from compiler.array.screen.latency import ScreenLatencies

from ..pipeline import delayed
from .layouts import query_layout

__all__ = ["BlockStage"]


class BlockStage(wiring.Component):
    """A block's bound every cycle while there is room behind, ``ScreenLatencies.block`` later.

    ``far * 2**far_shift + slope * 2**norm_shift * (norm - typical)``, the slope that of the block's
    largest norm above ``typical`` and of its smallest below.

    Parameters
    ----------
    design : ScreenDesign

    Members
    -------
    run, clear : In
        Blocks may be read; begin with the first again.
    room, claim : In, Out
        Of the queue behind.
    query : In
    address, word : Out, In
        Of the memory ``blocks``.
    ended : Out
        All blocks were read.
    arrive, number, bound : Out
        To the queue.
    """

    run: Signal
    clear: Signal
    room: Signal
    claim: Signal
    query: data.View
    address: Signal
    word: Signal
    ended: Signal
    arrive: Signal
    number: Signal
    bound: Signal

    def __init__(self, design: ScreenDesign):
        self.design = design
        bits = bits_for(design.blocks)
        super().__init__(
            {
                "run": In(1),
                "clear": In(1),
                "room": In(1),
                "claim": Out(1),
                "query": In(query_layout(design)),
                "address": Out(bits),
                "word": In(32),
                "ended": Out(1),
                "arrive": Out(1),
                "number": Out(bits),
                "bound": Out(signed(design.bound_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A counter, a product and a sum."""
        m = Module()
        design, query = self.design, self.query
        place = Signal(range(design.blocks + 1))
        word = data.View(data.StructLayout({"far": signed(16), "most": 8, "least": 8}), self.word)
        slope = Mux(query.beyond > 0, word.most, word.least)
        product = Signal(signed(len(query.beyond) + 9), reset_less=True)
        far = delayed(m, word.far, 1)
        total = (far << design.far_shift) + (product << design.norm_shift)
        m.d.comb += [
            self.ended.eq(place == design.blocks),
            self.claim.eq(self.run & self.room & ~self.ended),
            self.address.eq(place),
            self.arrive.eq(delayed(m, self.claim, ScreenLatencies(design).block, reset=True)),
            self.number.eq(delayed(m, place, RAM + 2)),
        ]
        m.d.sync += [
            product.eq(slope * query.beyond),
            self.bound.eq(total),
            place.eq(place + self.claim),
        ]
        with m.If(self.clear):
            m.d.sync += place.eq(0)
        return m
