"""What goes over a board's line, as files: load packets, requests, answers; second readers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from boards.host.driver import Accelerator, States
from boards.host.emulator import EmulatedAccelerator, EmulatedLine
from boards.host.errors import AcceleratorError, LinkError
from boards.link.protocol import FLAG
from compiler.abi.registers import REGISTERS
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format.random_models import random_frames, random_network
from sim.regress.fuzz import Parser

__all__ = ["line_parsers", "same_halt", "whole_answers"]

_MODEL = random_network(np.random.default_rng(0), 4, 4, 2, (1, 1, 1))
_DESIGN = design_for(_MODEL, 4, 2)
_IMAGE = compile_model(_MODEL, _DESIGN)
_FRAMES = random_frames(np.random.default_rng(1), _MODEL, [3])[0]


class _Recorded:
    """An emulated board, with what goes to it and what comes back."""

    def __init__(self) -> None:
        self.line, self.sent, self.got = EmulatedLine(_DESIGN), bytearray(), bytearray()
        self.line.know(_IMAGE)

    def write(self, data: bytes) -> None:
        self.sent += data
        self.line.write(data)

    def read(self, timeout: float) -> bytes:
        data = self.line.read(timeout)
        self.got += data
        return data

    def close(self) -> None:
        pass


class _Replayed:
    """A peer that answers a request with the next frame of a record, whatever was asked."""

    def __init__(self, data: bytes):
        self._frames, self._due = iter(_frames(data)), False

    def write(self, data: bytes) -> None:
        self._due = len(data) > 1

    def read(self, timeout: float) -> bytes:
        due, self._due = self._due, False
        return next(self._frames, b"") if due else b""

    def close(self) -> None:
        pass


def _frames(data: bytes) -> list[bytes]:
    return [bytes([FLAG]) + part + bytes([FLAG]) for part in data.split(bytes([FLAG])) if part]


def line_parsers() -> list[Parser]:
    """The emulator's ends, and the driver's."""
    record = _Recorded()
    _session(record)
    words = b"".join(word.to_bytes(4, "little") for word in _IMAGE.load_words())
    return [
        Parser("load packets", _loaded, (), [words]),
        Parser("link requests", _answers, (), [bytes(record.sent)]),
        Parser(
            "link answers",
            lambda path: _session(_Replayed(path.read_bytes())),
            (LinkError, AcceleratorError),
            [bytes(record.got)],
        ),
    ]


def _session(line: Any) -> States:
    board = Accelerator.on(line, _DESIGN, timeout=0.05, retries=0)
    board.timeout = 0.05
    board.load(_IMAGE)
    return board.run(_FRAMES)


def _loaded(path: Path) -> EmulatedAccelerator:
    """All words at the register ``load``."""
    accelerator, data = EmulatedAccelerator(_DESIGN), path.read_bytes()
    accelerator.images.append(_IMAGE)
    for word in _words(data):
        accelerator.write(REGISTERS["load"].address, word)
    return accelerator


def _answers(path: Path) -> bytes:
    line = EmulatedLine(_DESIGN)
    line.know(_IMAGE)
    line.write(path.read_bytes())
    return line.read(0)


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[n : n + 4], "little") for n in range(0, len(data) // 4 * 4, 4)]


def same_halt(path: Path, found: EmulatedAccelerator) -> bool:
    """A program runs if, and only if, its memories hold what the compiler wrote.

    Packets by their table alone: space, memory and address in a header, a count, data.
    """
    held, running, fault = dict[tuple[int, int, int], list[int]](), False, False
    right = {key: chunk for *_, key, chunk in _placed(_words(_whole())) if key[0] != 4}
    for start, ok, key, chunk in _placed(_words(path.read_bytes())):
        if start:
            good = all(held.get(place) == value for place, value in right.items())
            running, fault = good and key[2] == 0, False
        elif not ok:
            fault = True
        else:
            held[key] = chunk
    status = REGISTERS["status"].decode(found.read(REGISTERS["status"].address) or 0)
    return status["halted"] == (not running) and status["fault"] == fault


def _whole() -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in _IMAGE.load_words())


def _placed(words: list[int]) -> Iterator[tuple[bool, bool, tuple[int, int, int], list[int]]]:
    """Whether it starts, whether there is such a place, the place, and the words for it."""
    from compiler.lower.load import Space, space_depths, space_targets, space_widths

    at = 0
    while at < len(words):
        space, target, address = words[at] >> 28, words[at] >> 16 & 0xFFF, words[at] & 0xFFFF
        if space == 4:
            yield address < _DESIGN.program_depth, False, (space, target, address), []
            at += 1
            continue
        if at + 1 >= len(words):
            return
        known = space in {int(each) for each in Space}
        size = -(-space_widths(_DESIGN)[Space(space)] // 32) if known else 1
        end = at + 2 + words[at + 1] * size
        if end > len(words):
            return
        exists = known and target < space_targets(_DESIGN)[Space(space)]
        deep = space_depths(_DESIGN)[Space(space)] if exists else 0
        if not exists:
            yield False, False, (space, target, address), []
        for n in range(words[at + 1] if exists else 0):
            chunk = words[at + 2 + n * size : at + 2 + (n + 1) * size]
            yield False, address + n < deep, (space, target, address + n), chunk
        at = end


def whole_answers(path: Path, found: bytes) -> bool:
    """Every answer is a whole frame with a right check sequence, made bit by bit."""
    for frame in filter(None, found.split(bytes([FLAG]))):
        body, escaped = bytearray(), False
        for byte in frame:
            if byte == 0x7D:
                escaped = True
            else:
                body.append(byte ^ 0x20 if escaped else byte)
                escaped = False
        register = 0xFFFF
        for byte in body:
            register ^= byte
            for _ in range(8):
                register = register >> 1 ^ (0x8408 if register & 1 else 0)
        if register != 0xF0B8 or (len(body) - 8) % 4:  # RFC 1662: what a right one leaves
            return False
    return True
