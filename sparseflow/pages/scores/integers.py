"""What outputs of an integer model are worth on labelled data."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from csb_format import IntArray, Model
from engine.levels import last_outputs
from engine.reference import IntegerModel
from pruning.tasks.data.datasets import SequenceData

__all__ = ["integer_accuracy", "share_right"]


def share_right(model: Model, outputs: Iterable[IntArray], data: SequenceData) -> float:
    """Share of sequences, or of frames that count, that are classified rightly.

    Parameters
    ----------
    model : Model
        With a head.
    outputs : iterable of int64 arrays (T, D * R)
        Of the last level, for every sequence of the data.
    data : SequenceData
        With labels that mean something.

    Returns
    -------
    float
        0..1.
    """
    reference = IntegerModel(model)
    if data.framewise:
        classes = [reference.classify(model.pooled(output)) for output in outputs]
        # no class is the label of a frame that does not count
        return int((np.concatenate(classes) == data.labels).sum()) / data.counted
    taken = np.stack([model.pooled(output) for output in outputs])
    return float(np.mean(reference.classify(taken) == data.labels))


def integer_accuracy(model: Model, data: SequenceData) -> float:
    """The same of what the integer model makes of all of the data; see :func:`share_right`."""
    reference = IntegerModel(model)
    return share_right(model, last_outputs(reference, reference.quantise(data.sequences)), data)
