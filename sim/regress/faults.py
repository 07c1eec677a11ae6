"""Seeded bit flips on the way into the accelerator, and what each of them does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.abi.states import Outcome
from compiler.lower.image import Image
from compiler.lower.load import WORD
from engine.levels import run_levels
from engine.reference import IntegerModel
from hdl.core.layouts import frame_layout
from hdl.verilog import VerilogFiles

from ..check.compare import compare
from ..run.free_running import Damage, Flip, inject
from ..run.scenario import Job

__all__ = ["PLACES", "Injection", "campaign", "table"]

PLACES = ("matrix value", "matrix index", "bias", "program", "packet", "frame", "frame mark")
EFFECTS = ("masked", "detected", "mismatch")
LIMIT = 4000  # cycles without a transfer, many times those of a step of a small model


@dataclass(frozen=True)
class Injection:
    """One flip and its effect.

    Parameters
    ----------
    place : str
        One of ``PLACES``.
    flip : Flip
    damage : Damage
    """

    place: str
    flip: Flip
    damage: Damage

    @property
    def effect(self) -> str:
        """``masked``, ``detected`` or ``mismatch``.

        Detected means that somebody is told: the output ``fault`` was high, or the outputs
        stopped, which the watchdog of :class:`~hdl.bus.accelerator.Accelerator` reports. Right
        states in other cycles are a mismatch, with the cycle model.
        """
        if self.damage.fault or self.damage.outcome == "stopped":
            return "detected"
        return "masked" if self.damage.outcome == "masked" else "mismatch"


def campaign(
    image: Image,
    files: VerilogFiles,
    stimulus: Stimulus,
    count: int,
    seed: int,
    work: Path,
) -> list[Injection]:
    """Load an image, run frames, with one bit wrong; again and again.

    A word that is wrong when it is loaded is wrong in its memory from then on: nothing else
    writes matrices, biases and program.

    Parameters
    ----------
    image : Image
    files : VerilogFiles
        Emitted without an image, so that everything comes through the ``load`` stream.
    stimulus : Stimulus
    count : int
        Flips, spread evenly over ``PLACES``.
    seed : int
    work : Path

    Raises
    ------
    ValueError
        If the good run is not bit-exact.
    """
    job = replace(Job.of(image, stimulus, load=True), limit=LIMIT)
    places = _places(image, job)
    rng, chosen = np.random.default_rng(seed), []
    for n in range(count):
        place = PLACES[n % len(PLACES)]
        chosen.append((place, places[place][int(rng.integers(len(places[place])))]))
    damage, outcome = inject(files, job, [flip for _, flip in chosen], work)
    _check_good(image, stimulus, outcome)
    return [Injection(*where, what) for where, what in zip(chosen, damage, strict=True)]


def _check_good(image: Image, stimulus: Stimulus, outcome: Outcome) -> None:
    sequences = [
        stimulus.frames[stimulus.sequence == n, 0] for n in range(int(stimulus.sequence.max()) + 1)
    ]
    found = compare(stimulus, outcome, run_levels(IntegerModel(image.model), sequences))
    if found.mismatches:
        raise ValueError(f"the run without a flip is wrong: {found.first}")


def _places(image: Image, job: Job) -> dict[str, list[Flip]]:
    """All bits that can be flipped, by what they mean."""
    found: dict[str, list[Flip]] = {place: [] for place in PLACES}
    at = 0
    for name, contents in image.memories.items():
        for word, bit in _bits(at, 0, 2 * WORD):
            found["packet"].append(Flip("load", word, bit))
        at += 2
        width = image.width(name)
        chunks = -(-width // WORD)
        for n in range(len(contents)):
            for place, word, bit in _word(image, name, at + n * chunks, width):
                found[place].append(Flip("load", word, bit))
        at += len(contents) * chunks
    found["packet"] += [Flip("load", at, bit) for bit in range(WORD)]  # start
    design = image.design
    data = design.lanes * design.act_bits
    chunks = -(-frame_layout(design).size // WORD)
    marks = 1 + (design.contexts > 1)
    for n in range(len(job.frames)):
        for word, bit in _bits(n * chunks, 0, data):
            found["frame"].append(Flip("frames", word, bit))
        for word, bit in _bits(n * chunks, data, data + marks):
            found["frame mark"].append(Flip("frames", word, bit))
    return found


def _bits(start: int, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Words and bits of a field that starts in a word."""
    for bit in range(low, high):
        yield start + bit // WORD, bit % WORD


def _word(image: Image, name: str, at: int, width: int) -> Iterator[tuple[str, int, int]]:
    """The bits of one memory word and what they are."""
    kind = name.partition("_")[0]
    entry, value = image.design.entry_bits, image.design.value_bits
    for n, (word, bit) in enumerate(_bits(at, 0, width)):
        if kind == "matrix":
            yield ("matrix value" if n % entry < value else "matrix index"), word, bit
        else:
            yield ("program" if kind == "program" else "bias"), word, bit


def table(found: Sequence[Injection]) -> list[dict[str, int | str]]:
    """How many flips of every place had which effect, and how the accelerator came back.

    Parameters
    ----------
    found : sequence of Injection

    Returns
    -------
    list of dict
        ``place``, ``flips``, one count for each effect, ``late`` (of the mismatches those in
        which only cycles differ), ``fault`` and ``stopped`` (both are detected),
        ``needs_reset`` (loading and starting again was not enough, a reset was) and ``hung``
        (not even that).
    """
    rows: list[dict[str, int | str]] = []
    for place in (*PLACES, "all"):
        mine = [i for i in found if place in (i.place, "all")]
        effects = Counter(injection.effect for injection in mine)
        rows.append(
            {
                "place": place,
                "flips": len(mine),
                **{effect: effects[effect] for effect in EFFECTS},
                "late": sum(i.damage.outcome == "late" and not i.damage.fault for i in mine),
                "fault": sum(i.damage.fault for i in mine),
                "stopped": sum(i.damage.outcome == "stopped" for i in mine),
                "needs_reset": sum(not i.damage.restarts for i in mine),
                "hung": sum(not i.damage.recovers for i in mine),
            }
        )
    return rows
