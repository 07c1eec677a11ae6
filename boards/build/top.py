# amaranth: UnusedElaboratable=no
"""The board-independent top: every port of the emitted Verilog, and what it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.lib import data, wiring

from compiler.array.design import Design
from hdl.core.core import Core
from hdl.core.layouts import frame_layout, output_layout, states_layout

__all__ = ["Port", "top_ports"]

MEANINGS = {
    "clk": "clock, rising edge",
    "rst": "reset, synchronous, active high; memories keep their contents",
    "frames__payload": "one beat of an input frame: {fields}",
    "frames__valid": "a beat of input is there",
    "frames__ready": "a beat of input is taken in this cycle if it is valid",
    "states__payload": "one beat of results, units in processing order: {fields}",
    "states__valid": "a beat of results is there",
    "states__ready": "the board takes a beat of results in this cycle if it is valid",
    "load__payload": "a word of the packets that fill the memories and start the program "
    "(hdl.core.loader); only while no frame is under way",
    "load__valid": "a word of a packet is there",
    "load__ready": "a word of a packet is taken in this cycle if it is valid",
    "events": "pulses for performance counters (hdl.core.layouts.events_layout)",
    "halted": "the program has stopped",
    "fault": "an instruction or a packet was not understood; stays high until the next start",
}
FIELDS = {
    "data": "one element of x for each bank",
    "first": "1 on all beats of the first frame of a sequence",
    "context": "the stream that the frame belongs to",
    "hidden": "hidden state of each element-wise lane",
    "cell": "cell state of each element-wise lane",
    "last": "1 on the last beat of a frame",
}


@dataclass(frozen=True)
class Port:
    """A port of module ``sparseflow``.

    Parameters
    ----------
    name : str
        As in the Verilog.
    direction : {"input", "output"}
        Seen from the accelerator.
    width : int
        Bits.
    meaning : str
        What the board has to know about it.
    """

    name: str
    direction: str
    width: int
    meaning: str

    def __str__(self) -> str:
        span = f"[{self.width - 1}:0] " if self.width > 1 else ""
        return f"{self.direction} {span}{self.name}"


def top_ports(design: Design) -> tuple[Port, ...]:
    """All ports of the Verilog that :func:`hdl.verilog.emit_verilog` writes for a design.

    Parameters
    ----------
    design : Design

    Returns
    -------
    tuple of Port
        Clock and reset first, then in the order of :class:`hdl.core.core.Core`'s signature.
    """
    core = Core(design)  # for its signature only; line 1 tells Amaranth not to warn
    last = _field("last", output_layout(design)["last"])
    described = {
        "frames": _fields(frame_layout(design)),
        "states": f"{_fields(states_layout(design))}; or the results of projectors; {last}",
    }
    ports = [Port(name, "input", 1, MEANINGS[name]) for name in ("clk", "rst")]
    for path, member, value in core.signature.flatten(core):
        name = "__".join(map(str, path))
        direction = "input" if member.flow == wiring.In else "output"
        fields = described.get(str(path[0]), "")
        ports.append(Port(name, direction, _width(value), MEANINGS[name].format(fields=fields)))
    return tuple(ports)


def _width(value: Any) -> int:
    return len(value.as_value() if isinstance(value, data.View) else value)


def _fields(layout: data.StructLayout) -> str:
    """Where each field of a payload lies; an array's element 0 is lowest."""
    return "; ".join(_field(name, layout[name]) for name, _ in layout)


def _field(name: str, field: data.Field) -> str:
    if isinstance(field.shape, data.ArrayLayout):
        bits = f"{field.shape.length} x {field.shape.size // field.shape.length} bits"
        return f"from bit {field.offset} {FIELDS[name]} ({bits}, signed, the first lowest)"
    return f"bit {field.offset} {FIELDS[name]}"
