"""The accelerator with a port to memory: it loads models along lists, and says what went wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.abi.dma import PAGE, Entry, Placed, place
from compiler.abi.dma_registers import Kind
from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.registers import REGISTERS, SCREEN_COUNTERS
from compiler.abi.states import outcome_of
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.groups import rows_of
from compiler.lower.image import Image
from compiler.timing.screen_cycles import ScreenCycles
from csb_format.random_models import random_frames, random_model
from csb_format.scales import DesignError
from csb_format.screening.layer import ScreenedLayer
from engine.reference import IntegerModel
from hdl.dram.accelerator import DramAccelerator
from hdl.dram.reader import ReadBus
from sim.axi_memory import AxiMemory, Lateness
from sim.check.compare import compare
from sim.run.pysim import BlockPorts
from tests.hdl.processor import OKAY, SLVERR, Processor, collector

BASE = 16 * PAGE
NARROW = ReadBus(64, 32, 8, 4, 64)
BUSES = {64: NARROW, 128: ReadBus(128, 40, 16, 2, 32), 512: ReadBus(512, 32, 4, 2, 16)}


def images(design: dict[str, Any] | None = None, count: int = 2) -> list[Image]:
    """Models of the same shape on one array."""
    options = {"pes": 4, "lanes": 2, **(design or {})}
    models = [random_model(np.random.default_rng(n), 6, 5, 2, 1, 2) for n in range(count)]
    return [compile_model(m, design_for(models[0], **options)) for m in models]


class Board:
    """An accelerator, its memory, a processor and what leaves."""

    def __init__(
        self,
        made: list[Image],
        bus: ReadBus = NARROW,
        late: Lateness | None = None,
        placed: Placed | None = None,
    ):
        self.images = made
        self.placed = placed or place(made, BASE, bus.data_bits)
        self.memory = AxiMemory(bus, self.placed.data, BASE, late or Lateness((5, 20), seed=3))
        self.dut = DramAccelerator(made[0].design, bus=bus)
        self.got: list[list[int]] = []

    async def remember(self, ctx: Any) -> None:
        ports, cycle = BlockPorts(self.dut, ctx), 0
        while True:
            self.memory.step(ports, cycle)
            await ctx.tick()
            cycle += 1

    def play(self, run: Any, script: Any) -> None:
        async def host(ctx: Any) -> None:
            self.host = Processor(ctx, self.dut)
            await script()

        run(self.dut, host, background=[self.remember, collector(self.dut, self.got)])
        assert self.memory.traffic.violations == []

    async def transfer(self, entry: Entry) -> dict[str, int]:
        """Do a transfer; the status at its end."""
        words = dict(entry.words())
        start = words.pop("dma_start")
        for name, word in words.items():
            assert await self.host.write(name, word) == OKAY
        assert await self.host.write("dma_start", start) == OKAY
        while (status := await self.host.fields("dma_status"))["loading"]:
            pass
        while (await self.host.fields("status"))["settling"]:
            pass
        return status

    async def load(self, number: int, part: int = 0) -> dict[str, int]:
        await self.host.write("frame", self.images[number].parts[part].frame_beats)
        return await self.transfer(Entry(Kind.LIST, self.placed.lists[number][part]))

    async def job(self, number: int, seed: int = 0) -> None:
        """Load a model along its list, run frames, compare."""
        self.got.clear()
        image = self.images[number]
        status = await self.load(number)
        assert status["streaming"] == image.design.streamed
        assert await self.host.fields("errors") == dict.fromkeys(
            await self.host.fields("errors"), 0
        )
        sequences = random_frames(np.random.default_rng(seed), image.model, [3, 2])
        stimulus = Stimulus.of(image, sequences, contexts=image.design.contexts)
        await self.host.send(frame_packets(stimulus, 64))
        while (await self.host.fields("status"))["busy"]:
            pass
        levels = IntegerModel(image.model).run_levels(sequences)
        assert compare(stimulus, outcome_of(image, self.got, 64), levels).mismatches == 0


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("design", "bits"),
    [
        *(({}, 64), ({"streamed": True}, 64), ({}, 128), ({}, 512), ({"streamed": True}, 512)),
        ({"streamed": True, "batched": True, "contexts": 3}, 64),
    ],
    ids=str,
)
def test_models_load_along_their_lists_and_run_bit_exact(
    run: Any, bits: int, design: dict[str, Any]
) -> None:
    board = Board(images(design), BUSES[bits])

    async def script() -> None:
        for number in (0, 1):
            await board.job(number, number)
        assert (await board.host.fields("dma_bus"))["data_bits"] == bits
        assert (await board.host.fields("irq_status"))["loaded"] == 1

    board.play(run, script)


@pytest.mark.quick(1)
@pytest.mark.parametrize("design", [{"compact": True}, {"deep": True}, {"pieces": 2}], ids=str)
def test_other_arrays(run: Any, design: dict[str, Any]) -> None:
    board = Board(images(design, 1))
    board.play(run, lambda: board.job(0))


@pytest.mark.slow
@pytest.mark.parametrize("design", [{}, {"streamed": True}], ids=str)
def test_a_screened_head_comes_along_its_list(run: Any, design: dict[str, Any]) -> None:
    model = random_model(np.random.default_rng(0), 6, 5, 2, 1, 2, head=20)
    assert model.head is not None
    model = replace(model, head=ScreenedLayer.of(model.head))
    board = Board([compile_model(model, design_for(model, 4, 2, largest=3, **design))])
    (image,) = board.images
    assert image.screen is not None

    async def script() -> None:
        await board.job(0)
        sequences = random_frames(np.random.default_rng(0), image.model, [3, 2])
        states = np.concatenate([t.output for t in IntegerModel(image.model).run(sequences)])
        screen = image.screen
        assert screen is not None
        each = ScreenCycles(screen.design, screen.layer).run(states)
        for name in SCREEN_COUNTERS:
            counted = (await board.host.fields(f"screen_{name}"))["count"]
            assert counted == sum(getattr(one, name) for one in each) > 0
        await board.host.write("control", REGISTERS["control"].encode(clear_counters=1))
        assert (await board.host.fields("screen_first"))["count"] == 0

    board.play(run, script)


def test_pieces_of_a_matrix_anywhere_in_memory(run: Any) -> None:
    """Rows end anywhere in a piece, and a list goes on elsewhere."""
    made = images(count=1)
    rows, words = rows_of(made[0], 64), made[0].load_words(matrix=False)
    data = bytearray(rows.data)
    there = BASE + len(data)
    data += np.array([*words, 0][: len(words) + len(words) % 2], "<u4").tobytes()
    size, padding = BASE + len(data) - there, 32 * (len(words) % 2)
    row_bits = made[0].design.pes * made[0].design.piece_bits
    assert 128 % row_bits
    data += bytes(-len(data) % PAGE)
    first = BASE + len(data)
    cut = [
        Entry(Kind.ROWS, BASE, 16),
        Entry(Kind.ROWS, BASE + 16, rows.length - 16, rows.padding, row=128 // row_bits),
        Entry(Kind.LIST, first + PAGE),
    ]
    second = Entry(Kind.WORDS, there, size, padding, last=True)
    data += b"".join(entry.encode() for entry in cut).ljust(PAGE, b"\0") + second.encode()
    board = Board(made, placed=Placed(BASE, bytes(data), ((first,),)))
    board.play(run, lambda: board.job(0))


def entry(board: Board, **changes: Any) -> Entry:
    whole = np.frombuffer(board.placed.data[board.placed.lists[0][0] - BASE :][:64], "<u4")
    given = {"kind": Kind(int(whole[0]) & 3), "base": int(whole[1]), "length": int(whole[3])}
    given["woven"] = int(whole[6])
    return Entry(**{**given, "padding": int(whole[4]), **changes})


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": Kind.MATRIX}, "entry"),
    ({"row": 1 << 20}, "entry"),
    ({"row": 1}, "entry"),
    ({"padding": 64}, "entry"),
    ({"padding": 0}, "entry"),
    ({"woven": 1 << 20}, "entry"),
    ({"base": 1 << 32}, "entry"),
    ({"length": 0, "woven": 0}, "setup"),
    ({"length": 0}, "entry"),
    ({"base": BASE + 4}, "setup"),
    ({"base": 0}, "decode"),
    ({"kind": Kind.LIST, "base": 0}, "decode"),
]


def test_what_cannot_be_done_is_told_and_the_next_job_is_clean(run: Any) -> None:
    board = Board(images(count=1))

    async def script() -> None:
        for changes, why in WRONG:
            status = await board.transfer(entry(board, **changes))
            assert ([name for name, flag in status.items() if flag], changes) == ([why], changes)
            assert (await board.host.fields("errors"))["dma"] == 1
            assert (await board.host.fields("irq_status"))["loaded"] == 0
            assert (await board.host.fields("status"))["halted"] == 1
            await board.host.write("errors", 0xFFFFFFFF)
        await board.job(0)

    board.play(run, script)


def test_a_word_that_memory_cannot_give_starts_nothing(run: Any) -> None:
    board = Board(images(count=1), BUSES[512])
    words = np.frombuffer(board.placed.data[board.placed.lists[0][0] - BASE :][:64], "<u4")
    end = int(words[1]) + int(words[3])
    board.memory.broken = lambda address: address == end - 64

    async def script() -> None:
        assert (await board.load(0))["slave"] == 1
        assert (await board.host.fields("status"))["halted"] == 1
        board.memory.broken = lambda address: False
        await board.host.write("control", REGISTERS["control"].encode(soft_reset=1))
        await board.host.write("errors", 0xFFFFFFFF)
        await board.job(0)

    board.play(run, script)


@pytest.mark.parametrize("way", ["dma_stop", "control"])
def test_a_load_that_is_given_up(run: Any, way: str) -> None:
    board = Board(images(count=1), late=Lateness((60, 90), seed=1))

    async def script() -> None:
        words = Entry(Kind.LIST, board.placed.lists[0][0]).words()
        start = words.pop("dma_start")
        for after in (30, 70, 140, 210):
            for name, word in words.items():
                await board.host.write(name, word)
            await board.host.write("dma_start", start)
            assert await board.host.write("load", 0) == SLVERR
            assert await board.host.write("dma_start", start) == SLVERR
            await board.host.ctx.tick().repeat(after)
            await board.host.write(way, 1)
            await board.host.write("control", REGISTERS["control"].encode(soft_reset=1))
            assert not (await board.host.fields("dma_status"))["loading"]
        await board.host.write("errors", 0xFFFFFFFF)
        await board.job(0)

    board.play(run, script)


def test_a_soft_reset_leaves_the_stream_of_the_matrix(run: Any) -> None:
    board = Board(images({"streamed": True}, 1))

    async def script() -> None:
        await board.job(0)
        frames = random_frames(np.random.default_rng(3), board.images[0].model, [2])
        packets = frame_packets(Stimulus.of(board.images[0], frames), 64)
        board.host.ctx.set(board.dut.m_axis_tready, 0)
        await board.host.send(packets)
        await board.host.write("control", REGISTERS["control"].encode(soft_reset=1))
        board.host.ctx.set(board.dut.m_axis_tready, 1)
        assert (await board.host.fields("dma_status"))["streaming"] == 1
        await board.host.ctx.tick().repeat(40)
        board.got.clear()
        await board.job(0, 5)

    board.play(run, script)


def test_models_that_do_not_belong_together() -> None:
    one, two = images(count=1), images({"deep": True}, 1)
    with pytest.raises(DesignError, match=r"different designs: one accelerator runs one design"):
        place([*one, *two], BASE, 64)
    with pytest.raises(DesignError, match=r"base = 0x1001: must be a multiple of 4096"):
        place(one, 0x1001, 64)
