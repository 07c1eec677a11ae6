"""A screen unit behind an array's output buffer: states go through, their largest logits follow."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Module, ResetInserter, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design
from compiler.array.placement import Placement
from compiler.array.screen.bus import bus_of
from compiler.array.screen.design import PLANES_PORTS
from compiler.lower.screen import ScreenImage

from ...read_port import forward_bus
from ..hierarchy import Hierarchy
from ..layouts import output_layout
from .fetched.unit import FetchedScreen, plane_members, plane_port
from .layouts import write_layout
from .unit import ScreenUnit, counts_layout

__all__ = ["ScreenedStates"]


class ScreenedStates(wiring.Component):
    """Passes states on, beat by beat, to whoever takes them and to a :class:`.unit.ScreenUnit`.

    The array works on the next frame while the unit screens the last; a pass that emits waits for
    room in the output buffer, so the unit's pauses cost nothing while that holds a state. No cycle
    is added to a beat of states; those of the next frame wait until the results of this one have
    left. Latency of these: :class:`compiler.timing.screen_cycles.ScreenCycles`.

    Parameters
    ----------
    design : Design
        With a screen unit.
    image : ScreenImage, optional
        What its memories hold at start.
    hierarchy : Hierarchy, optional

    Members
    -------
    taken : In, stream
        Beats of the output buffer.
    states : Out, stream
        The same, without ``last``; behind those of each frame k beats with ``result`` set, each an
        output and its logit, the largest first, ``last`` with the last.
    write : In
        A word for one of its memories; meanwhile no state may be under way.
    forget : In
        The buffer drops a frame of which beats may have gone through: forget these.
    counts : Out
        What the unit read, valid with the results.
    m_axi_planes_*, planes_base, planes_errors : of a unit with planes outside
        As ``m_axi_*``, ``base``, ``errors`` of
        :class:`~hdl.core.screen.fetched.unit.FetchedScreen`.
    """

    taken: stream.Interface
    states: stream.Interface
    write: Signal
    forget: Signal
    counts: Signal
    planes_base: Signal
    planes_errors: Signal

    def __init__(
        self, design: Design, image: ScreenImage | None = None, hierarchy: Hierarchy | None = None
    ):
        assert design.screen is not None
        self.design, self.screen, self._image = design, design.screen, image
        self.hierarchy = hierarchy or Hierarchy()
        beats = stream.Signature(output_layout(design))
        super().__init__(
            {
                "taken": In(beats),
                "states": Out(beats),
                "write": In(write_layout(design.screen)),
                "forget": In(1),
                "counts": Out(counts_layout()),
                **plane_members(design.screen),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The unit, which bits of a state are its elements, and who may go."""
        m = Module()
        made = self._unit()
        begun, beat = Signal(), Signal(range(max(2, self.screen.beats)))
        m.submodules.screen = unit = ResetInserter(self.forget & begun)(made)
        taken, states, telling = self.taken, self.states, unit.largest.valid
        m.d.comb += [
            unit.write.eq(self.write),
            self.counts.eq(unit.counts),
            states.payload.eq(taken.payload),
            states.payload.last.eq(0),
            states.valid.eq(taken.valid & unit.hidden.ready),
            unit.hidden.valid.eq(taken.valid & states.ready),
            taken.ready.eq(unit.hidden.ready & states.ready),
            unit.largest.ready.eq(states.ready),
        ]
        with m.If(telling):  # no state is taken meanwhile
            m.d.comb += [
                states.payload.bits.eq(Value.cast(unit.largest.payload.pair)),
                states.payload.result.eq(1),
                states.payload.last.eq(unit.largest.payload.last),
                states.valid.eq(1),
            ]
        with m.If(taken.valid & taken.ready):
            m.d.sync += [beat.eq(beat + 1), begun.eq(1)]
            with m.If(taken.payload.last):
                m.d.sync += [beat.eq(0), begun.eq(0)]
        with m.If(self.forget):
            m.d.sync += [beat.eq(0), begun.eq(0)]
        self._elements(m, unit, beat)
        self._outside(m, made)
        return m

    def _unit(self) -> ScreenUnit:
        """With its planes here or in a memory outside."""
        bus, given = bus_of(self.screen), (self._image, self.hierarchy)
        if bus is None:
            return ScreenUnit(self.screen, *given)
        return FetchedScreen(self.screen, bus, *given, plane_port(self.screen).address_bits)

    def _outside(self, m: Module, unit: ScreenUnit) -> None:
        """What goes to a memory with planes and comes from there."""
        if not isinstance(unit, FetchedScreen):
            return
        forward_bus(m, self, unit, plane_port(self.screen), PLANES_PORTS)
        m.d.comb += [
            unit.base.eq(self.planes_base),
            self.planes_errors.eq(unit.errors),
        ]

    def _elements(self, m: Module, unit: wiring.Component, beat: Signal) -> None:
        """Elements of a beat; 0 where the head has no column."""
        there = self._there(m, beat)
        bits, width = self.taken.payload.bits, self.design.act_bits
        for n, element in enumerate(unit.hidden.payload):
            given = bits.word_select(n, width) & there[n].replicate(width)
            m.d.comb += element.eq(given.as_signed())

    def _there(self, m: Module, beat: Signal) -> Signal:
        """Which elements of a beat are columns of the head."""
        screen = self.screen
        placement = Placement(self.design, screen.columns, screen.bank_width)
        real = placement.to_order(np.arange(1, placement.size + 1)).reshape(screen.beats, -1) > 0
        there = Signal(screen.elements)
        m.d.comb += there.eq(-1)
        with m.Switch(beat):
            for n, row in enumerate(real):
                if not row.all():
                    with m.Case(n):
                        m.d.comb += there.eq(sum(int(b) << i for i, b in enumerate(row)))
        return there
