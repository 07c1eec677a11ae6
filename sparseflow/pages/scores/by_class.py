"""How many of each class are classified rightly, under the names that the model knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from csb_format import IntArray, Model
from engine.reference import IntegerModel
from pruning.tasks.data.datasets import SequenceData

__all__ = ["by_class", "classes_in_words"]

_SHOWN = 20


def by_class(model: Model, outputs: Iterable[IntArray], data: SequenceData) -> list[dict[str, Any]]:
    """``name``, ``right`` and ``of`` for every class of a model that has names.

    Parameters
    ----------
    model : Model
        With a head.
    outputs : iterable of int64 arrays (T, D * R)
        Of the last level, for every sequence of the data.
    data : SequenceData
        Labelled; frames that do not count are left out.
    """
    reference = IntegerModel(model)
    found = [np.atleast_1d(reference.classify(model.pooled(output))) for output in outputs]
    classes = np.concatenate(found)
    return [
        {
            "name": name,
            "right": int(((classes == n) & (data.labels == n)).sum()),
            "of": int((data.labels == n).sum()),
        }
        for n, name in enumerate(model.label_names)
    ]


def classes_in_words(found: Sequence[Mapping[str, Any]]) -> str:
    """On one line; those that nothing is of are left out."""
    there = [one for one in found if one["of"]]
    each = [f"{one['name']} {one['right']:,} of {one['of']:,}" for one in there[:_SHOWN]]
    return ", ".join(each) + ", ..." * (len(there) > _SHOWN)
