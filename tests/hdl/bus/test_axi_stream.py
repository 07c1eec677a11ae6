"""Packets to frames and states to packets under random stalls, errors and resets."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.abi.packing import Packing, check_bus_bits
from compiler.abi.registers import PACKET, PACKET_MAGIC
from compiler.abi.wire import frame_packing, result_fields, state_fields, state_packing
from compiler.array.design import Design
from csb_format.scales import DesignError
from csb_format.words import join_fields
from hdl.bus.axi_stream import FrameInput, StateOutput
from hdl.core.layouts import output_layout

# M, N, E, row groups; matrix, vector, slots, cells, output depth; index, value, act bits
DESIGN = Design(16, 4, 2, 4, 12, 24, 3, 6, 12, 3, 16, 12, program_depth=8, contexts=3)
PROJECTING = replace(DESIGN, projectors=4, linear=3)
WIDTHS = [32, 64, 256]
BEATS = 3
Beat = tuple[int, int]  # tdata, tlast


class Packets:
    """Random packets, and what must come out of them."""

    def __init__(self, packing: Packing, seed: int):
        self.packing, self.random = packing, random.Random(seed)
        self.beats: list[Beat] = []
        self.frames: list[tuple[list[int], int, int]] = []  # elements, first, context
        self.bad_headers = self.shorts = 0

    def header(self, **fields: int) -> int:
        return PACKET.encode(**{"magic": PACKET_MAGIC, **fields})

    def packet(self, frames: int, cut: int = 0, **header: int) -> None:
        """A packet that ends ``cut`` bus beats before its last frame does."""
        first, context = self.random.randrange(2), self.random.randrange(3)
        head = self.header(**{"first": first, "context": context, **header})
        whole, words = frames * BEATS, [head]
        given = [[self.random.getrandbits(12) for _ in range(4)] for _ in range(whole)]
        for elements in given:
            payload = sum(value << 12 * i for i, value in enumerate(elements))
            words += self.packing.pack(payload)
        words = words[: len(words) - cut]
        self.beats += [(word, int(i == len(words) - 1)) for i, word in enumerate(words)]
        if PACKET.decode(head)["magic"] != PACKET_MAGIC or PACKET.decode(head)["context"] > 2:
            self.bad_headers += 1
            return
        complete = (len(words) - 1) // self.packing.beats
        self.shorts += cut > 0 or not frames
        if cut:
            # at least one beat of the last frame was there, or it is not completed
            begun = len(words) - 1 > (frames - 1) * BEATS * self.packing.beats
            whole = whole if begun else whole - BEATS
        for i in range(whole):
            elements = given[i] if i < complete else [0] * 4
            self.frames.append(
                (elements, first if i < BEATS else 0, PACKET.decode(head)["context"])
            )

    def mixture(self) -> None:
        for _ in range(25):
            kind = self.random.randrange(6)
            if kind <= 2:
                self.packet(self.random.randrange(1, 4))
            elif kind == 3:
                self.packet(1, cut=self.random.randrange(1, BEATS * self.packing.beats))
            elif kind == 4:
                self.packet(self.random.randrange(2), context=3 + self.random.randrange(5))
            else:
                self.packet(self.random.randrange(2), magic=self.random.randrange(0xF5))
        self.packet(0)
        self.packet(2)


async def feed(ctx: Any, dut: FrameInput, beats: list[Beat], stall: float, seed: int) -> None:
    """Offer beats with pauses."""
    rng = random.Random(seed)
    for data, last in beats:
        while rng.random() < stall:
            ctx.set(dut.axis.tvalid, 0)
            await ctx.tick()
        ctx.set(dut.axis.tdata, data)
        ctx.set(dut.axis.tlast, last)
        ctx.set(dut.axis.tvalid, 1)
        await ctx.tick().until(dut.axis.tready)
    ctx.set(dut.axis.tvalid, 0)


def start(ctx: Any, dut: FrameInput) -> None:
    ctx.set(dut.beats, BEATS)
    ctx.set(dut.open, 1)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.6), (0.4, 0.4)])
def test_packets_become_frames(run: Any, bits: int, idle: float, stall: float) -> None:
    dut = FrameInput(DESIGN, bits)
    packets = Packets(dut.packing, seed=bits)
    packets.mixture()
    got: list[Any] = []
    counts = dict.fromkeys(("bad_header", "short", "begun", "done"), 0)

    async def source(ctx: Any) -> None:
        start(ctx, dut)
        await feed(ctx, dut, packets.beats, idle, 1)

    async def sink(ctx: Any) -> None:
        rng = random.Random(2)
        payload = dut.frames.payload
        while len(got) < len(packets.frames):
            ctx.set(dut.frames.ready, int(rng.random() >= stall))
            watch = (dut.frames.valid, dut.frames.ready, payload.first, payload.context)
            _, _, valid, ready, first, context, data = await ctx.tick().sample(*watch, payload.data)
            if valid and ready:
                got.append(([int(v) & 0xFFF for v in data], first, context))

    async def count(ctx: Any) -> None:
        names = list(counts)
        async for _, _, *pulses in ctx.tick().sample(*(getattr(dut, n) for n in names)):
            for name, pulse in zip(names, pulses, strict=True):
                counts[name] += pulse

    run(dut, source, sink, background=[count])
    assert got == packets.frames
    frames = len(packets.frames) // BEATS
    assert counts == {
        "bad_header": packets.bad_headers,
        "short": packets.shorts,
        "begun": frames,
        "done": frames,
    }


@pytest.mark.parametrize("bits", WIDTHS)
def test_one_beat_a_cycle_in(run: Any, bits: int) -> None:
    dut = FrameInput(DESIGN, bits)
    packets = Packets(dut.packing, seed=1)
    packets.packet(20)

    async def source(ctx: Any) -> None:
        start(ctx, dut)
        ctx.set(dut.frames.ready, 1)
        await feed(ctx, dut, packets.beats, 0, 0)

    run(dut, source, limit=len(packets.beats) + 2)


def test_no_packet_begins_while_closed_and_none_is_cut_by_closing(run: Any) -> None:
    dut = FrameInput(DESIGN, 64)
    packets = Packets(dut.packing, seed=1)
    packets.packet(1)

    async def source(ctx: Any) -> None:
        start(ctx, dut)
        ctx.set(dut.frames.ready, 1)
        ctx.set(dut.open, 0)
        ctx.set(dut.axis.tvalid, 1)
        await ctx.tick().repeat(5)
        assert not ctx.get(dut.axis.tready)
        ctx.set(dut.open, 1)
        await feed(ctx, dut, packets.beats[:1], 0, 0)
        ctx.set(dut.open, 0)
        await feed(ctx, dut, packets.beats[1:], 0, 0)
        assert ctx.get(dut.frames.valid)

    run(dut, source)


def test_without_a_frame_length_packets_are_rejected(run: Any) -> None:
    dut = FrameInput(DESIGN, 64)
    packets = Packets(dut.packing, seed=1)
    packets.packet(2)

    async def source(ctx: Any) -> None:
        ctx.set(dut.open, 1)
        ctx.set(dut.axis.tvalid, 1)
        ctx.set(dut.axis.tdata, packets.beats[0][0])
        assert ctx.get(dut.bad_header)
        await feed(ctx, dut, packets.beats, 0, 0)
        assert not ctx.get(dut.frames.valid)
        assert not ctx.get(dut.busy)

    run(dut, source)


@pytest.mark.parametrize("cut", range(1, 8))
@pytest.mark.parametrize("new_source", [0, 1])
def test_after_a_reset_the_next_packet_is_whole(run: Any, cut: int, new_source: int) -> None:
    """The old packet's rest is thrown away, or never comes where its source was reset."""
    dut = FrameInput(DESIGN, 32)
    old, new = Packets(dut.packing, seed=1), Packets(dut.packing, seed=2)
    old.packet(2)
    new.packet(1)
    got: list[list[int]] = []

    async def source(ctx: Any) -> None:
        start(ctx, dut)
        ctx.set(dut.frames.ready, 1)
        await feed(ctx, dut, old.beats[:cut], 0, 0)
        ctx.set(dut.reset, 1)
        ctx.set(dut.new_source, new_source)
        await ctx.tick()
        ctx.set(dut.reset, 0)
        ctx.set(dut.new_source, 0)
        assert not ctx.get(dut.busy)
        assert ctx.get(dut.discarding) == 1 - new_source
        await ctx.tick()
        got.clear()
        await feed(ctx, dut, [] if new_source else old.beats[cut:], 0, 0)
        await feed(ctx, dut, new.beats, 0.2, 1)
        await ctx.tick().repeat(3)

    async def sink(ctx: Any) -> None:
        async for _, _, valid, data in ctx.tick().sample(dut.frames.valid, dut.frames.payload.data):
            if valid:
                got.append([int(v) & 0xFFF for v in data])

    run(dut, source, background=[sink])
    assert got == [elements for elements, _, _ in new.frames]


def test_everything_is_thrown_away_while_stopped(run: Any) -> None:
    dut = FrameInput(DESIGN, 32)
    packets = Packets(dut.packing, seed=3)
    packets.packet(2)
    packets.packet(1)

    async def source(ctx: Any) -> None:
        start(ctx, dut)
        await feed(ctx, dut, packets.beats[:4], 0, 0)
        ctx.set(dut.stop, 1)
        ctx.set(dut.open, 0)
        await feed(ctx, dut, packets.beats[4:], 0.1, 0)
        await ctx.tick()
        assert not ctx.get(dut.frames.valid)
        assert not ctx.get(dut.busy)

    run(dut, source)


def payloads(count: int, seed: int, frame: int = 3) -> list[int]:
    rng, size = random.Random(seed), output_layout(DESIGN).size
    last = 1 << size - 1
    return [
        rng.getrandbits(size - 1) | (last if i % frame == frame - 1 else 0) for i in range(count)
    ]


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.6), (0.4, 0.4)])
def test_states_become_packets(run: Any, bits: int, idle: float, stall: float) -> None:
    dut = StateOutput(DESIGN, bits)
    sent, got = payloads(30, bits), list[Beat]()
    last = output_layout(DESIGN).size - 1
    expected = [
        (word, int(i == dut.packing.beats - 1 and payload >> last))
        for payload in sent
        for i, word in enumerate(dut.packing.pack(payload))
    ]

    async def source(ctx: Any) -> None:
        rng = random.Random(4)
        for payload in sent:
            while rng.random() < idle:
                ctx.set(dut.states.valid, 0)
                await ctx.tick()
            ctx.set(dut.states.payload.as_value(), payload)
            ctx.set(dut.states.valid, 1)
            await ctx.tick().until(dut.states.ready)
        ctx.set(dut.states.valid, 0)

    async def sink(ctx: Any) -> None:
        await take(ctx, dut, got, len(expected), stall)

    run(dut, source, sink)
    assert got == expected
    rebuilt = [
        dut.packing.unpack([word for word, _ in got[i : i + dut.packing.beats]])
        for i in range(0, len(got), dut.packing.beats)
    ]
    assert rebuilt == [payload & ~(1 << last) for payload in sent]


@pytest.mark.parametrize("bits", [32, 128])
def test_states_and_results_are_structures_of_plain_numbers(run: Any, bits: int) -> None:
    """Both kinds in one packet, in pauses: what a host reads as arrays of int16 and int64."""
    dut, rng, got = StateOutput(PROJECTING, bits), np.random.default_rng(6), list[Beat]()
    results, beats = state_packing(PROJECTING, bits, results=True), dut.packing.beats
    assert (results.beats, [e.container for e in results.elements]) == (beats, [64] * 4)
    size, sent, words = beats * bits // 8, list[int](), list[bytes]()
    for n in range(12):
        h, c = rng.integers(-2048, 2048, 2), rng.integers(-8192, 8192, 2)
        y = rng.integers(-(1 << 37), 1 << 37, 4)
        fields = state_fields(PROJECTING) if n % 3 else result_fields(PROJECTING)
        numbers, kinds = ([*h, *c], "<i2") if n % 3 else (y.tolist(), "<i8")
        widths = [field.width for field in fields for _ in range(field.count or 1)]
        payload = int(join_fields(np.array([numbers]), widths)[0])
        width = output_layout(PROJECTING).size
        sent.append(payload | int(n % 3 == 0) << width - 2 | int(n % 4 == 3) << width - 1)
        words.append(np.array(numbers, kinds).tobytes().ljust(size, b"\0"))

    async def source(ctx: Any) -> None:
        for n, payload in enumerate(sent):
            ctx.set(dut.states.payload.as_value(), payload)
            ctx.set(dut.states.valid, 1)
            await ctx.tick().until(dut.states.ready)
            ctx.set(dut.states.valid, 0)
            await ctx.tick().repeat(n % 2 + 1)

    async def sink(ctx: Any) -> None:
        await take(ctx, dut, got, len(sent) * beats, 0.4)

    run(dut, source, sink)
    data = b"".join(word.to_bytes(bits // 8, "little") for word, _ in got)
    assert data == b"".join(words)


async def take(ctx: Any, dut: StateOutput, got: list[Beat], count: int, stall: float) -> None:
    """Take beats with pauses; a beat that waits must not change."""
    rng, waiting = random.Random(5), None
    while len(got) < count:
        ready = int(rng.random() >= stall)
        ctx.set(dut.axis.tready, ready)
        valid, *beat = (ctx.get(s) for s in (dut.axis.tvalid, dut.axis.tdata, dut.axis.tlast))
        assert waiting is None or (valid and waiting == beat)
        waiting = beat if valid and not ready else None
        if valid and ready:
            got.append((beat[0], beat[1]))
        await ctx.tick()


@pytest.mark.parametrize("bits", WIDTHS)
def test_one_beat_a_cycle_out(run: Any, bits: int) -> None:
    dut, got = StateOutput(DESIGN, bits), list[Beat]()

    async def source(ctx: Any) -> None:
        for payload in payloads(20, 1):
            ctx.set(dut.states.payload.as_value(), payload)
            ctx.set(dut.states.valid, 1)
            await ctx.tick().until(dut.states.ready)

    async def sink(ctx: Any) -> None:
        await ctx.tick()
        await take(ctx, dut, got, 19 * dut.packing.beats, 0)

    run(dut, source, sink, limit=20 * dut.packing.beats + 2)


@pytest.mark.parametrize("bits", [32, 256])
@pytest.mark.parametrize("taken", range(8))
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_a_reset_ends_the_packet_it_cuts(run: Any, bits: int, taken: int, stall: float) -> None:
    """No beat is taken back; at most one packet is cut, and it has its ``tlast``."""
    dut, got = StateOutput(DESIGN, bits), list[Beat]()
    packet = 3 * dut.packing.beats

    async def source(ctx: Any) -> None:
        ctx.set(dut.states.valid, 1)
        for payload in payloads(3, 1):
            ctx.set(dut.states.payload.as_value(), payload)
            while not ctx.get(dut.states.ready):
                await ctx.tick()
                if len(got) >= min(taken, packet):
                    break
            await ctx.tick()
            if len(got) >= min(taken, packet):
                break
        ctx.set(dut.states.valid, 0)
        ctx.set(dut.reset, 1)
        await ctx.tick()
        ctx.set(dut.reset, 0)
        await ctx.tick().until(~dut.busy)
        cut.extend(got)
        for payload in payloads(3, 2):
            ctx.set(dut.states.payload.as_value(), payload)
            ctx.set(dut.states.valid, 1)
            await ctx.tick().until(dut.states.ready)
        ctx.set(dut.states.valid, 0)
        await ctx.tick().until(~dut.busy)

    async def sink(ctx: Any) -> None:
        await take(ctx, dut, got, 10_000, stall)

    cut: list[Beat] = []
    run(dut, source, background=[sink])
    assert not cut or cut[-1][1] == 1
    assert sum(last for _, last in cut) <= 1
    after = got[len(cut) :]
    expected = [word for payload in payloads(3, 2) for word in dut.packing.pack(payload)]
    assert [word for word, _ in after] == expected
    assert [last for _, last in after] == [0] * (packet - 1) + [1]


@pytest.mark.parametrize("bits", [0, 16, 48, 2048])
def test_a_bus_has_a_usual_width(bits: int) -> None:
    with pytest.raises(DesignError, match=rf"in_bits = {bits}: take 32, 64"):
        check_bus_bits("in_bits", bits)


def test_negative_numbers_are_extended() -> None:
    """A host reads an array of 16-bit integers."""
    packing = frame_packing(DESIGN, 64)
    assert packing.pack(0xFFF | 0x7FF << 12 | 0x800 << 24) == [0x0000_F800_07FF_FFFF]
    assert packing.unpack([0x0000_F800_07FF_FFFF]) == 0xFFF | 0x7FF << 12 | 0x800 << 24
