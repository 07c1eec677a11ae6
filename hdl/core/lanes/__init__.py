"""Element-wise lanes, one kind of each cell."""

from __future__ import annotations

from compiler.array.design import Design

from .gru import GruLane
from .gru_reset_first import ResetFirstGruLane
from .lstm import ElementwiseLane
from .lstm_serial import SerialLane

__all__ = ["LANES", "lane_for"]

Lane = ElementwiseLane | GruLane | ResetFirstGruLane | SerialLane

#: By the name of the cell, plain and compact; their latencies are in
#: :data:`compiler.array.latency.LANES`.
LANES: dict[tuple[str, bool], type[Lane]] = {
    ("lstm", False): ElementwiseLane,
    ("lstm", True): SerialLane,
    ("gru", False): GruLane,
    ("gru0", False): ResetFirstGruLane,
}


def lane_for(design: Design) -> Lane:
    """A lane of the design's cell."""
    return LANES[design.arithmetic.name, design.compact](design)
