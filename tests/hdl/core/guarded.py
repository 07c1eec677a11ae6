"""Designs whose memories are guarded: images with and without, loads, runs that must be exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.lower.load import WORD
from compiler.lower.parity import check_word
from csb_format.random_models import random_frames, random_network
from engine.levels import run_levels
from engine.reference import IntegerModel
from sim.check.compare import compare
from sim.run.pysim import BlockPorts
from sim.run.scenario import Job, run_job

NETWORKS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"projection": 8, "layers": 2}, {"contexts": 2}),
    ({"head": 3}, {"deep": True, "head": True}),
    ({}, {"by_gate": True}),
    ({}, {"pieces": 3}),
]


def made(more: dict[str, Any], options: dict[str, Any], **guards: bool) -> Any:
    """An image of a random network, and frames for it."""
    rng = np.random.default_rng(3)
    model = random_network(rng, 12, 16, 4, (1, 1, 1), **more)
    design = design_for(model, 4, 4, **guards, **options)
    head = options.get("head", False)
    return compile_model(model, design, head=head), random_frames(rng, model, [3, 2])


def small(**options: Any) -> tuple[Image, Job]:
    """An image of few words, and the job that loads and runs it."""
    rng = np.random.default_rng(0)
    model = random_network(rng, 4, 4, 2, (1, 1, 1))
    image = compile_model(model, design_for(model, 4, 2, checked=True, **options))
    return image, Job.of(image, Stimulus.of(image, random_frames(rng, model, [2])), load=True)


async def run_exactly(ports: BlockPorts, image: Image, sequences: Any, **pauses: Any) -> list[int]:
    """Load and run; every state must be the model's. In which cycle each frame was done."""
    stimulus = Stimulus.of(image, sequences)
    outcome = await run_job(Job.of(image, stimulus, load=True, **pauses), ports)
    found = compare(stimulus, outcome, run_levels(IntegerModel(image.model), sequences))
    assert found.mismatches == 0, found.first
    return [int(cycle) for cycle in outcome.frame_cycles(image)]


async def load(ports: BlockPorts, words: Sequence[int]) -> None:
    """Words of packets, one a cycle."""
    for word in words:
        ports.set("load__payload", int(word))
        ports.set("load__valid", 1)
        await ports.tick()
    ports.set("load__valid", 0)


def changed(image: Image, job: Job, name: str, place: int, bits: Sequence[int]) -> Job:
    """It loads a word with some bits changed, the check of the packet made good."""
    words = list(job.load)
    at, chunks, end = next(where for where in _packets(image) if where[0] == name)[1:]
    for bit in bits:
        words[at + 2 + place * chunks + bit // WORD] ^= 1 << bit % WORD
    words[end] = check_word(words[at:end])
    return replace(job, load=words)


def _packets(image: Image) -> Iterator[tuple[str, int, int, int]]:
    """Of each memory where its packet begins, 32 bits of a word, and where the check is."""
    at = 0
    for name, contents in image.memories.items():
        chunks = -(-image.width(name) // WORD)
        end = at + 2 + chunks * len(contents)
        yield name, at, chunks, end
        at = end + 1
