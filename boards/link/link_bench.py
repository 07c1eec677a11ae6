"""The bits of a board's UART inside a Verilog simulator; cocotb imports this there."""

from __future__ import annotations

import json
import os
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Event, FallingEdge, First, Timer

from .protocol import FLAG

PERIOD_NS = 10
RESET_CYCLES = 4


class Uart:
    """The host's end of the line.

    Parameters
    ----------
    dut : simulator handle
    bit_ns : int
        Time of a bit.
    """

    def __init__(self, dut: Any, bit_ns: int):
        self._dut, self._bit = dut, bit_ns
        self.received = bytearray()
        self._arrived = Event()

    async def send(self, data: bytes) -> None:
        """All bits of some bytes."""
        for byte in data:
            bits = [0, *(byte >> n & 1 for n in range(8)), 1]
            level, run = bits[0], 0
            for bit in bits:  # one event for each run of equal bits
                if bit != level:
                    self._dut.rx.value = level
                    await Timer(run * self._bit, "ns")
                    level, run = bit, 0
                run += 1
            self._dut.rx.value = level
            await Timer(run * self._bit, "ns")

    async def listen(self) -> None:
        """Sample every bit in its middle, for ever."""
        while True:
            await FallingEdge(self._dut.tx)
            await Timer(self._bit // 2, "ns")
            byte = 0
            for n in range(8):
                await Timer(self._bit, "ns")
                byte |= int(self._dut.tx.value) << n
            await Timer(self._bit, "ns")
            assert int(self._dut.tx.value) == 1, "no stop bit"
            self.received.append(byte)
            self._arrived.set()

    async def answer(self, quiet: int) -> bytes:
        """A frame that comes back, or what has come when the board was quiet for long."""
        limit = Timer(quiet * self._bit, "ns")
        while not self._framed():
            self._arrived.clear()
            if await First(self._arrived.wait(), limit) is limit:
                break
            limit = Timer(quiet * self._bit, "ns")
        data = bytes(self.received)
        self.received.clear()
        return data

    def _framed(self) -> bool:
        """Whether what has come ends with a whole frame."""
        return self.received.endswith(bytes([FLAG])) and any(b != FLAG for b in self.received)


@cocotb.test()
async def bench(dut: Any) -> None:
    """Reset, then pass bytes on until the host hangs up."""
    run = Path(json.loads(Path(os.environ["SPARSEFLOW_JOB"]).read_text())["run"])
    spec = json.loads((run / "link.json").read_text())
    dut.rx.value = 1
    dut.rst.value = 1
    Clock(dut.clk, PERIOD_NS, "ns").start(start_high=False)
    await ClockCycles(dut.clk, RESET_CYCLES)
    dut.rst.value = 0
    await ClockCycles(dut.clk, RESET_CYCLES)
    uart = Uart(dut, spec["clocks"] * PERIOD_NS)
    cocotb.start_soon(uart.listen())
    with Client(spec["address"]) as host:
        host.send_bytes(b"board")
        while True:
            try:
                data = host.recv_bytes()
            except EOFError:
                return
            await uart.send(data)
            host.send_bytes(await uart.answer(spec["quiet"]))
