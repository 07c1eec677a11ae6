"""What a model answers to every sequence or frame of labelled data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from ..data.datasets import SequenceData
from ..data.targets import NumberArray, check_outputs
from ..data.wrong_data import IGNORED, check_classes, check_kind
from .score import Score, errors

__all__ = ["Answers", "check_answers"]


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers beside what is right, an entry for each label or target that counts.

    Parameters
    ----------
    right : int64 array (N,) or float64 array (N, Y)
        Labels, or targets.
    given : array of that shape and type
        The class with the largest logit (the lowest of equal ones), or the head's numbers.
    sequence : int64 array (N,)
        The sequence that each belongs to.
    lengths : int64 array (sequences,)
        Frames of each.
    classes : int
        Outputs of the head.
    costs : float64 array (N,), optional
        Natural logarithm of what the model holds the label likely by, negative; of classes of
        frames.
    """

    right: npt.NDArray[Any]
    given: npt.NDArray[Any]
    sequence: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    classes: int
    costs: NumberArray | None = None

    @classmethod
    def of(
        cls, data: SequenceData, logits: Iterable[npt.NDArray[Any]], last_bit: float = 1.0
    ) -> Answers:
        """From a head's outputs.

        Parameters
        ----------
        data : SequenceData
        logits : iterable of arrays (n, O)
            Of all sequences, or of all frames, in their order, some at a time.
        last_bit : float
            What integers are multiples of.
        """
        at, parts, classes = 0, [], 0
        for some in logits:
            parts.append(_part(data, some, at, last_bit))
            at, classes = at + len(some), some.shape[1]
        given, costs = (np.concatenate(each) for each in zip(*parts, strict=True))
        right = data.labels if data.targets is None else data.targets
        lengths = np.array([len(sequence) for sequence in data.sequences])
        whose = np.repeat(np.arange(len(data)), lengths if data.framewise else 1)
        counts = data.labels != IGNORED
        told = costs[counts] if data.framewise and data.targets is None else None
        return cls(right[counts], given[counts], whose[counts], lengths, classes, told)

    @property
    def numbers(self) -> bool:
        """Whether they are numbers, not classes."""
        return self.right.ndim == 2

    def score(self) -> Score:
        """The score of them all; there must be one at least."""
        if self.numbers:
            return Score(errors(self.right, self.given))
        found: dict[str, float | None] = {
            "accuracy": int((self.right == self.given).sum()) / len(self.right)
        }
        if self.costs is not None:
            # beyond float64 it is as bad as can be said
            mean = min(-float(self.costs.mean()), math.log(np.finfo(np.float64).max))
            found["perplexity"] = math.exp(mean)
        return Score(found)

    def at(self, chosen: npt.NDArray[np.bool_]) -> Answers:
        """Some of them, bool (N,)."""
        return replace(
            self,
            right=self.right[chosen],
            given=self.given[chosen],
            sequence=self.sequence[chosen],
            costs=None if self.costs is None else self.costs[chosen],
        )

    def __len__(self) -> int:
        return len(self.right)


def _part(
    data: SequenceData, logits: npt.NDArray[Any], first: int, last_bit: float
) -> tuple[npt.NDArray[Any], NumberArray]:
    """Answers and costs from the one at ``first`` on."""
    if data.targets is not None:
        if not np.isfinite(logits).all():
            raise ValueError(
                "the network answers NaN or infinity: train it to finite weights first"
            )
        return logits * last_bit, np.zeros(len(logits))
    given = np.argmax(logits, axis=-1).astype(np.int64)
    if not data.framewise:
        return given, np.zeros(len(logits))
    labels = data.labels[first : first + len(logits)]
    likely = log_softmax(logits.astype(np.float64) * last_bit, axis=-1)
    return given, likely[np.arange(len(logits)), np.maximum(labels, 0)]


def check_answers(data: SequenceData, outputs: int, pool: str, network: object) -> None:
    """Refuse labels or targets that a network with a head cannot be scored on.

    Parameters
    ----------
    data : SequenceData
    outputs : int
        Of the head.
    pool : {"last", "hn", "mean", "every"}
        How it is fed.
    network : object
        Its name.

    Raises
    ------
    DataSetError
        Naming both, with the mend.
    """
    if data.targets is None:
        check_kind(data.framewise, pool, network, data.file)
        check_classes(data.labels, outputs, network, data.file)
        return
    check_kind(data.framewise, pool, network, data.file, "target")
    check_outputs(data.targets.shape[1], outputs, network, data.file)
