from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from boards.link.uart import UartReceiver, UartSender, clocks_per_bit
from csb_format.scales import DesignError

BYTES = [0x00, 0xFF, 0x55, 0x7E, 0x80, 0x01]


def bits(byte: int) -> list[int]:
    return [0, *(byte >> n & 1 for n in range(8)), 1]


def received(line: list[int], clocks: int) -> list[tuple[int, int]]:
    """Bytes and whether they were bad, from the line's level in every cycle."""
    dut, got = UartReceiver(clocks), []

    async def bench(ctx: Any) -> None:
        for level in [*line, *[1] * 4 * clocks]:
            ctx.set(dut.rx, level)
            _, _, valid, byte, bad = await ctx.tick().sample(dut.valid, dut.data, dut.bad)
            if valid:
                got.append((byte, bad))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return got


@pytest.mark.parametrize("clocks", [8, 9, 16, 87])
@pytest.mark.parametrize("off", [-0.03, 0.0, 0.03])
def test_bytes_arrive_at_a_rate_that_is_a_little_off(clocks: int, off: float) -> None:
    check_rate(clocks, off)


@pytest.mark.parametrize("clocks", [4, 5, 6, 7])
def test_bytes_arrive_with_few_clocks_at_the_exact_rate(clocks: int) -> None:
    check_rate(clocks, 0.0)


def check_rate(clocks: int, off: float) -> None:
    length = clocks * (1 + off)
    stream = [bit for byte in BYTES for bit in bits(byte)]
    total = round(len(stream) * length)
    line = [1] * 3 + [stream[min(int(t / length), len(stream) - 1)] for t in range(total)]
    assert received(line, clocks) == [(byte, 0) for byte in BYTES]


def test_a_byte_without_a_stop_bit_is_bad_and_the_next_is_good() -> None:
    line = [level for bit in [*bits(0x55)[:-1], 0, 0, 1, *bits(0x33)] for level in [bit] * 8]
    assert received([1] * 5 + line, 8) == [(0x55, 1), (0x33, 0)]


def test_a_spike_is_no_byte() -> None:
    line = [1] * 20 + [0] + [1] * 200 + [level for bit in bits(0xA5) for level in [bit] * 8]
    assert received(line, 8) == [(0xA5, 0)]


@pytest.mark.parametrize("clocks", [4, 7])
def test_what_is_sent_is_received(clocks: int) -> None:
    m, got = Module(), []
    m.submodules.sender = sender = UartSender(clocks)
    m.submodules.receiver = receiver = UartReceiver(clocks)
    m.d.comb += receiver.rx.eq(sender.tx)

    async def feed(ctx: Any) -> None:
        for byte in BYTES:
            ctx.set(sender.bytes.payload, byte)
            ctx.set(sender.bytes.valid, 1)
            await ctx.tick().until(sender.bytes.ready)
        ctx.set(sender.bytes.valid, 0)
        await ctx.tick().repeat(12 * clocks)

    async def listen(ctx: Any) -> None:
        watched = (receiver.valid, receiver.data, receiver.bad)
        async for _, _, valid, byte, bad in ctx.tick().sample(*watched):
            if valid:
                got.append((byte, bad))

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed)
    simulator.add_testbench(listen, background=True)
    simulator.run()
    assert got == [(byte, 0) for byte in BYTES]
    assert isinstance(sender, wiring.Component)


def test_rates_divide_the_clock() -> None:
    assert clocks_per_bit(25e6, 1_000_000) == 25
    assert clocks_per_bit(12e6, 115_200) == 104


@pytest.mark.parametrize(
    ("clock", "baud", "match"),
    [
        (12e6, 4_000_000, r"baud = 4000000: at 1.2e\+07 Hz at most 3000000"),
        (12e6, 2_600_000, r"baud = 2600000: .* gives 2400000, more than 2% off"),
        (0, 1000, "both must be positive"),
    ],
)
def test_a_rate_that_cannot_be_had(clock: float, baud: int, match: str) -> None:
    with pytest.raises(DesignError, match=match):
        clocks_per_bit(clock, baud)
