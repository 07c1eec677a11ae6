"""Models that an accelerator loads from memory by itself, with PYNQ: against a simulated memory.

The memory and the walk along a list are written here anew, from docs/integration.md.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from boards.host.driver import Accelerator
from boards.host.emulator import EmulatedAccelerator
from boards.host.errors import AcceleratorError, StuckError
from boards.host.pynq import PlacedModels, PynqBus
from compiler.abi.dma import place
from compiler.abi.registers import REGISTERS
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format.random_models import random_frames, random_model
from engine.reference import IntegerModel

BITS, START, STATUS, BUS = 128, 0x80, 0x9C, 0xA0
MODELS = [random_model(np.random.default_rng(seed), 6, 5, 2, 1, 2) for seed in (1, 2)]
DESIGN = design_for(MODELS[0], 4, 2)
IMAGES = [compile_model(model, DESIGN) for model in MODELS]
AT = 0x1_2345_6780  # where memory is handed out: above 4 GiB, at no page


class Memory(np.ndarray):
    physical_address = AT
    flushed = False

    def flush(self) -> None:
        self.flushed = True

    def freebuffer(self) -> None: ...


class FromMemory(EmulatedAccelerator):
    """Goes along the list in memory; what its transfers read must be what an image is."""

    status, polls = 0, 3

    def __init__(self) -> None:
        super().__init__(DESIGN)
        self.images.extend(IMAGES)
        self.memory: Any = None
        self.asked: dict[int, int] = {}
        self.left = 0

    def bytes(self, at: int, count: int) -> bytes:
        assert self.memory.flushed
        where = at - AT
        assert where >= 0
        assert where + count <= len(self.memory)
        data: bytes = self.memory[where : where + count].tobytes()
        return data

    def read(self, address: int) -> int | None:
        if address == BUS:
            return BITS | 40 << 16
        if address == STATUS:
            self.left -= 1
            return 1 if self.left > 0 else self.status
        return super().read(address)

    def write(self, address: int, word: int) -> bool:
        if not START <= address < STATUS:
            return super().write(address, word)
        self.asked[address] = word
        if address == START:
            assert word == 3  # a list
            self.left = self.polls
            if not self.status:
                self.walk(self.asked[0x84] | self.asked[0x88] << 32)
        return True

    def walk(self, at: int) -> None:
        first, read = at, dict[int, bytes]()
        while True:
            words = np.frombuffer(self.bytes(at, 64), "<u4").tolist()
            kind, last, base, length = words[0] & 3, words[0] >> 8, words[1], words[3]
            assert base % 4096 == 0 == length % (BITS // 8)
            read[kind] = self.bytes(base | words[2] << 32, length)  # all of it is in memory
            if last:
                break
            at += 64
        base = -(-AT // 4096) * 4096
        placed = place(IMAGES, base, BITS)
        assert self.bytes(base, len(placed.data)) == placed.data
        image = IMAGES[[at for at, *_ in placed.lists].index(first)]
        for word in image.load_words():
            super().write(REGISTERS["load"].address, word)


class Sending:
    """The engine's way to the accelerator."""

    idle = True

    def __init__(self, accelerator: FromMemory):
        self.accelerator = accelerator

    def transfer(self, buffer: Any, nbytes: int) -> None:
        words = [int(word) for word in buffer[: nbytes // 4]]
        assert self.accelerator.send(words, True) == len(words)


class Receiving:
    """The way back: idle once a packet is there."""

    transferred = 0

    def __init__(self, accelerator: FromMemory):
        self.accelerator = accelerator

    def transfer(self, buffer: Any) -> None:
        self.buffer = buffer

    @property
    def idle(self) -> bool:
        words: list[int] = []
        while got := self.accelerator.receive(1):
            words.append(got[0][0])
            if got[0][1]:
                break
        self.buffer[: len(words)] = words
        self.transferred = 4 * len(words)
        return bool(words)


@pytest.fixture
def zynq(monkeypatch: pytest.MonkeyPatch) -> FromMemory:
    """PYNQ with such an accelerator in its overlay."""
    accelerator = FromMemory()

    def allocate(count: int, kind: str) -> Any:
        memory = np.zeros(count, kind).view(Memory)
        accelerator.memory = memory if kind == "u1" else accelerator.memory
        return memory

    registers = SimpleNamespace(read=accelerator.read, write=accelerator.write)
    engine = SimpleNamespace(sendchannel=Sending(accelerator), recvchannel=Receiving(accelerator))
    overlay = SimpleNamespace(accelerator=SimpleNamespace(mmio=registers), dma=engine)
    module = SimpleNamespace(Overlay=lambda _: overlay, allocate=allocate)
    monkeypatch.setitem(sys.modules, "pynq", module)
    return accelerator


def placed(polls: int = 10) -> tuple[Accelerator, PlacedModels]:
    board = Accelerator(PynqBus("overlay.bit"), DESIGN)
    return board, PlacedModels(board, IMAGES, sys.modules["pynq"].allocate, polls)


def test_models_are_changed_by_their_lists(zynq: FromMemory) -> None:
    board, models = placed()
    for number in (1, 0, 1):
        models.load(number)
        given = random_frames(np.random.default_rng(3), MODELS[number], [4])[0]
        wanted = IntegerModel(MODELS[number]).run([given])[0]
        assert np.array_equal(board.run(given).hidden, wanted.hidden)
    models.close()


def test_what_goes_wrong_is_told(zynq: FromMemory) -> None:
    board, models = placed()
    with pytest.raises(IndexError, match="model 2: there are 2"):
        models.load(2)
    zynq.status = REGISTERS["dma_status"].encode(decode=1)
    told = r"0x12345[0-9A-F]{4} was not loaded\. decode: .*no memory"
    with pytest.raises(AcceleratorError, match=told):
        models.load(0)
    zynq.polls = 99
    with pytest.raises(StuckError, match="did not end within 10 reads of dma_status"):
        models.load(0)
    with pytest.raises(AcceleratorError, match="no model is loaded"):
        board.run(np.zeros((1, 6), np.int64))
