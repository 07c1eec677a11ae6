"""Latencies of the accelerator, composed from those of its blocks."""

from dataclasses import dataclass

from csb_format.design import Design

from .elementwise import ElementwiseLane
from .pe import ProcessingElement
from .program import Sink
from .projector import Projector
from .sequencer import home_delay, issue_delay
from .serial_lane import SerialLane

__all__ = ["Latencies"]


@dataclass(frozen=True)
class Latencies:
    """Cycles between events, for one design.

    Parameters
    ----------
    design : Design
    """

    design: Design

    @property
    def row(self) -> int:
        """From the issue of a row's last group to its result."""
        return self.issue + ProcessingElement.latency(self.design)

    @property
    def issue(self) -> int:
        """From the issue of a group to its arrival at the PEs."""
        return issue_delay(self.design)

    @property
    def read(self) -> int:
        """From the issue of a group to the reads of its elements of the vector."""
        return self.issue + ProcessingElement.read_delay(self.design)

    def lane(self, sink: Sink) -> int:
        """From the deal of a beat to its results."""
        if sink == Sink.PROJECT:
            return Projector.latency
        return self._block.latency(self.design)

    @property
    def _block(self) -> type[ElementwiseLane | SerialLane]:
        """The element-wise lane of the design."""
        return SerialLane if self.design.compact else ElementwiseLane

    @property
    def unit(self) -> int:
        """From the issue of a slot's last group to its first unit's new state."""
        return self.row + self.lane(Sink.UNITS)

    def beats(self, sink: Sink) -> int:
        """Beats of a slot's results: cycles in which they are dealt."""
        found = {Sink.UNITS: self.design.units_per_slot, Sink.PROJECT: self.design.results_per_slot}
        return found[sink]

    def dealing(self, sink: Sink) -> int:
        """Cycles in which a slot's results are needed."""
        return max(self.beats(sink), self.design.lane_pause if sink == Sink.UNITS else 1)

    def home(self, sink: Sink) -> int:
        """From the issue of a slot's last group to the first group that may read its first beat."""
        return self.row + home_delay(self.design, self.lane(sink)) + 1 + self.design.deep

    def written(self, sink: Sink) -> int:
        """From the issue of a slot's last group to its first beat on the write port."""
        return self.row + self.lane(sink)

    def leaves(self, sink: Sink) -> int:
        """From the issue of a slot's last group to its first beat on ``states``."""
        exact = Projector.exact_latency if sink == Sink.PROJECT else self.lane(sink)
        return self.row + exact + self.output

    @property
    def output(self) -> int:
        """From a result at its lane to its beat on ``states``: the output buffer."""
        return 2
