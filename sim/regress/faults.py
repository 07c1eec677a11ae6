"""Seeded bit flips on the way into the accelerator, and what each of them does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.lower.image import Image
from compiler.lower.load import WORD, Space, space_widths
from compiler.lower.walk import walk_cycles
from csb_format.fixed import IntArray
from engine.levels import run_levels
from engine.reference import IntegerModel, Trace
from hdl.core.layouts import frame_layout
from hdl.verilog import VerilogFiles

from ..check.compare import compare
from ..run.free_running import Damage, Flip, inject
from ..run.scenario import Job

__all__ = ["BLIND", "MEMORIES", "PLACES", "Injection", "campaign", "table"]

MEMORIES = ("matrix value", "matrix index", "bias", "program", "vector")
# what parity cannot see: two bits of a word of a constant memory, words of it that no step uses
BLIND = ("two bits", "unread")
PLACES = (*MEMORIES, *BLIND, "packet", "frame", "frame mark")
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
    """Load an image and a state, go on from it, with one bit wrong; again and again.

    A word that is wrong when it is loaded is wrong in its memory from then on: nothing else
    writes matrices, biases and program, nor vectors before they are first read. In a checked design
    the check word of its packet is wrong in the same place, so that it is the memory's parity
    that has to tell. The first sequence goes on from its first frame. A design with ``walk`` is
    idle after it for as long as two walks take.

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
    sequences = _whole(stimulus)
    levels = run_levels(IntegerModel(image.model), sequences)
    given = _state(image, levels)
    going_on = stimulus.only((stimulus.sequence > 0) | (stimulus.step > 0))
    start = image.start_words()
    load = [*image.load_words()[: -len(start)], *given, *start]
    job = replace(Job.of(image, going_on), load=load, limit=LIMIT)
    places = _places(image, job, given)
    rng, chosen = np.random.default_rng(seed), []
    for n in range(count):
        place = PLACES[n % len(PLACES)]
        chosen.append((place, places[place][int(rng.integers(len(places[place])))]))
    flips = [flip for _, flip in chosen]
    idle = 0
    if image.design.walk:
        idle = 2 * walk_cycles(image.design, len(image.memories["matrix_000"]))
    damage, outcome = inject(files, job, flips, work, start=len(start), idle=idle)
    found = compare(going_on, outcome, levels)
    if found.mismatches:
        raise ValueError(f"the run without a flip is wrong: {found.first}")
    return [Injection(*where, what) for where, what in zip(chosen, damage, strict=True)]


def _whole(stimulus: Stimulus) -> list[IntArray]:
    """Its sequences."""
    count = int(stimulus.sequence.max()) + 1
    return [stimulus.frames[stimulus.sequence == n, 0] for n in range(count)]


def _state(image: Image, levels: Sequence[Sequence[Trace]]) -> list[int]:
    """Packets that give all layers their state after the first frame of the first sequence."""
    return [
        word
        for layer, (trace, *_) in enumerate(levels)
        for word in image.state_words(layer, trace.cell[0], trace.output[0])
    ]


def _places(image: Image, job: Job, given: Sequence[int]) -> dict[str, list[Flip]]:
    """All bits that can be flipped, by what they mean."""
    found: dict[str, list[Flip]] = {place: [] for place in PLACES}
    sealed = image.design.checked  # a check word behind every packet
    at = 0
    for name, contents in image.memories.items():
        width = image.width(name)
        chunks = -(-width // WORD)
        end = at + 2 + len(contents) * chunks
        found["packet"] += _framing(at, end, sealed)
        for n in range(len(contents)):
            bits = list(_word(image, name, at + 2 + n * chunks, width))
            unread = (n >= len(image.program) and name == "program") or name.startswith("walk")
            for number, (place, word, bit) in enumerate(bits):
                flip = Flip("load", word, bit, end if sealed else -1)
                found["unread" if unread else place].append(flip)
                _, *second = bits[number - 1 - n % (width - 1)]  # another one
                found["two bits"].append(replace(flip, second=(second[0], second[1])))
        at = end + sealed
    found["vector"] = list(_vector(image, given, at))
    at += len(given)
    found["packet"] += [Flip("load", word, bit) for word, bit in _bits(at, 0, WORD << sealed)]
    _frames(image, job, found)
    return found


def _framing(at: int, end: int, sealed: bool) -> list[Flip]:
    """Header, count and check word of a packet."""
    words = [at, at + 1, *([end] if sealed else [])]
    return [Flip("load", word, bit) for word in words for bit in range(WORD)]


def _vector(image: Image, given: Sequence[int], start: int) -> Iterator[Flip]:
    """The vectors among packets of states, which begin at a word of the load."""
    widths, sealed, at = space_widths(image.design), image.design.checked, 0
    while at < len(given):
        space, count = Space(given[at] >> 28), given[at + 1]
        chunks = -(-widths[space] // WORD)
        end = at + 2 + count * chunks
        for n in range(count if space is Space.VECTOR else 0):
            for word, bit in _bits(start + at + 2 + n * chunks, 0, widths[space]):
                yield Flip("load", word, bit, start + end if sealed else -1)
        at = end + sealed


def _frames(image: Image, job: Job, found: dict[str, list[Flip]]) -> None:
    """Numbers of frames, and their marks."""
    design = image.design
    data = design.lanes * design.act_bits
    chunks = -(-frame_layout(design).size // WORD)
    marks = 1 + (design.contexts > 1)
    for n in range(len(job.frames)):
        for word, bit in _bits(n * chunks, 0, data):
            found["frame"].append(Flip("frames", word, bit))
        for word, bit in _bits(n * chunks, data, data + marks):
            found["frame mark"].append(Flip("frames", word, bit))


def _bits(start: int, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Words and bits of a field that starts in a word."""
    for bit in range(low, high):
        yield start + bit // WORD, bit % WORD


def _word(image: Image, name: str, at: int, width: int) -> Iterator[tuple[str, int, int]]:
    """The bits of one memory word and what they are."""
    kind = name.partition("_")[0]
    entry, value = image.design.entry_bits, image.design.value_bits
    for n, (word, bit) in enumerate(_bits(at, 0, width)):
        if kind == "matrix":  # the parity above it is counted with the indices
            valued = n % entry < value and n < image.design.word_bits
            yield ("matrix value" if valued else "matrix index"), word, bit
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
