"""A linear layer and its ReLU: a hidden state in, its activations out, rows of zeros unread."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Out

from compiler.array.screen.rectify import RectifyDesign
from compiler.lower.screen import ScreenImage

from ..hierarchy import Hierarchy
from .activations import Activations
from .query import QueryUnit
from .unit import Sink, StagedUnit

__all__ = ["RectifyUnit"]


class RectifyUnit(StagedUnit):
    """The stages of a screen unit in front of a memory of activations.

    A row is left as soon as its bound proves that its activation is zero, so activations are
    always those of the whole layer (SeerNet, Cao et al., CVPR'19, made exact).
    :class:`compiler.timing.rectify_cycles.RectifyCycles` says rows and cycles for given states. The
    next state is taken when the last activation is, the first after a reset when ``rows`` cycles
    are over.

    Parameters
    ----------
    design : RectifyDesign
    image : ScreenImage, optional
        Contents of the memories at start.
    hierarchy : Hierarchy, optional

    Members
    -------
    write, hidden, counts
        As of :class:`~hdl.core.screen.unit.ScreenUnit`.
    activations : Out, stream
        Of a state one a beat in the order of outputs, unsigned, ``last`` with the last; one a
        cycle, held until taken.
    """

    activations: stream.Interface

    def __init__(
        self,
        design: RectifyDesign,
        image: ScreenImage | None = None,
        hierarchy: Hierarchy | None = None,
    ):
        beat = data.StructLayout({"value": design.width - 1, "last": 1})
        super().__init__(design, {"activations": Out(stream.Signature(beat))}, image, hierarchy)
        self.rectify = design

    def _sink(self) -> Sink:
        return Activations(self.rectify)

    def _source(self, m: Module, query: QueryUnit, sink: Sink) -> None:
        """No state is taken while words of the one before a reset may be left."""
        assert isinstance(sink, Activations)
        wiring.connect(m, wiring.flipped(self.hidden), query.hidden)
        with m.If(~sink.swept):
            m.d.comb += [query.hidden.valid.eq(0), self.hidden.ready.eq(0)]

    def _tell(self, m: Module, sink: Sink, telling: Signal) -> Signal:
        assert isinstance(sink, Activations)
        beat = self.activations
        taken = beat.valid & beat.ready
        m.d.comb += [
            beat.valid.eq(telling),
            beat.payload.value.eq(sink.first),
            beat.payload.last.eq(sink.place == self.rectify.rows - 1),
            sink.turn.eq(taken),
        ]
        ends = Signal()
        m.d.comb += ends.eq(taken & beat.payload.last)
        return ends
