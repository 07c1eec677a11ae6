"""Labels and targets as what a learner is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from csb_format.fixed import IntArray
from csb_format.model import Model
from engine.learn.head import Asked
from engine.learn.learner import LearnError
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.data.wrong_data import IGNORED

__all__ = ["asked_of", "check_judging", "check_learnable", "held_out"]

_FEW = 2
Places = list[int]


def asked_of(model: Model, data: SequenceData) -> Asked:
    """What every sequence should be answered with."""
    if data.targets is None:
        return Asked(labels=tuple(each.astype(np.int64) for each in data.split(data.labels)))
    assert model.head is not None
    return Asked.of_numbers(model.head, data.split(data.targets))


def check_learnable(data: SequenceData, path: object) -> None:
    """Refuse data that a network would only forget by.

    Raises
    ------
    LearnError
        If no label counts, or all that do are of one class.
    """
    if data.targets is not None:
        return
    classes = np.unique(data.labels[data.labels != IGNORED])
    if not len(classes):
        raise LearnError(f"{path}: no label counts (all are {IGNORED}): give some that do")
    if len(classes) < _FEW:
        raise LearnError(
            f"{path}: all labels are of class {classes[0]}: a network that learns of one class "
            "forgets the others; give sequences of two at least"
        )


def check_judging(data: SequenceData, path: object) -> None:
    """Refuse to judge by a part of the data in which no label counts.

    Raises
    ------
    LearnError
        Saying what to give instead.
    """
    if data.targets is None and not (data.labels != IGNORED).any():
        raise LearnError(
            f"{path}: in what is held out to judge by no label counts (all are {IGNORED}): give "
            "more that do, another --hold or --seed, or --val"
        )


def held_out(
    data: SequenceData, share: float, seed: int, path: object
) -> tuple[list[int], list[int]]:
    """Places of sequences to learn from and to judge by: of every class the same share.

    Raises
    ------
    LearnError
        If nothing would be left for one of them.
    """
    random = np.random.default_rng([seed, 1])
    kept, held = list[int](), list[int]()
    for places in _alike(data):
        mixed = random.permutation(places).tolist()
        count = int(share * len(mixed) + 0.5)
        held += mixed[:count]
        kept += mixed[count:]
    if not kept or not held:
        raise LearnError(
            f"{path}: {len(data)} sequences leave none to learn from or none to judge by, with "
            f"{share:.0%} of each class held out: give more, or --val"
        )
    return sorted(kept), sorted(held)


def _alike(data: SequenceData) -> Sequence[IntArray]:
    """Places of the sequences of each class; all of them where each frame has one, or numbers."""
    if data.framewise or data.targets is not None:
        return [np.arange(len(data))]
    return [np.flatnonzero(data.labels == label) for label in np.unique(data.labels)]
