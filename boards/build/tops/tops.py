"""The tops by name: the bare core, on AXI buses, with a port to memory, behind a serial line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from amaranth.lib import wiring

from compiler.abi.identity import AXI_MODULE
from compiler.abi.packing import check_bus_bits
from compiler.array.design import Design
from compiler.lower.image import Image
from csb_format.scales import DesignError
from hdl.bus.accelerator import CORE_MODULE, Accelerator
from hdl.core.core import Core
from hdl.core.hierarchy import Hierarchy
from hdl.dram.accelerator import DRAM_MODULE, DramAccelerator
from hdl.dram.reader import ReadBus

from ...link.gateware import LINK_MODULE, LinkTop
from ...link.protocol import BAUD

__all__ = ["BITS", "TOPS", "Top"]

BITS = 64  # of both streams
CLOCK_HZ = 100e6


@dataclass(frozen=True)
class Top:
    """A top, and what is fixed of it besides the design.

    Parameters
    ----------
    kind : str
        A key of :data:`TOPS`.
    bits : int
        Of ``tdata`` of ``s_axis`` and ``m_axis``.
    bus : ReadBus
        The port to memory, of ``dram``.
    clock_hz, baud : float, int
        Of ``link``: its clock, and the rate of its line.

    Raises
    ------
    DesignError
        For another kind, or a width that a bus cannot have.
    """

    kind: str = "core"
    bits: int = BITS
    bus: ReadBus = field(default_factory=ReadBus)
    clock_hz: float = CLOCK_HZ
    baud: int = BAUD

    def __post_init__(self) -> None:
        if self.kind not in TOPS:
            raise DesignError(f"top {self.kind!r}: choose one of {', '.join(TOPS)}")
        check_bus_bits("bits", self.bits)

    @property
    def module(self) -> str:
        """Name of its module, before a prefix."""
        return TOPS[self.kind]

    def check(self, design: Design) -> None:
        """Raise a :class:`.DesignError` if the design is none for it."""
        if self.kind == "link" and design.streamed:
            raise DesignError(
                "the serial line carries no words of a matrix: leave streamed out, or take the "
                "top dram"
            )
        if self.kind == "link" and design.plane_bits:
            raise DesignError(
                "the serial line reaches no memory with planes: leave planes (--planes) out, or "
                "take the top axi or dram"
            )

    def maker(self) -> Callable[[Design, Image | None, Hierarchy], wiring.Component]:
        """What makes the component of a design, its image and a hierarchy."""
        widths = {"in_bits": self.bits, "out_bits": self.bits}
        if self.kind == "axi":
            return lambda d, i, h: Accelerator(d, i, h, **widths)
        if self.kind == "dram":
            return lambda d, i, h: DramAccelerator(d, i, h, **widths, bus=self.bus)
        if self.kind == "link":
            return lambda d, i, h: LinkTop(d, i, self.clock_hz, self.baud, h)
        return Core


TOPS = {"core": CORE_MODULE, "axi": AXI_MODULE, "dram": DRAM_MODULE, "link": LINK_MODULE}
"""Of each top the name of its module."""
