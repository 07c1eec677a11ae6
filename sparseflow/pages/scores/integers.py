"""What outputs of an integer model are worth on labelled data."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from csb_format import IntArray, Model
from csb_format.pooling import EVERY
from engine.levels import last_outputs
from engine.reference import IntegerModel
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.scores.answers import Answers

__all__ = ["answers_given", "answers_of", "integer_answers"]


def answers_of(model: Model, outputs: Iterable[IntArray], data: SequenceData) -> Answers:
    """What the head says to every sequence, or to every frame.

    Parameters
    ----------
    model : Model
        With a head.
    outputs : iterable of int64 arrays (T, D * R)
        Of the last level, for every sequence of the data.
    data : SequenceData
        With labels or targets that mean something.
    """
    assert model.head is not None
    logits = (np.atleast_2d(model.logits(output)) for output in outputs)
    return Answers.of(data, logits, model.head.last_bit)


def answers_given(model: Model, logits: Iterable[IntArray], data: SequenceData) -> Answers:
    """The same of logits (T, O) of every frame, as an array with the head on it gives them."""
    assert model.head is not None
    said = (each if model.pool == EVERY else each[-1:] for each in logits)
    return Answers.of(data, said, model.head.last_bit)


def integer_answers(model: Model, data: SequenceData) -> Answers:
    """The same of what the integer model makes of all of the data; see :func:`answers_of`."""
    reference = IntegerModel(model)
    return answers_of(model, last_outputs(reference, reference.quantise(data.sequences)), data)
