"""Loader: random packets to all memories, with idle cycles; what it does not understand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.array.design import Design
from compiler.lower.load import WORD, Space, header, space_widths
from hdl.core.loader import Loader

WATCH = ["write_en", "space", "target", "write_addr", "write_data", "start", "start_addr", "fault"]
MATRIX, BIAS, PROGRAM = Space.MATRIX, Space.BIAS, Space.PROGRAM
LINEAR, VECTOR, CELL = Space.LINEAR, Space.VECTOR, Space.CELL
Place = tuple[int, int, int]  # space, target, address


class Stream:
    """Words for a loader, and the memories that they write."""

    def __init__(self, design: Design, seed: int):
        self.design, self.rng = design, np.random.default_rng(seed)
        self.words: list[int] = []
        self.writes: list[tuple[Place, int]] = []
        self.starts: list[int] = []
        self.depths = {
            MATRIX: (design.pes, design.matrix_depth),
            BIAS: (design.units, design.cells),
            PROGRAM: (1, design.program_depth),
            LINEAR: (design.projectors if design.linear else 0, design.linear),
            VECTOR: (1, design.vector_depth),
            CELL: (design.units, design.state_depth),
        }

    def random(self, bits: int) -> int:
        return int.from_bytes(self.rng.bytes(-(-bits // 8))) & ((1 << bits) - 1)

    def packet(self, space: Space, target: int, address: int, count: int) -> None:
        width = space_widths(self.design)[space]
        self.words += [header(space, target, address), count]
        for i in range(count):
            word = self.random(width)
            self.words += [word >> at & 0xFFFFFFFF for at in range(0, width, WORD)]
            self.writes.append(((int(space), target, address + i), word))

    def random_packet(self) -> None:
        there = [space for space, (targets, _) in self.depths.items() if targets]
        space = there[self.rng.integers(len(there))]
        targets, depth = self.depths[space]
        address = int(self.rng.integers(depth))
        count = int(self.rng.integers(min(6, depth - address) + 1))
        self.packet(space, int(self.rng.integers(targets)), address, count)

    def start(self, address: int) -> None:
        self.words.append(header(Space.START, 0, address))
        self.starts.append(address)

    def play(self, play: Any, idle: float = 0.0) -> list[Any]:
        """Send all words; the watched ports in every cycle, after checking what was written."""
        cycles = []
        for word in self.words:
            while self.rng.random() < idle:
                cycles.append({"words.payload": self.random(WORD)})
            cycles.append({"words.payload": word, "words.valid": 1})
        seen: list[Any] = play(Loader(self.design), cycles, WATCH, 3)
        widths = space_widths(self.design)
        writes = [
            ((space, target, address), data & ((1 << widths[Space(space)]) - 1))
            for en, space, target, address, data, *_ in seen
            if en and (space, target) in self.known()
        ]
        assert writes == self.writes
        assert [address for *_, start, address, _ in seen if start] == self.starts
        return seen

    def known(self) -> set[tuple[int, int]]:
        """(space, target) of every memory there is."""
        return {(int(s), t) for s, (targets, _) in self.depths.items() for t in range(targets)}


@pytest.mark.parametrize("idle", [0.0, 0.4])
def test_random_packets_reach_their_memories(play: Any, design: Design, idle: float) -> None:
    stream = Stream(design, seed=1)
    for space, (targets, _) in stream.depths.items():
        for target in range(targets):
            stream.packet(space, target, 0, 2)
    for _ in range(30):
        stream.random_packet()
    stream.start(3)
    seen = stream.play(play, idle)
    assert not any(fault for *_, fault in seen)


def test_packets_without_words(play: Any, design: Design) -> None:
    stream = Stream(design, seed=2)
    for space in (MATRIX, BIAS, PROGRAM):
        stream.packet(space, 0, 1, 0)
        stream.packet(space, 0, 1, 1)
    assert not any(fault for *_, fault in stream.play(play))


def test_start_is_one_pulse_after_the_last_write(play: Any, design: Design) -> None:
    stream = Stream(design, seed=3)
    stream.packet(PROGRAM, 0, 0, 1)
    stream.start(2)
    stream.packet(MATRIX, 0, 0, 1)
    stream.start(0)
    seen = stream.play(play)
    events = ["write" if en else "start" for en, *_, start, _, _ in seen if en or start]
    assert events == ["write", "start", "write", "start"]


@pytest.mark.parametrize("words", [0, 1, 5])
@pytest.mark.parametrize(
    ("space", "target"),
    [
        *((0, 0), (8, 0), (15, 1), (PROGRAM, 1), (VECTOR, 1)),
        *((MATRIX, "pes"), (BIAS, "units"), (LINEAR, "projectors"), (CELL, "units")),
    ],
)
def test_unknown_memory_is_a_fault_until_the_start_and_its_packet_is_skipped(
    play: Any, design: Design, space: int, target: int | str, words: int
) -> None:
    number = getattr(design, target) if isinstance(target, str) else target
    stream = Stream(design, seed=4)
    stream.packet(BIAS, 0, 0, 2)
    faulty = len(stream.words)
    stream.words.append(space << 28 | number << 16)
    stream.words.append(words)
    known = space in (*stream.depths,)
    width = space_widths(design)[Space(space)] if known else WORD
    # were it not skipped, these words would be headers that write to every memory
    stream.words += [header(MATRIX)] * (words * -(-width // WORD))
    stream.random_packet()
    stream.packet(MATRIX, 0, 0, 3)
    stream.start(1)
    seen = stream.play(play)
    lasts = range(faulty + 1 + design.deep, len(stream.words))  # until the start
    assert [t for t, (*_, fault) in enumerate(seen) if fault] == [*lasts]


@pytest.mark.parametrize("change", [{"streamed": True}, {"linear": 0}])
def test_memories_that_a_design_lacks_are_unknown(play: Any, change: dict[str, Any]) -> None:
    """Matrices of a streamed design, biases of linear layers where there is none."""
    fine = Design(8, 2, 1, 6, 24, 32, 4, 8, 16, 4, 8, 8, projectors=2, linear=3)
    space = MATRIX if "streamed" in change else LINEAR
    for design, unknown in ((fine, False), (replace(fine, **change), True)):
        cycles = [{"words.payload": word, "words.valid": 1} for word in (header(space), 0)]
        seen = play(Loader(design), cycles, WATCH, 3)
        assert [bool(fault) for *_, fault in seen] == [False, *[unknown] * 4]


def test_header_fields() -> None:
    assert header(PROGRAM, 0xABC, 0x1234) == 0x3ABC1234
    assert header(Space.START) == 0x40000000


@pytest.mark.parametrize("space", [MATRIX, BIAS, PROGRAM, VECTOR, CELL])
def test_words_beyond_a_memory_are_skipped_and_reported(play: Any, space: Space) -> None:
    design = Design(4, 2, 1, 2, 5, 6, 2, 3, 4, 1, 4, 6, program_depth=16)
    stream = Stream(design, 3)
    depth = stream.depths[space][1]
    stream.packet(space, 0, depth - 1, 3)
    del stream.writes[1:]
    assert stream.play(play)[-1][-1]


def test_a_start_beyond_the_program_is_none(play: Any) -> None:
    design = Design(4, 2, 1, 2, 5, 6, 2, 3, 4, 1, 4, 6, program_depth=16)
    stream = Stream(design, 4)
    stream.words.append(header(Space.START, 0, 16))
    assert stream.play(play)[-1][-1]
    stream.start(15)
    assert not stream.play(play)[-1][-1]
