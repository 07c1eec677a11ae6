"""An AXI4-Lite slave: five channels on one side, single-cycle register accesses on the other."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..core.pipeline import delayed, registered

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

    ``write`` and ``read`` are pulses; what belongs to them stays for two more cycles, in the
    last of which a write happens and ``write_error``, ``read_data`` and ``read_error`` answer.
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
    response can be given: a write every fourth cycle, a read every fifth at most.

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
        asked = registered(m, registers.write, reset=True)
        written = registered(m, asked, reset=True)
        m.d.comb += [
            bus.awready.eq(address_free),
            bus.wready.eq(data_free),
            registers.write.eq(~address_free & ~data_free & ~bus.bvalid & ~asked & ~written),
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
        with m.If(asked):
            m.d.sync += [address_free.eq(1), data_free.eq(1)]
        with m.If(written):
            m.d.sync += [
                bus.bresp.eq(Mux(registers.write_error, SLVERR, OKAY)),
                bus.bvalid.eq(1),
            ]

    def _read(self, m: Module) -> None:
        bus, registers = self.bus, self.registers
        free, asked = Signal(init=1), Signal()
        m.d.comb += [
            bus.arready.eq(free),
            registers.read.eq(asked),
        ]
        m.d.sync += asked.eq(bus.arvalid & free)
        answered = delayed(m, asked, 2, reset=True)
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
