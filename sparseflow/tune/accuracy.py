"""The search over accuracy: a trained network's patterns and bits, real trainings, the front."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from boards.board import Board
from compiler.timing.shared import SharedCycles
from sim.jobs.engines import Engine
from sim.jobs.run import run_tasks
from sim.jobs.store import Store
from sim.jobs.task import Outcome, Task

from .hardware import Candidate, candidates, front
from .learned import Scale, carried
from .patterns import Pattern, Sizes, features, kept_energy, patterns
from .search import Choice, Search
from .training import CALL, model_name

__all__ = ["Asked", "Dense", "Found", "Point", "seconds_of", "target_of", "tuned"]

TOGETHER = 4  # trainings that are proposed at a time
LEAST = 1e-3  # of a loss, or of the dense one: what counts as a difference at least
VERSION = "2"  # of what a training does and leaves
Told = Callable[[str], None]


@dataclass(frozen=True)
class Dense:
    """The network as it was read.

    Parameters
    ----------
    sizes : Sizes
    weights : dict of str to float array
        Matrices by torch's names.
    loss : float
        Of the dense float network.
    counted : bool
        Whether the loss is a share that is wrong; else it is a squared error.
    """

    sizes: Sizes
    weights: Mapping[str, npt.NDArray[np.floating]]
    loss: float
    counted: bool

    def allowed(self, more: float) -> float:
        """The loss that an allowance comes to: points of a share, or a share of an error."""
        return self.loss + more if self.counted else self.loss * (1 + more)

    def scale(self, target: float) -> Scale:
        """Losses in units of what is allowed."""
        return Scale(self.loss, self.allowed(max(target, LEAST)) - self.loss or LEAST)


@dataclass(frozen=True)
class Asked:
    """What is searched.

    Parameters
    ----------
    files : dict of str to Path
        ``checkpoint``, ``data`` and perhaps ``val``.
    board : Board
    bits : sequence of (int, int)
        Of weights and activations; all are scored after each training.
    epochs, seed : int
        Of a training.
    target : float
        Loss that is allowed above the dense network's, 0..1.
    seconds : float
        Of trainings, all together; those that were done before count.
    trainings : int, optional
        At most so many.
    prior : sequence of mapping
        What earlier searches wrote.
    """

    files: Mapping[str, Path]
    board: Board
    bits: Sequence[tuple[int, int]]
    epochs: int
    seed: int
    target: float
    seconds: float
    trainings: int | None = None
    prior: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Point:
    """A pattern in some bits on an array.

    Parameters
    ----------
    pattern : Pattern
    bits : (int, int)
    loss : float
    array : Candidate
    """

    pattern: Pattern
    bits: tuple[int, int]
    loss: float
    array: Candidate


@dataclass
class Found:
    """What a search came to.

    Parameters
    ----------
    trainings : dict of Pattern to list of float
        Losses of each of the bits.
    points : list of Point
        Every array of the front of each.
    seconds : float
        That the trainings took.
    choices : int
        Patterns that there are.
    samples : list of dict
        Features and losses, for the next search.
    models : dict of (Pattern, (int, int)) to str
        Digests of packed models in the store, by pattern and bits.
    """

    trainings: dict[Pattern, list[float]] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    seconds: float = 0.0
    choices: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list)
    models: dict[tuple[Pattern, tuple[int, int]], str] = field(default_factory=dict)

    @property
    def front(self) -> list[Point]:
        """Of which no other loses as little, is as fast and takes as little; fastest first."""
        order = sorted(self.points, key=_price)
        kept: list[Point] = []
        for one in order:
            mine = _price(one)
            if not any(all(a <= b for a, b in zip(_price(k), mine, strict=True)) for k in kept):
                kept.append(one)
        return kept

    def best(self, most: float) -> Point | None:
        """The fastest that loses no more; of equals the one that takes least."""
        return next(iter(self.allowed(most)), None)

    def allowed(self, most: float) -> list[Point]:
        """Those of the front that lose no more, fastest first."""
        return [point for point in self.front if point.loss <= most + 1e-9]


def _price(one: Point) -> tuple[float, float, float]:
    return one.array.microseconds, one.array.share, one.loss


def target_of(text: str) -> float:
    """The loss that is allowed, of ``loss<=0.5%``.

    Raises
    ------
    ValueError
    """
    found = re.fullmatch(r"\s*loss\s*<=?\s*(\d+(?:\.\d+)?)\s*(%?)\s*", text)
    value = float(found[1]) / (100 if found[2] else 1) if found else math.nan
    if not 0 <= value < 1:
        raise ValueError(f"--target {text!r}: write 'loss<=0.5%', 0 to 100 % of what is allowed")
    return value


def seconds_of(text: str) -> float:
    """Seconds of a time as ``2h``, ``30m`` or ``90s``.

    Raises
    ------
    ValueError
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([hms])\s*", text)
    value = float(found[1]) * {"h": 3600, "m": 60, "s": 1}[found[2]] if found else 0
    if not value:
        raise ValueError(f"--budget {text!r}: write 2h, 30m or 90s, more than nothing")
    return value


def tuned(asked: Asked, dense: Dense, store: Store, engine: Engine, tell: Told) -> Found:
    """Search until the budget is spent; what the store has is not trained again.

    Parameters
    ----------
    asked : Asked
    dense : Dense
    store : Store
    engine : Engine
    tell : callable
        Told what happens, a line each.

    Raises
    ------
    ValueError
        If no pattern fits the board, or a training fails.
    """
    space = list(patterns(dense.sizes))
    arrays = _arrays(asked, dense, space)
    usable = [one for one in space if any(arrays[one])]
    if not usable:
        raise ValueError(f"no pattern of this network fits {asked.board.title}: choose another")
    tell(f"{len(usable)} patterns of {len(space)} fit {asked.board.title}")
    choices = [_choice(one, asked, dense, arrays[one]) for one in usable]
    search = Search(choices, dense.scale(asked.target), asked.seed, _prior(asked, choices))
    return _Run(asked, dense, store, engine, tell, search, usable, arrays).found()


def _arrays(
    asked: Asked, dense: Dense, space: Sequence[Pattern]
) -> dict[Pattern, list[Sequence[Candidate]]]:
    """Of every pattern, for each of the bits, the front of its arrays."""
    shared = SharedCycles()
    return {
        one: [
            front(candidates(one.shape(dense.sizes, *bits), asked.board, cycles=shared))
            for bits in asked.bits
        ]
        for one in space
    }


def _choice(
    pattern: Pattern, asked: Asked, dense: Dense, arrays: Sequence[Sequence[Candidate]]
) -> Choice:
    energy = {n: kept_energy(dense.weights[n], pattern.banks, k) for n, k in pattern.keeps}
    rows = tuple(features(pattern, dense.sizes, energy, value) for value, _ in asked.bits)
    fronts = tuple([(c.microseconds, c.share) for c in found] for found in arrays)
    return Choice(pattern.key, rows, fronts)


def _prior(asked: Asked, choices: Sequence[Choice]) -> npt.NDArray[np.float64] | None:
    wanted = np.array([row for choice in choices for row in choice.features], np.float64)
    found = [
        carried(
            np.array([one["features"] for one in record["samples"]], np.float64),
            np.array([one["loss"] for one in record["samples"]], np.float64),
            Scale(record["dense"], record["allowed"] - record["dense"] or LEAST),
            wanted,
            asked.seed,
        )
        for record in asked.prior
    ]
    return np.mean(found, axis=0) if found else None


@dataclass
class _Run:
    """A search that runs."""

    asked: Asked
    dense: Dense
    store: Store
    engine: Engine
    tell: Told
    search: Search
    usable: Sequence[Pattern]
    arrays: Mapping[Pattern, Sequence[Sequence[Candidate]]]

    def found(self) -> Found:
        found = Found(choices=len(self.usable))
        most = self.asked.trainings or len(self.usable)
        inputs = {
            name: self.store.put(path.read_bytes()) for name, path in self.asked.files.items()
        }
        by_key = {one.key: one for one in self.usable}
        while found.seconds < self.asked.seconds and len(found.trainings) < most:
            keys = self.search.propose(min(TOGETHER, most - len(found.trainings)))
            if not keys:
                break
            tasks = [self._task(by_key[key], inputs) for key in keys]
            told = {}
            for key, outcome in run_tasks(tasks, self.store, self.engine):
                told[key] = self._losses(key, outcome)
                self._keep_models(found, by_key[key], outcome)
                found.seconds += outcome.seconds
                self._say(by_key[key], told[key], outcome.seconds)
            for key in keys:  # in the order of the proposals, whichever came first
                self._keep(found, by_key[key], told[key])
            self.search.tell({key: told[key] for key in keys})
        return found

    def _task(self, pattern: Pattern, inputs: Mapping[str, str]) -> Task:
        asked = self.asked
        arguments = {
            "banks": pattern.banks,
            "wishes": pattern.wishes(self.dense.sizes),
            "epochs": asked.epochs,
            "seed": asked.seed,
            "bits": [list(bits) for bits in asked.bits],
            "suffixes": {name: path.suffix for name, path in asked.files.items()},
        }
        return Task(pattern.key, CALL, arguments, inputs, limit=max(asked.seconds, 3600.0),
                    version=VERSION)  # fmt: skip

    def _losses(self, key: str, outcome: Outcome) -> list[float]:
        if outcome.failure:
            raise ValueError(f"the training {key} failed: {outcome.failure['text']}\n{outcome.log}")
        losses: list[float] = outcome.value["losses"]
        return losses

    def _keep_models(self, found: Found, pattern: Pattern, outcome: Outcome) -> None:
        for bits in self.asked.bits:
            found.models[pattern, bits] = self.store.put(outcome.files[model_name(*bits)])

    def _say(self, pattern: Pattern, losses: Sequence[float], seconds: float) -> None:
        kept = ", ".join(f"{name} {keep}" for name, keep in pattern.keeps)
        shown = ", ".join(
            f"{value}/{act} bits {loss:.4g}"
            for (value, act), loss in zip(self.asked.bits, losses, strict=True)
        )
        self.tell(f"{pattern.banks} banks, {kept}: loss in {shown} ({seconds:.0f} s)")

    def _keep(self, found: Found, pattern: Pattern, losses: list[float]) -> None:
        found.trainings[pattern] = losses
        place = self.search.choices[pattern.key]
        rows = self.search.features(place)
        for bits, loss, arrays, row in zip(
            self.asked.bits, losses, self.arrays[pattern], rows, strict=True
        ):
            found.points += [Point(pattern, bits, loss, array) for array in arrays]
            found.samples.append({"features": list(row), "loss": loss})
