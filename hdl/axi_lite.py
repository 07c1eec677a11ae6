"""An AXI4-Lite slave: five channels on one side, single-cycle register accesses on the other."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ADDRESS_BITS", "AxiLiteSlave", "axi_lite_members", "register_bus"]

ADDRESS_BITS = 12  # a page of 4 KiB, the least that AXI interconnects decode
OKAY, SLVERR = 0, 2


def axi_lite_members() -> dict[str, Any]:
    """Names, directions and widths of the slave's signals, as the AXI4-Lite standard has them."""
    return {
        "awaddr": In(ADDRESS_BITS),
        "awprot": In(3),
        "awvalid": In(1),
        "awready": Out(1),
        "wdata": In(32),
        "wstrb": In(4),
        "wvalid": In(1),
        "wready": Out(1),
        "bresp": Out(2),
        "bvalid": Out(1),
        "bready": In(1),
        "araddr": In(ADDRESS_BITS),
        "arprot": In(3),
        "arvalid": In(1),
        "arready": Out(1),
        "rdata": Out(32),
        "rresp": Out(2),
        "rvalid": Out(1),
        "rready": In(1),
    }


def register_bus() -> wiring.Signature:
    """Accesses to registers, seen from the master.

    ``write_error`` answers in the cycle of ``write``; ``read_data`` and ``read_error`` in the
    cycle after ``read``.
    """
    return wiring.Signature(
        {
            "write": Out(1),
            "write_addr": Out(ADDRESS_BITS),
            "write_data": Out(32),
            "write_strobe": Out(4),
            "write_error": In(1),
            "read": Out(1),
            "read_addr": Out(ADDRESS_BITS),
            "read_data": In(32),
            "read_error": In(1),
        }
    )


class AxiLiteSlave(wiring.Component):
    """Turns AXI4-Lite transfers into register accesses.

    Address and data of a write may come in any order. All outputs are registers, so nothing
    is combinational from a bus input to a bus output. An access is made only when its
    response can be given: a write every other cycle, a read every fourth at most.

    Members
    -------
    bus : In
        The channels, :func:`axi_lite_members`. ``awprot`` and ``arprot`` are not looked at,
        nor are the two lowest address bits: every access is to a word.
    registers : Out
        :func:`register_bus`. Each access is one cycle of ``write`` or ``read``; an error is
        answered with ``SLVERR``.
    """

    bus: wiring.PureInterface
    registers: wiring.PureInterface

    def __init__(self) -> None:
        super().__init__(
            {
                "bus": Out(wiring.Signature(axi_lite_members())),
                "registers": Out(register_bus()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A held address and a held datum for writes, a held address for reads."""
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m: Module) -> None:
        bus, registers = self.bus, self.registers
        address_free, data_free = Signal(init=1), Signal(init=1)
        m.d.comb += [
            bus.awready.eq(address_free),
            bus.wready.eq(data_free),
            registers.write.eq(~address_free & ~data_free & ~bus.bvalid),
        ]
        with m.If(bus.awvalid & address_free):
            m.d.sync += [address_free.eq(0), registers.write_addr.eq(bus.awaddr)]
        with m.If(bus.wvalid & data_free):
            m.d.sync += [
                data_free.eq(0),
                registers.write_data.eq(bus.wdata),
                registers.write_strobe.eq(bus.wstrb),
            ]
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(registers.write):
            m.d.sync += [
                bus.bresp.eq(Mux(registers.write_error, SLVERR, OKAY)),
                *(signal.eq(1) for signal in (bus.bvalid, address_free, data_free)),
            ]

    def _read(self, m: Module) -> None:
        bus, registers = self.bus, self.registers
        free, asked, answered = Signal(init=1), Signal(), Signal()
        m.d.comb += [
            bus.arready.eq(free),
            registers.read.eq(asked),
        ]
        m.d.sync += [asked.eq(bus.arvalid & free), answered.eq(asked)]
        with m.If(bus.arvalid & free):
            m.d.sync += [free.eq(0), registers.read_addr.eq(bus.araddr)]
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += [bus.rvalid.eq(0), free.eq(1)]
        with m.If(answered):
            m.d.sync += [
                bus.rdata.eq(registers.read_data),
                bus.rresp.eq(Mux(registers.read_error, SLVERR, OKAY)),
                bus.rvalid.eq(1),
            ]
