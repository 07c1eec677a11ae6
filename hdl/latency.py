"""Latencies of the accelerator, composed from those of its blocks."""

from dataclasses import dataclass

from csb_format.design import Design

from .elementwise import ElementwiseLane
from .hierarchy import Ram
from .pe import ProcessingElement
from .sequencer import UnitSequencer

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
        return Ram.latency + ProcessingElement.latency(self.design)

    @property
    def unit(self) -> int:
        """From the issue of a slot's last group to its first unit's new state."""
        return self.row + ElementwiseLane.latency

    @property
    def output(self) -> int:
        """From a unit's new state to its beat on ``states``: the output buffer."""
        return 2

    @property
    def bubble(self) -> int:
        """From the issue of a pass's last group to the first group that may read its h."""
        deal = self.design.units_per_slot - 1
        return self.row + deal + UnitSequencer.finishing_delay + 1
