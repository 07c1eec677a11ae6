"""An array and a screen unit behind it: frames in, the k largest logits of each out."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design
from compiler.lower.load import WORD
from compiler.lower.plan import Emission
from compiler.lower.screened import ScreenedImage

from ..core import Core
from ..hierarchy import Hierarchy
from ..layouts import events_layout, frame_layout
from .layouts import pair_layout
from .unit import ScreenUnit, counts_layout

__all__ = ["ScreenedCore"]


class ScreenedCore(wiring.Component):
    """A :class:`~hdl.core.core.Core` whose states go to a :class:`.unit.ScreenUnit`.

    The array works on the next frame while the unit screens the last; a pass that emits waits for
    room in the output buffer, so the unit's pauses cost nothing while that holds a state.

    Parameters
    ----------
    design : Design
    image : ScreenedImage
        Says what the unit takes, and what memories hold at start.
    hierarchy : Hierarchy, optional

    Members
    -------
    frames, load, halted, fault, events
        As of the core. ``load`` reaches the memories of the array.
    states : Out, stream
        k beats a frame: an output (lowest) and its logit, the largest first; ``last`` with the
        last.
    counts : Out
        What the unit read for them, valid with them.
    """

    def __init__(self, design: Design, image: ScreenedImage, hierarchy: Hierarchy | None = None):
        self.design, self.image = design, image
        self.hierarchy = hierarchy or Hierarchy()
        screen = image.screen.design
        beat = data.StructLayout({"pair": pair_layout(screen), "last": 1})
        super().__init__(
            {
                "frames": In(stream.Signature(frame_layout(design))),
                "states": Out(stream.Signature(beat)),
                "load": In(stream.Signature(WORD)),
                "halted": Out(1),
                "fault": Out(1),
                "events": Out(events_layout()),
                "counts": Out(counts_layout()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Both, and which bits of a state are its elements."""
        m = Module()
        screen = self.image.screen
        m.submodules.array = array = Core(self.design, self.image.array, self.hierarchy)
        m.submodules.screen = unit = ScreenUnit(screen.design, screen, self.hierarchy)
        for name in ("frames", "load"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(array, name))
        wiring.connect(m, unit.largest, wiring.flipped(self.states))
        m.d.comb += [
            self.halted.eq(array.halted),
            self.fault.eq(array.fault),
            self.events.eq(array.events),
            self.counts.eq(unit.counts),
            unit.hidden.valid.eq(array.states.valid),
            array.states.ready.eq(unit.hidden.ready),
        ]
        bits, width = array.states.payload.bits, self.design.act_bits
        there = self._there(m, self.image.emission, array)
        for n, element in enumerate(unit.hidden.payload):
            given = bits.word_select(n, width) & there[n].replicate(width)
            m.d.comb += element.eq(given.as_signed())
        return m

    def _there(self, m: Module, emission: Emission, array: Core) -> Signal:
        """Which elements of a beat are columns of the head."""
        placement = emission.placement
        real = placement.to_order(np.arange(1, placement.size + 1)).reshape(placement.beats, -1) > 0
        there, beat = Signal(placement.lanes), Signal(range(max(2, placement.beats)))
        with m.If(array.states.valid & array.states.ready):
            m.d.sync += beat.eq(beat + 1)
            with m.If(array.states.payload.last):
                m.d.sync += beat.eq(0)
        m.d.comb += there.eq(-1)
        with m.Switch(beat):
            for n, row in enumerate(real):
                if not row.all():
                    with m.Case(n):
                        m.d.comb += there.eq(sum(int(b) << i for i, b in enumerate(row)))
        return there
