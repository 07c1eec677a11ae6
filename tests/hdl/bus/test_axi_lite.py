"""AXI4-Lite slave and register file under random stalls on all five channels."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from compiler.abi.registers import COUNTERS, Access, registers_of
from hdl.bus.axi_lite import AxiLiteSlave, axi_lite_members
from hdl.bus.register_file import Counters, RegisterFile

OKAY, SLVERR = 0, 2
REGISTERS = registers_of()


class Bench(wiring.Component):
    """Slave, register file and counters, as in the accelerator."""

    bus: wiring.PureInterface
    busy: Signal
    events: Signal

    def __init__(self) -> None:
        members = {"bus": wiring.Out(wiring.Signature(axi_lite_members()))}
        super().__init__({**members, "busy": In(1), "events": In(len(COUNTERS))})
        self.registers = RegisterFile({"start": 32})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.slave = slave = AxiLiteSlave()
        m.submodules.registers = self.registers
        m.submodules.counters = counters = Counters()
        wiring.connect(m, slave.registers, self.registers.bus)
        wiring.connect(m, wiring.flipped(self.bus), slave.bus)
        m.d.comb += [
            self.registers.busy.eq(self.busy),
            counters.events.eq(self.events),
            counters.clear.eq(self.registers.control.clear_counters),
            self.registers.counters.eq(counters.values),
        ]
        return m


class Master:
    """Drives the five channels cycle by cycle and checks that responses stay until taken."""

    def __init__(self, ctx: Any, bench: Bench, stall: float = 0.0, seed: int = 0):
        self.ctx, self.bus = ctx, bench.bus
        self.stall, self.random = stall, random.Random(seed)
        self.cycles = 0

    async def run(
        self, writes: Iterable[tuple[int, int, int]] = (), reads: Iterable[int] = ()
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Responses of writes (address, data, strobe), then responses and data of reads."""
        writes, reads = list(writes), list(reads)
        todo = {
            "aw": [{"awaddr": address} for address, _, _ in writes],
            "w": [{"wdata": data, "wstrb": strobe} for _, data, strobe in writes],
            "ar": [{"araddr": address} for address in reads],
        }
        offered = dict.fromkeys(todo, False)
        answers: dict[str, list[tuple[int, ...]]] = {"b": [], "r": []}
        waiting: dict[str, tuple[int, ...]] = {}
        while len(answers["b"]) < len(writes) or len(answers["r"]) < len(reads):
            self._offer(todo, offered)
            ready = {name: self.random.random() >= self.stall for name in answers}
            for name, now in ready.items():
                self.ctx.set(getattr(self.bus, f"{name}ready"), now)
            taken = [n for n in todo if offered[n] and self._get(f"{n}ready")]
            for name, fields in (("b", ("bresp",)), ("r", ("rresp", "rdata"))):
                if self._get(f"{name}valid"):
                    answer = tuple(self._get(field) for field in fields)
                    assert waiting.pop(name, answer) == answer, "a waiting response changed"
                    if ready[name]:
                        answers[name].append(answer)
                    else:
                        waiting[name] = answer
                else:
                    assert name not in waiting, "a response was taken back"
            await self.ctx.tick()
            self.cycles += 1
            assert self.cycles < 20_000
            for name in taken:
                offered[name] = False
        for name in todo:
            self.ctx.set(getattr(self.bus, f"{name}valid"), 0)
        return [answer[0] for answer in answers["b"]], answers["r"]  # type: ignore[return-value]

    def _offer(self, todo: dict[str, list[dict[str, int]]], offered: dict[str, bool]) -> None:
        for name, left in todo.items():
            if not offered[name] and left and self.random.random() >= self.stall:
                offered[name] = True
                for field, value in left.pop(0).items():
                    self.ctx.set(getattr(self.bus, field), value)
            self.ctx.set(getattr(self.bus, f"{name}valid"), offered[name])

    def _get(self, name: str) -> int:
        return int(self.ctx.get(getattr(self.bus, name)))

    async def write(self, name: str, data: int, strobe: int = 15) -> int:
        return (await self.run(writes=[(REGISTERS[name].address, data, strobe)]))[0][0]

    async def read(self, name: str) -> int:
        ((response, data),) = (await self.run(reads=[REGISTERS[name].address]))[1]
        assert response == OKAY
        return data


def writable_value(name: str, old: int, data: int, strobe: int) -> int:
    """What a read-write register holds after a write."""
    mask = sum(0xFF << 8 * i for i in range(4) if strobe >> i & 1)
    fields = sum(field.mask for field in REGISTERS[name].fields)
    return (old & ~mask | data & mask) & fields


@pytest.mark.parametrize(("stall", "seed"), [(0.0, 0), (0.3, 1), (0.7, 2)])
def test_random_accesses_match_the_declaration(run: Any, stall: float, seed: int) -> None:
    bench, rng = Bench(), random.Random(seed)
    names = [name for name, r in REGISTERS.items() if r.access is Access.BOTH]
    held = {name: REGISTERS[name].reset for name in names}

    async def script(ctx: Any) -> None:
        master = Master(ctx, bench, stall, seed)
        for _ in range(12):
            writes = []
            for _ in range(rng.randrange(1, 5)):
                name, data, strobe = rng.choice(names), rng.getrandbits(32), rng.getrandbits(4)
                writes.append((REGISTERS[name].address | rng.randrange(4), data, strobe))
                held[name] = writable_value(name, held[name], data, strobe)
            assert (await master.run(writes=writes))[0] == [OKAY] * len(writes)
            reads = [REGISTERS[name].address for name in names]
            answers = (await master.run(reads=reads))[1]
            assert answers == [(OKAY, held[name]) for name in names]

    run(bench, script)


def test_every_address_answers_as_declared(run: Any) -> None:
    """Reads and writes over the whole page; none hangs."""
    bench = Bench()
    by_address = {register.address: register for register in REGISTERS.values()}
    addresses = [*range(0, 0x200, 4), 0x7FC, 0xFFC]

    async def script(ctx: Any) -> None:
        master = Master(ctx, bench)
        reads = (await master.run(reads=addresses))[1]
        for address, (response, _) in zip(addresses, reads, strict=True):
            good = address in by_address and by_address[address].readable
            assert response == (OKAY if good else SLVERR), hex(address)
        writes = (await master.run(writes=[(a, 0, 15) for a in addresses]))[0]
        for address, response in zip(addresses, writes, strict=True):
            good = address in by_address and by_address[address].writable
            assert response == (OKAY if good else SLVERR), hex(address)

    run(bench, script)


def test_each_refusal_says_why_and_where(run: Any) -> None:
    bench, errors = Bench(), REGISTERS["errors"]
    cases = [
        (0x200, 15, 0, "bad_address"),
        (REGISTERS["status"].address, 15, 0, "read_only"),
        (REGISTERS["load"].address, 7, 0, "partial"),
        (REGISTERS["start"].address, 15, 1, "busy"),
        (REGISTERS["frame"].address, 15, 1, "busy"),
    ]
    too_far = (REGISTERS["start"].address, 32, 15)

    async def script(ctx: Any) -> None:
        master = Master(ctx, bench, 0.2, 5)
        for address, strobe, busy, why in cases:
            ctx.set(bench.busy, busy)
            assert (await master.run(writes=[(address, 1, strobe)]))[0] == [SLVERR]
            assert await master.read("errors") == errors.encode(**{why: 1})
            assert await master.read("rejected") == address | 1 << 16
            assert await master.write("errors", 0xFFFFFFFF) == OKAY
            assert await master.read("errors") == 0
        ctx.set(bench.busy, 0)
        assert (await master.run(reads=[REGISTERS["load"].address]))[1][0][0] == SLVERR
        assert await master.read("errors") == errors.encode(bad_address=1)
        assert await master.read("rejected") == REGISTERS["load"].address
        assert await master.write("frame", 7) == OKAY
        await master.write("errors", 0xFFFFFFFF)
        assert (await master.run(writes=[too_far]))[0] == [SLVERR]
        assert await master.read("errors") == errors.encode(value=1)
        assert await master.write("start", 31) == OKAY

    run(bench, script)


def test_a_refused_write_does_nothing(run: Any) -> None:
    bench = Bench()

    async def script(ctx: Any) -> None:
        master = Master(ctx, bench)
        await master.write("frame", 5)
        ctx.set(bench.busy, 1)
        assert await master.write("frame", 9) == SLVERR
        assert await master.write("timeout", 77) == OKAY
        assert await master.read("frame") == 5
        assert await master.read("timeout") == 77

    run(bench, script)


def test_commands_last_one_cycle_and_carry_their_data(run: Any) -> None:
    bench, seen = Bench(), list[tuple[str, int]]()
    registers = bench.registers

    async def watch(ctx: Any) -> None:
        names = ["load", "start", "control"]
        pulses = [getattr(registers, f"{name}_write") for name in names]
        words = [getattr(registers, name).as_value() for name in names]
        async for _, _, *values in ctx.tick().sample(*pulses, *words):
            for name, pulse, word in zip(names, values[:3], values[3:], strict=True):
                assert pulse or word == 0
                if pulse:
                    seen.append((name, word))

    async def script(ctx: Any) -> None:
        ctx.set(bench.bus.bready, 0)
        master = Master(ctx, bench, 0.6, 3)
        for name, data in sent:
            await master.write(name, data)

    sent = [("load", 0xDEADBEEF), ("load", 1), ("start", 0x1F), ("control", 1), ("load", 5)]
    run(bench, script, background=[watch])
    assert seen == sent


def test_sticky_bits_set_even_while_they_are_cleared(run: Any) -> None:
    bench = Bench()
    bits = bench.registers.irq_status_set

    async def script(ctx: Any) -> None:
        master = Master(ctx, bench)
        ctx.set(bits.as_value(), 0b0101)
        await ctx.tick()
        ctx.set(bits.as_value(), 0b0001)
        assert await master.read("irq_status") == 0b0101
        await master.write("irq_status", 0b1111)
        assert await master.read("irq_status") == 0b0001
        ctx.set(bits.as_value(), 0)
        await master.write("irq_status", 0b0001)
        assert await master.read("irq_status") == 0

    run(bench, script)


def test_counters_count_and_the_high_word_is_that_of_the_low(run: Any) -> None:
    bench = Bench()

    async def script(ctx: Any) -> None:
        master = Master(ctx, bench)
        ctx.set(bench.events, 0b101)
        await ctx.tick().repeat(9)
        ctx.set(bench.events, 0)
        values = [await master.read(name) for name in COUNTERS]
        assert values == [9, 0, 9] + [0] * (len(COUNTERS) - 3)
        assert await master.read("cycles_high") == 0
        await master.write("control", REGISTERS["control"].encode(clear_counters=1))
        assert await master.read("cycles") == 0

    run(bench, script)


def test_a_64_bit_value_reads_as_one(run: Any) -> None:
    """The counter steps over the boundary between the two reads."""
    registers = RegisterFile()

    async def script(ctx: Any) -> None:
        async def read(name: str) -> int:
            ctx.set(registers.bus.read_addr, REGISTERS[name].address)
            ctx.set(registers.bus.read, 1)
            await ctx.tick()
            ctx.set(registers.bus.read, 0)
            await ctx.tick()
            return int(ctx.get(registers.bus.read_data))

        ctx.set(registers.counters[3], (7 << 32) + 0xFFFFFFFF)
        low = await read("wait_frame")
        ctx.set(registers.counters[3], 8 << 32)
        assert (low, await read("wait_frame_high")) == (0xFFFFFFFF, 7)

    run(registers, script)


def test_writes_follow_each_other_every_fourth_cycle(run: Any) -> None:
    bench = Bench()

    async def script(ctx: Any) -> None:
        master = Master(ctx, bench)
        await master.run(writes=[(REGISTERS["load"].address, i, 15) for i in range(50)])
        assert master.cycles <= 4 * 50 + 4

    run(bench, script)
