"""Ports of the lanes that take whole sums."""

from amaranth.hdl import signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Member, Out

from compiler.array.design import Design

from ..layouts import bias_layout, cell_write_layout, gate_sums_layout, unit_layout

__all__ = ["lane_ports"]


def lane_ports(design: Design) -> dict[str, Member]:
    """What a lane of any cell takes and gives; each lane says when."""
    taped = {name: signed(of.width) for name, of in design.arithmetic.taped.items()}
    return {
        "sums": In(data.ArrayLayout(gate_sums_layout(design), design.units_per_slot)),
        "unit": In(unit_layout(design)),
        "bias": In(bias_layout(design)),
        "load": In(cell_write_layout(design)),
        "hidden": Out(signed(design.gate.width)),
        "cell": Out(signed(design.state.width)),
        "clipped": Out(1),
        **({"taped": Out(data.StructLayout(taped))} if design.backward else {}),
    }
