"""The emulated board on what no driver of ours sends: it answers, in bounded time and memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from boards.host.driver import Accelerator
from boards.host.emulator import OUT_WORDS, EmulatedAccelerator, EmulatedLine
from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.registers import REGISTERS
from compiler.abi.states import cut_packets, outcome_of
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import IntArray
from csb_format.random_models import random_frames, random_network
from engine.reference import IntegerModel
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job

MODEL = random_network(np.random.default_rng(0), 4, 4, 2, (1, 1, 1))
DESIGN = design_for(MODEL, 4, 2)
IMAGE = compile_model(MODEL, DESIGN)
FRAMES = random_frames(np.random.default_rng(1), MODEL, [3])[0]
BEATS = IMAGE.parts[0].frame_beats
PACKET = frame_packets(Stimulus.of(IMAGE, [FRAMES]), 32)[0]


def _loaded(image: Image = IMAGE) -> EmulatedAccelerator:
    line = EmulatedLine(image.design)
    Accelerator.on(line, image.design).load(image)
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


BATCHED = [
    # lanes that take four beats a row; streams come and go; one is alone at the end
    ({"projection": 4}, {"pes": 16, "units": 1, "contexts": 3}, [2, 1, 3, 1]),
    ({"head": 10, "hidden_size": 16, "k": (2, 3, 1)}, {"pes": 8, "contexts": 4}, [2, 1, 2, 2, 1]),
    ({"directions": 2, "layers": 2, "projection": 4}, {"pes": 4, "contexts": 2}, [2, 3]),
]


def _batched(
    network: dict[str, Any], array: dict[str, Any], lengths: list[int]
) -> tuple[Image, list[IntArray]]:
    rng = np.random.default_rng(len(lengths))
    sizes: dict[str, Any] = {"input_size": 6, "hidden_size": 8, "banks": 2, "k": (1, 2, 2)}
    model = random_network(rng, **(sizes | network))
    head = model.head is not None
    design = design_for(model, lanes=2, streamed=True, batched=True, head=head, **array)
    return compile_model(model, design, head=head), random_frames(rng, model, lengths)


@pytest.mark.quick(2)
@pytest.mark.parametrize(("network", "array", "lengths"), BATCHED, ids=["narrow", "head", "both"])
def test_results_of_streams_lie_as_those_of_the_array(
    network: dict[str, Any], array: dict[str, Any], lengths: list[int]
) -> None:
    image, sequences = _batched(network, array, lengths)
    board = _loaded(image)
    board.write(REGISTERS["frame"].address, image.parts[0].frame_beats)
    stimulus = Stimulus.of(image, sequences, contexts=image.design.contexts)
    words: list[int] = []
    for packet in frame_packets(stimulus, 32):
        assert board.send(packet, True) == len(packet)
        words += _words(board)
    emulated = outcome_of(image, cut_packets(image, words, 32), 32)
    played = simulate_amaranth(image, replace(Job.of(image, stimulus), limit=9_000))
    assert emulated.payloads == played.payloads


@pytest.mark.parametrize(("network", "array", "lengths"), BATCHED, ids=["narrow", "head", "both"])
def test_sequences_run_together(
    network: dict[str, Any], array: dict[str, Any], lengths: list[int]
) -> None:
    image, sequences = _batched(network, array, lengths)
    line = EmulatedLine(image.design)
    driver = Accelerator.on(line, image.design)
    driver.load(image)
    for got, trace in zip(
        driver.run_together(sequences), IntegerModel(image.model).run(sequences), strict=True
    ):
        assert np.array_equal(got.hidden, trace.hidden)
        assert np.array_equal(got.output, trace.output)
        if image.model.head is not None:
            assert got.linear is not None
            assert np.array_equal(got.linear, image.model.head.logits(trace.output))
    # one that is alone is its own batch, whatever its context
    alone = driver.run(sequences[0], context=1)
    assert np.array_equal(alone.output, IntegerModel(image.model).run(sequences[:1])[0].output)


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
