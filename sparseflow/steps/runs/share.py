"""Which sequences are simulated where not all are: spread over classes and lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pruning.tasks.data.datasets import SequenceData

__all__ = ["Share", "share_of"]

NAMED = 12  # places that are told on a line
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Share:
    """What of the data is simulated.

    Parameters
    ----------
    data : SequenceData
        Those sequences, in the order of the file.
    places : tuple of int or None
        Where they stand in the file; None if all of it is simulated.
    total : int
        Sequences in the file.
    seed : int
        Of the choice.
    """

    data: SequenceData
    places: tuple[int, ...] | None
    total: int
    seed: int

    def noted(self, whole: SequenceData) -> dict[str, Any]:
        """For the figures."""
        counted = {"counted": whole.counted} if whole.framewise else {}
        places = None if self.places is None else list(self.places)
        return {
            "sequences": self.total, "frames": whole.frames, "simulated": len(self.data),
            "places": places, "seed": self.seed, **counted,
        }  # fmt: skip

    def __str__(self) -> str:
        if self.places is None:
            return f"all {self.total} sequences"
        named = ", ".join(map(str, self.places[:NAMED])) + ", ..." * (len(self.places) > NAMED)
        return (
            f"{len(self.places)} of {self.total} sequences, spread over classes and lengths "
            f"(seed {self.seed}): {named}"
        )


def share_of(data: SequenceData, count: int | None, seed: int) -> Share:
    """So many sequences of the data, or all.

    Every class has its share of them, to one sequence; that of a sequence with labels of frames is
    the most frequent. A class in the order of its lengths is taken from at even distances, as in
    systematic sampling; where that begins differs from class to class, so that few of many classes
    are not all short. The seed moves both, and says which of equal ones come first.

    Parameters
    ----------
    data : SequenceData
        Labels that mean nothing are all the same; lengths alone count then.
    count : int, optional
        At least 1; all where it is left out, or there are no more.
    seed : int

    Returns
    -------
    Share
        The same for the same data, count and seed, on every machine.
    """
    total = len(data)
    if count is None or count >= total:
        return Share(data, None, total, seed)
    random = np.random.default_rng(seed)
    lengths = np.array([len(sequence) for sequence in data.sequences])
    order = np.lexsort((random.permutation(total), lengths, data.classes))
    _, sizes = np.unique(data.classes, return_counts=True)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    counts = np.diff((count * ends + int(random.integers(total))) // total)
    begin, places = float(random.random()), []
    for first, size, some in zip(ends, sizes, counts, strict=False):
        begin = (begin + GOLDEN) % 1  # of all steps it leaves the smallest gaps
        at = first + np.floor((np.arange(some) + begin) * size / max(some, 1)).astype(np.int64)
        places += order[at].tolist()
    return Share(data.chosen(sorted(places)), tuple(sorted(places)), total, seed)
