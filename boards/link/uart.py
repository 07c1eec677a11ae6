"""A serial line in hardware: bytes with one start and one stop bit, no parity.

amaranth-stdio, the usual library, is a placeholder of version 0 on PyPI.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from .rates import LEAST_CLOCKS, clocks_per_bit

__all__ = ["LEAST_CLOCKS", "UartReceiver", "UartSender", "clocks_per_bit"]

BITS = 8


class UartReceiver(wiring.Component):
    """Bits to bytes.

    Parameters
    ----------
    clocks : int
        Clock cycles of a bit.

    Members
    -------
    rx : In
        The line, asynchronous; high at rest.
    valid, data : Out
        A byte, for one cycle.
    bad : Out
        With ``valid``: its stop bit was low.
    """

    rx: Signal
    valid: Signal
    data: Signal
    bad: Signal

    def __init__(self, clocks: int):
        self._clocks = clocks
        super().__init__({"rx": In(1, init=1), "valid": Out(1), "data": Out(BITS), "bad": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Half a bit after a falling edge, then once a bit."""
        m = Module()
        line = Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.rx, line, init=1)
        left = Signal(range(self._clocks))
        bits = Signal(range(BITS + 2))
        m.d.sync += [self.valid.eq(0), left.eq(left - 1)]
        due = left == 0
        with m.FSM():
            with m.State("rest"):
                # a little before the middle: the edge was seen up to a cycle late
                m.d.sync += [left.eq(self._clocks // 2 - 2), bits.eq(0)]
                with m.If(~line):
                    m.next = "start"
            with m.State("start"), m.If(due):
                m.d.sync += left.eq(self._clocks - 1)
                m.next = "data"
                with m.If(line):
                    m.next = "rest"
            with m.State("data"), m.If(due):
                m.d.sync += [left.eq(self._clocks - 1), bits.eq(bits + 1)]
                with m.If(bits == BITS):
                    m.d.sync += [self.valid.eq(1), self.bad.eq(~line)]
                    m.next = "rest"
                    with m.If(~line):
                        m.next = "break"
                with m.Else():
                    m.d.sync += self.data.eq(Cat(self.data[1:], line))
            with m.State("break"), m.If(line):  # a line held low is no row of bytes
                m.next = "rest"
        return m


class UartSender(wiring.Component):
    """Bytes to bits.

    Parameters
    ----------
    clocks : int
        Clock cycles of a bit.

    Members
    -------
    bytes : In, stream
    tx : Out
        The line; high at rest.
    """

    bytes: stream.Interface
    tx: Signal

    def __init__(self, clocks: int):
        self._clocks = clocks
        super().__init__({"bytes": In(stream.Signature(BITS)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        """A shift register of ten bits."""
        m = Module()
        left = Signal(range(self._clocks))
        bits = Signal(range(BITS + 3))
        word = Signal(BITS + 2, init=-1)
        m.d.comb += [self.bytes.ready.eq(bits == 0), self.tx.eq(word[0])]
        m.d.sync += left.eq(left - 1)
        with m.If(self.bytes.ready & self.bytes.valid):
            m.d.sync += [
                word.eq(Cat(Const(0, 1), self.bytes.payload, Const(1, 1))),
                bits.eq(BITS + 2),
                left.eq(self._clocks - 1),
            ]
        with m.Elif(~self.bytes.ready & (left == 0)):
            m.d.sync += [
                word.eq(Cat(word[1:], Const(1, 1))),
                bits.eq(bits - 1),
                left.eq(self._clocks - 1),
            ]
        return m
