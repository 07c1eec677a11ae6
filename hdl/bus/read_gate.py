"""Lets a read master be reset while a memory still answers it."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..read_port import ReadPort, bus_members

__all__ = ["ReadGate"]

ASKED = ("arid", "araddr", "arlen", "arsize", "arburst", "arcache", "arprot")
ANSWERED = ("rid", "rdata", "rresp", "rlast")


class ReadGate(wiring.Component):
    """Keeps the rules of AXI4 where the master behind it forgets what it has asked for.

    An address that was offered stays until it is accepted, and beats that are on their way are
    taken and dropped; meanwhile the master waits. Else it is wires: no latency, a beat a cycle. The
    memory must set ``rlast`` with the last beat of a burst, and with no other.

    Parameters
    ----------
    port : ReadPort
    outstanding : int
        Most bursts under way.

    Members
    -------
    m_axi_* : AXI4 read channels, to memory
    master_* : the same, of the master
    restart : In
        The master is reset with the next edge.
    """

    restart: Signal

    def __init__(self, port: ReadPort, outstanding: int):
        inner = {name: member.flip() for name, member in bus_members(port, "master").items()}
        super().__init__(bus_members(port) | inner | {"restart": In(1)})
        self._flying = Signal(range(outstanding + 2))

    def elaborate(self, platform: object) -> Module:
        """Bursts are counted; after a restart the way is shut until none is under way."""
        m = Module()
        shut, held = Signal(), Signal()
        asked = Cat(getattr(self, f"master_{name}") for name in ASKED)
        kept = Signal(len(asked))
        valid, ready = self.m_axi_arvalid, self.m_axi_arready
        last = self.m_axi_rvalid & self.m_axi_rready & self.m_axi_rlast & (self._flying != 0)
        m.d.comb += [
            valid.eq(Mux(shut, held, self.master_arvalid)),
            Cat(getattr(self, f"m_axi_{name}") for name in ASKED).eq(Mux(shut, kept, asked)),
            self.master_arready.eq(ready & ~shut),
            self.m_axi_rready.eq(self.master_rready | shut),
            self.master_rvalid.eq(self.m_axi_rvalid & ~shut),
            *(self._master(name).eq(getattr(self, f"m_axi_{name}")) for name in ANSWERED),
        ]
        m.d.sync += self._flying.eq(self._flying + (valid & ready) - last)
        with m.If(shut & ~held & (self._flying == 0)):
            m.d.sync += shut.eq(0)
        with m.If(ready):
            m.d.sync += held.eq(0)
        with m.If(self.restart):
            m.d.sync += [shut.eq(1), held.eq(valid & ~ready)]
            with m.If(~shut):
                m.d.sync += kept.eq(asked)
        return m

    def _master(self, name: str) -> Value:
        return Value.cast(getattr(self, f"master_{name}"))
