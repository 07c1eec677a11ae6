"""Planes of a screened head in memory: the driver puts them there and says where they are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from boards.host.bus import Received
from boards.host.driver import Accelerator
from boards.host.emulator import EmulatedAccelerator
from boards.host.errors import AcceleratorError
from boards.host.pynq import PynqBus
from boards.link.simulation import emit_link
from compiler.abi.dma import PAGE
from compiler.abi.registers import REGISTERS
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format.random_models import random_frames, random_model
from csb_format.scales import DesignError
from csb_format.screening.layer import ScreenedLayer
from engine.reference import IntegerModel
from engine.screened import of_all

AT = 0x1_2345_6000
BASES = {REGISTERS[name].address: name for name in ("planes_base", "planes_base_high")}
_MODEL = random_model(np.random.default_rng(2), 3, 4, 2, 1, 1, head=20)
assert _MODEL.head is not None
MODEL = replace(_MODEL, head=ScreenedLayer.of(_MODEL.head))
IMAGE = compile_model(MODEL, design_for(MODEL, 4, 2, largest=3, planes=64))


class Far:
    """A bus to an accelerator that is the integer model, whose memory nobody reaches."""

    def __init__(self) -> None:
        self.accelerator = EmulatedAccelerator(IMAGE.design)
        self.accelerator.images.append(IMAGE)
        self.told: dict[str, int] = {}

    def read(self, address: int, count: int = 1) -> list[int]:
        found = [self.accelerator.read(address + 4 * n) for n in range(count)]
        return [word for word in found if word is not None]

    def write(self, address: int, words: Sequence[int]) -> None:
        if address in BASES:
            self.told |= {BASES[address]: words[-1]}
            return
        assert all(self.accelerator.write(address, word) for word in words)

    def send(self, words: Sequence[int], last: bool) -> int:
        return self.accelerator.send(words, last)

    def receive(self, count: int) -> Received:
        got = self.accelerator.receive(count)
        return Received(tuple(word for word, _ in got), bool(got and got[-1][1]))

    def close(self) -> None: ...


class Near(Far):
    """One with its memory."""

    kept = b""

    def keep(self, data: bytes) -> int:
        self.kept = data
        return AT


def test_load_puts_planes_into_memory() -> None:
    bus = Near()
    board = Accelerator(bus, IMAGE.design)
    board.load(MODEL)
    assert bus.kept == IMAGE.planes
    assert bus.told == {"planes_base": AT & 0xFFFFFFFF, "planes_base_high": AT >> 32}
    given = random_frames(np.random.default_rng(0), MODEL, [2])[0]
    found = board.run(given).largest
    states = IntegerModel(MODEL).run([given])[0].output
    assert found is not None
    assert MODEL.head is not None
    wanted = of_all(MODEL.head.logits(states), 3)
    assert np.array_equal(found.logits, wanted[1])
    with pytest.raises(ValueError, match="planes = 0x123456010: must be a multiple of 4096"):
        board.point(AT + 16)


def test_without_memory_it_says_so() -> None:
    with pytest.raises(AcceleratorError, match="a memory that this bus does not reach"):
        Accelerator(Far(), IMAGE.design).load(IMAGE)


def test_the_integer_model_needs_none_and_a_simulated_line_has_none(tmp_path: Any) -> None:
    with Accelerator.open("model", IMAGE.design) as board:
        board.load(IMAGE)
        assert board.run(random_frames(np.random.default_rng(0), MODEL, [2])[0]).largest
    with pytest.raises(DesignError, match="planes from a memory outside, which no link carries"):
        emit_link(IMAGE.design, tmp_path)


def test_pynq_keeps_them_at_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[int] = []

    class Buffer(np.ndarray):
        physical_address = AT + 8

        def flush(self) -> None: ...

        def freebuffer(self) -> None:
            freed.append(len(self))

    def allocate(size: int, kind: str) -> Any:
        return np.zeros(size, kind).view(Buffer)

    ends = SimpleNamespace(sendchannel=None, recvchannel=None)
    overlay = SimpleNamespace(accelerator=SimpleNamespace(mmio=None), dma=ends)
    monkeypatch.setitem(sys.modules, "pynq", SimpleNamespace(allocate=allocate))
    bus = PynqBus(overlay)
    for data in (b"first", b"another"):
        assert bus.keep(data) == AT + PAGE
        buffer = bus._kept._buffer
        assert buffer[PAGE - 8 :][: len(data)].tobytes() == data
    assert freed == [len(b"first") + PAGE]
    bus.close()
    assert len(freed) == 4  # planes, and both of packets
