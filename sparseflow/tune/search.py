"""Which trainings to make: those that are expected to add most to the front, in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .learned import Learned, Scale
from .volume import Volume

__all__ = ["AROUND", "Choice", "Search"]

Floats = npt.NDArray[np.float64]
AROUND = 4.0
FIRST = 3  # trainings before anything is learned, spread over the space


@dataclass(frozen=True)
class Choice:
    """A training that could be made, and what is known of it before.

    Parameters
    ----------
    key : str
    features : tuple of tuple of float
        For each of its bits: what its loss may follow from.
    fronts : tuple of sequence of (float, float)
        For each of its bits: microseconds and share of the device of its arrays.
    """

    key: str
    features: tuple[tuple[float, ...], ...]
    fronts: tuple[Sequence[tuple[float, float]], ...]


class Search:
    """Proposes trainings without repeats; told losses, it proposes better ones.

    All follows from the seed and from what is told, in its order: a search that stopped goes on
    where it was when it is told the same again.

    Parameters
    ----------
    choices : sequence of Choice
        All with equally many bits.
    scale : Scale
        Of losses; beyond :data:`AROUND` units above the dense network's nothing counts.
    seed : int
    prior : float array (choices, bits), optional
        Scaled losses as earlier studies would have them.
    """

    def __init__(
        self, choices: Sequence[Choice], scale: Scale, seed: int = 0, prior: Floats | None = None
    ) -> None:
        self.choices = {choice.key: n for n, choice in enumerate(choices)}
        self.keys = [choice.key for choice in choices]
        self.bits = len(choices[0].fronts)
        self._choices = choices
        flat = np.array([row for choice in choices for row in choice.features], np.float64)
        self._learned = Learned(flat, scale, None if prior is None else prior.ravel(), seed)
        limit = scale.dense + AROUND * scale.unit
        self.volume = Volume([front for choice in choices for front in choice.fronts], limit)
        self._random = np.random.default_rng(seed)
        self._blind = FIRST if prior is None else 0
        self._places: list[int] = []
        self._losses: list[float] = []
        self._begun: list[int] = []

    def tell(self, found: Mapping[str, Sequence[float]]) -> None:
        """What trainings came to.

        Parameters
        ----------
        found : mapping of str to sequence of float
            By key, the loss of each of its bits.
        """
        for key, losses in found.items():
            place = self.choices[key]
            self._places += range(place * self.bits, (place + 1) * self.bits)
            self._losses += losses
            if place not in self._begun:
                self._begun.append(place)

    def features(self, place: int) -> Sequence[tuple[float, ...]]:
        """Of a choice, for each of its bits."""
        return self._choices[place].features

    def propose(self, count: int) -> list[str]:
        """Keys of the next trainings; fewer where no more are left."""
        found: list[int] = []
        places, losses = list(self._places), list(self._losses)
        known = self._predicted()
        while len(found) < count and len(self._begun) < len(self.keys):
            if len(self._begun) < self._blind:
                best = self._far()
            else:
                gains = self.volume.gains(places, losses, *known)
                best = self._best(gains.reshape(-1, self.bits))
                # as if it came to what is expected: the next one is to add something else
                mine = range(best * self.bits, (best + 1) * self.bits)
                places, losses = [*places, *mine], [*losses, *(float(known[0][n]) for n in mine)]
            found.append(best)
            self._begun.append(best)
        return [self.keys[n] for n in found]

    def _predicted(self) -> tuple[Floats, Floats]:
        return self._learned.predict(np.array(self._places, np.int64), np.array(self._losses))

    def _best(self, gains: Floats) -> int:
        """Of those that were not proposed; of equals a random one."""
        gains = gains.max(axis=1)
        gains[self._begun] = -1
        return int(self._random.choice(np.flatnonzero(gains == gains.max())))

    def _far(self) -> int:
        """One that is unlike all before, the first at random."""
        if not self._begun:
            return int(self._random.integers(len(self.keys)))
        all_of = self._learned.features.reshape(len(self.keys), -1)
        apart = np.linalg.norm(all_of[:, None] - all_of[self._begun][None], axis=2).min(axis=1)
        return int(apart.argmax())

    def reached(self) -> float:
        """The volume of what was told."""
        return self.volume.of(self._places, self._losses)
