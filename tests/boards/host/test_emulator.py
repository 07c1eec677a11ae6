"""The emulated board on what no driver of ours sends: it answers, in bounded time and memory."""

from __future__ import annotations

import numpy as np
import pytest

from boards.host.driver import Accelerator
from boards.host.emulator import OUT_WORDS, EmulatedAccelerator, EmulatedLine
from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.registers import REGISTERS
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format.random_models import random_frames, random_network
from engine.reference import IntegerModel

MODEL = random_network(np.random.default_rng(0), 4, 4, 2, (1, 1, 1))
DESIGN = design_for(MODEL, 4, 2)
IMAGE = compile_model(MODEL, DESIGN)
FRAMES = random_frames(np.random.default_rng(1), MODEL, [3])[0]
BEATS = IMAGE.parts[0].frame_beats
PACKET = frame_packets(Stimulus.of(IMAGE, [FRAMES]), 32)[0]


def _loaded() -> EmulatedAccelerator:
    line = EmulatedLine(DESIGN)
    Accelerator.on(line, DESIGN).load(IMAGE)
    return line.accelerator


def _words(board: EmulatedAccelerator) -> list[int]:
    found = []
    while got := board.receive(128):
        found += [word for word, _ in got]
    return found


def _errors(board: EmulatedAccelerator) -> set[str]:
    word = board.read(REGISTERS["errors"].address)
    assert word is not None
    return {name for name, flag in REGISTERS["errors"].decode(word).items() if flag}


def test_beats_of_other_frames_are_those_of_the_program() -> None:
    """Found by the fuzzer: the model was given a frame of so many beats, and refused it."""
    right = _loaded()
    assert right.send(PACKET, True) == len(PACKET)
    board = _loaded()
    board.write(REGISTERS["frame"].address, 1)
    assert board.send(PACKET, True) == len(PACKET)
    assert _errors(board) == set()
    words = _words(right)
    assert words
    assert _words(board) == words


@pytest.mark.parametrize("beats", [BEATS + 1, 2 * BEATS, 0xFFFF])
def test_a_frame_that_is_too_short_is_told(beats: int) -> None:
    board = _loaded()
    board.write(REGISTERS["frame"].address, beats)
    board.send(PACKET[: 1 + BEATS], True)
    assert _errors(board) == {"short"}
    assert len(board._out) <= OUT_WORDS + 128


def test_nobody_takes_what_comes_out() -> None:
    """Outputs piled up without an end."""
    board, sent = _loaded(), 0
    for _ in range(400):
        sent += board.send(PACKET, True)
    assert len(board._out) <= OUT_WORDS + 128
    assert sent < 400 * len(PACKET)
    board.receive(128)
    assert board.send(PACKET[:1], False) == 1


@pytest.mark.parametrize("cell", ["gru", "gru0"])
def test_networks_of_a_gru_run_through_the_driver(cell: str) -> None:
    """Stacked, of two directions: what comes home is the integer model's."""
    rng = np.random.default_rng(2)
    model = random_network(rng, 5, 6, 2, (1, 2, 1), layers=2, directions=2, cell=cell)
    design = design_for(model, 6, 2)
    accelerator = Accelerator.on(EmulatedLine(design), design)
    accelerator.load(compile_model(model, design))
    sequences = random_frames(rng, model, [4, 1, 3])
    for frames, want in zip(sequences, IntegerModel(model).run(sequences), strict=True):
        np.testing.assert_array_equal(accelerator.run(frames).output, want.output)
