"""Element-wise lanes, one kind of each cell."""

from __future__ import annotations

from compiler.array.design import Design

from .gru import GruLane
from .lstm import ElementwiseLane
from .lstm_serial import SerialLane

__all__ = ["LANES", "lane_for"]

#: By the name of the cell, plain and compact; their latencies are in
#: :data:`compiler.array.latency.LANES`.
LANES: dict[tuple[str, bool], type[ElementwiseLane | GruLane | SerialLane]] = {
    ("lstm", False): ElementwiseLane,
    ("lstm", True): SerialLane,
    ("gru", False): GruLane,
}


def lane_for(design: Design) -> ElementwiseLane | GruLane | SerialLane:
    """A lane of the design's cell."""
    return LANES[design.arithmetic.name, design.compact](design)
