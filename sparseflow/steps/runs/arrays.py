"""The score of a model on arrays, for the front door."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format import Model
from csb_format.arguments import shown
from csb_format.fixed import IntArray
from engine.levels import last_outputs
from engine.reference import IntegerModel
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.data.targets import numbers
from pruning.tasks.data.wrong_data import DataSetError, check_labels, whole_labels
from pruning.tasks.scores.answers import check_answers

from ...pages.scores.figures import described
from ...pages.scores.integers import answers_of
from ..given import integers_of

__all__ = ["scored"]

_HERE = Path("sf.score")  # what errors name, as those of commands name a file


def scored(model: Model, sequences: Sequence[Any], labels: Any, targets: Any) -> dict[str, Any]:
    """As :func:`sparseflow.score`, of a model that is one."""
    if (labels is None) == (targets is None):
        raise TypeError("sf.score takes labels, classes from 0, or targets, numbers: give one")
    if model.head is None:
        raise ValueError("the model has no head: give sf.quantise the head, too")
    reference = IntegerModel(model)
    frames = integers_of(sequences, model.layers[0].input_size, reference.input)
    try:
        data = _data(frames, labels, targets)
        check_answers(data, model.head.output_size, model.pool, "the model")
    except DataSetError as error:  # its snippet is for files, its option for the command line
        raise ValueError(error.text.replace("--pool ", "pool=")) from None
    answers = answers_of(model, last_outputs(reference, frames), data)
    return {**answers.score().figures, **described(answers, data)}


def _data(frames: Sequence[IntArray], labels: Any, targets: Any) -> SequenceData:
    """Frames beside what is right for them; only their lengths matter here."""
    name, given = ("labels", labels) if targets is None else ("targets", targets)
    array = _array(name, given)
    lengths = [np.zeros((len(each), 1), np.float32) for each in frames]
    every = sum(map(len, frames))
    if targets is not None:
        found, framewise = numbers(_HERE, array, len(frames), every)
        return SequenceData(tuple(lengths), np.zeros(len(found), np.int64), "", framewise, found)
    framewise = array.shape == (every,) != (len(frames),)
    whole = whole_labels(_HERE, array, framewise)
    if not framewise:
        check_labels(_HERE, whole, len(frames))
    return SequenceData(tuple(lengths), whole, "", framewise)


def _array(name: str, given: Any) -> npt.NDArray[Any]:
    try:
        found = np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TypeError(f"{name} = {shown(given)}: give an array") from error
    if found.dtype.hasobject:
        raise TypeError(f"{name} = {shown(given)}: give an array of numbers, one row for each")
    return found
