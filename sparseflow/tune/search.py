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
BRIEF = 0.5  # deviation of a loss after a brief training from the one at length, scaled
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
        Of losses; beyond ``AROUND`` units above the dense network's nothing counts.
    seed : int
    prior : float array (choices, bits), optional
        Scaled losses as earlier studies would have them.
    """

    def __init__(
        self, choices: Sequence[Choice], scale: Scale, seed: int = 0, prior: Floats | None = None
    ) -> None:
        self.choices = {choice.key: n for n, choice in enumerate(choices)}
        self.keys = [choice.key for choice in choices]
        self.bits, self.scale = len(choices[0].fronts), scale
        self._brief: dict[str, Sequence[float]] = {}
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

    def narrow(self, brief: Mapping[str, Sequence[float]], count: int) -> list[str]:
        """Which proposals to train at length, after a brief training of each: successive halving.

        Parameters
        ----------
        brief : mapping of str to sequence of float
            By key, the loss of each of its bits. Those that are not chosen are not proposed again.
        count : int
        """
        self._brief |= brief
        mean, deviation = (values.copy() for values in self._predicted())
        more, spread = self._offset()
        for key in brief:
            mine = self._of(key)
            logs = self.scale.of(np.array(brief[key], np.float64)) + more
            mean[mine], deviation[mine] = self.scale.losses(logs, np.full(self.bits, spread))
        places, losses, found = list(self._places), list(self._losses), list[str]()
        while len(found) < min(count, len(brief)):
            gains = self.volume.gains(places, losses, mean, deviation)
            left = [key for key in brief if key not in found]
            best = max(left, key=lambda key: float(gains[self._of(key)].max()))
            found.append(best)
            mine = self._of(best)
            places += range(mine.start, mine.stop)
            losses += [float(one) for one in mean[mine]]
        return found

    def _of(self, key: str) -> slice:
        place = self.choices[key] * self.bits
        return slice(place, place + self.bits)

    def _offset(self) -> tuple[float, float]:
        """What training at length changes, in the scale of losses; its mean and deviation."""
        known = dict(zip(self._places, self._losses, strict=True))
        pairs = [(known[n], loss) for key, losses in self._brief.items()
                 for n, loss in enumerate(losses, self._of(key).start) if n in known]  # fmt: skip
        if len(pairs) < 2:
            return 0.0, BRIEF
        long, short = (self.scale.of(np.array(side)) for side in zip(*pairs, strict=True))
        return float(np.mean(long - short)), max(float(np.std(long - short)), 0.05)

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
