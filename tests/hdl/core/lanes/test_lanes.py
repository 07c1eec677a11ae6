"""Every cell has its lane and its latency, under one name."""

from __future__ import annotations

from compiler.array import latency
from compiler.array.design import Design
from csb_format import GATE_ORDER
from csb_format.cells.lstm import CellArithmetic
from hdl.core.lanes import LANES, lane_for


def test_every_lane_has_a_latency(design: Design) -> None:
    assert set(LANES) == set(latency.LANES)
    assert (CellArithmetic.name, False) in LANES
    lane = lane_for(design)
    assert isinstance(lane, LANES[design.arithmetic.name, design.compact])
    assert lane.latency(design) == latency.LANES[design.arithmetic.name, design.compact](design)


def test_gates_are_those_of_the_cell(design: Design) -> None:
    assert CellArithmetic.gate_names == GATE_ORDER == "ifgo"
    assert design.gates == design.sums == len(GATE_ORDER)
