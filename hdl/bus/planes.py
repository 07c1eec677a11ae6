"""From a memory with planes to the screen unit of an accelerator, past its soft reset."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from compiler.abi.registers import PAGE_BITS
from compiler.array.design import Design
from compiler.array.screen.bus import bus_of
from compiler.array.screen.design import PLANES_PORTS, ScreenDesign

from ..core.screen.fetched.unit import plane_port
from ..read_port import bus_members, forward_bus
from .read_gate import ReadGate
from .register_file import RegisterFile

__all__ = ["join_planes", "plane_ports"]


def plane_ports(design: Design) -> dict[str, wiring.Member]:
    """Ports to memory of an accelerator, if its screen unit has its planes there."""
    screen = design.screen
    return bus_members(plane_port(screen), PLANES_PORTS) if screen and screen.bus_bits else {}


def join_planes(
    m: Module,
    screen: ScreenDesign | None,
    top: wiring.Component,
    core: wiring.Component,
    registers: RegisterFile,
    restart: Signal,
) -> None:
    """Lead a core's ports to memory to those of an accelerator around it.

    Parameters
    ----------
    m : Module
        Of the accelerator.
    screen : ScreenDesign, optional
        Its screen unit: if it has none, or one with its planes on the chip, nothing is done.
    top : wiring.Component
        With :func:`plane_ports`.
    core : wiring.Component
        A :class:`~hdl.core.core.Core`, or what stands for it.
    registers : RegisterFile
    restart : Signal
        The core is reset with the next edge; memory does not know of it.
    """
    bus = bus_of(screen) if screen else None
    if screen is None or bus is None:
        return
    port = plane_port(screen)
    m.submodules.planes = gate = ReadGate(port, bus.outstanding)
    forward_bus(m, top, gate, port, PLANES_PORTS)
    for name, member in bus_members(port, "master").items():
        theirs, ours = (
            getattr(core, PLANES_PORTS + name.removeprefix("master")),
            getattr(gate, name),
        )
        m.d.comb += ours.eq(theirs) if member.flow is Out else theirs.eq(ours)
    page, high = registers.planes_base.page, registers.planes_base_high.high
    base = Cat(Const(0, PAGE_BITS), page, high)
    m.d.comb += [core.planes_base.eq(base), gate.restart.eq(restart)]
