"""An AXI4 read port: what every master has that only reads."""

from dataclasses import dataclass

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from csb_format.scales import DesignError

__all__ = [
    "BOUNDARY",
    "DECERR",
    "EXOKAY",
    "INCREMENTING",
    "NORMAL_BUFFERABLE",
    "SLVERR",
    "ReadPort",
    "bus_members",
    "forward_bus",
    "read_errors_layout",
]

BOUNDARY = 4096  # bytes: no AXI4 burst crosses a multiple of it (IHI 0022, A3.4.1)
INCREMENTING = 1
NORMAL_BUFFERABLE = 3  # ARCACHE: normal memory, not cached, may be buffered
EXOKAY, SLVERR, DECERR = 1, 2, 3


@dataclass(frozen=True)
class ReadPort:
    """Widths of a port.

    Parameters
    ----------
    data_bits : int
        Width of a beat: 64, 128, 256 or 512.
    address_bits : int
        Width of a byte address, 13..64.

    Raises
    ------
    DesignError
        If one of these does not hold; the message names the value.
    """

    data_bits: int = 128
    address_bits: int = 40

    def __post_init__(self) -> None:
        if self.data_bits not in (64, 128, 256, 512):
            raise DesignError(f"data_bits = {self.data_bits}: must be 64, 128, 256 or 512")
        if not 13 <= self.address_bits <= 64:
            raise DesignError(f"address_bits = {self.address_bits}: must be 13 to 64")

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat."""
        return self.data_bits // 8


def bus_members(bus: ReadPort, prefix: str = "m_axi") -> dict[str, wiring.Member]:
    """The ports of an AXI4 read master, by their standard names behind a prefix."""
    members = {
        "arid": Out(1),
        "araddr": Out(bus.address_bits),
        "arlen": Out(8),
        "arsize": Out(3),
        "arburst": Out(2),
        "arcache": Out(4),
        "arprot": Out(3),
        "arvalid": Out(1),
        "arready": In(1),
        "rid": In(1),
        "rdata": In(bus.data_bits),
        "rresp": In(2),
        "rlast": In(1),
        "rvalid": In(1),
        "rready": Out(1),
    }
    return {f"{prefix}_{name}": member for name, member in members.items()}


def forward_bus(
    m: Module,
    outer: wiring.Component,
    inner: wiring.Component,
    bus: ReadPort,
    prefix: str = "m_axi",
    inside: str = "m_axi",
) -> None:
    """Let a component's AXI4 ports be those of a block inside it, which may have another prefix."""
    for name, member in bus_members(bus, prefix).items():
        here = getattr(outer, name)
        there = getattr(inner, inside + name.removeprefix(prefix))
        m.d.comb += here.eq(there) if member.flow == Out else there.eq(here)


def read_errors_layout() -> data.StructLayout:
    """What went wrong since the last start: sticky bits.

    ``slave`` and ``decode``: a beat came with SLVERR, DECERR; it is passed on like any other,
    so that whoever waits for data is served and can come to its end. ``protocol``: a beat
    that nobody asked for (dropped), another id, EXOKAY, or ``rlast`` elsewhere than on the
    last beat of a burst (beats are counted, ``rlast`` is not relied on). ``setup``: the image
    was empty, not a whole number of beats, not aligned to one or beyond the address space;
    nothing was started.
    """
    return data.StructLayout({"slave": 1, "decode": 1, "protocol": 1, "setup": 1})
