"""A score taken apart: by class, by output, by length, and what was taken for what."""

from __future__ import annotations

from typing import Any

import numpy as np

from .answers import Answers
from .score import errors

__all__ = ["details"]

#: Parts that sequences are cut into by their lengths, at most.
BINS = 5
#: Classes that are told apart, at most; and squared, in the confusion matrix.
MOST_CLASSES, MOST_CONFUSED = 1000, 100


def details(answers: Answers) -> dict[str, Any]:
    """Where a score comes from, as JSON has it.

    Parameters
    ----------
    answers : Answers
        One at least.

    Returns
    -------
    dict
        ``by_length``: a list of ``from``, ``to`` (frames of a sequence, both inclusive),
        ``sequences``, ``count`` (answers that count) and the figures of
        :class:`.score.Score`, absent where nothing counts.

        Of classes: ``by_class``, a list of ``class``, ``count`` (labels that it has), ``right`` of
        these, and ``given`` (times that it was the answer), absent beyond 1000 classes; and
        ``confusion``, rows by label, columns by answer, absent beyond 100.

        Of numbers: ``by_output``, a list of ``output``, ``mse``, ``mae`` and ``r2``.
    """
    found: dict[str, Any] = {"by_length": _by_length(answers)}
    if answers.numbers:
        return found | {"by_output": _by_output(answers)}
    if answers.classes <= MOST_CLASSES:
        found["by_class"] = _by_class(answers)
    if answers.classes <= MOST_CONFUSED:
        found["confusion"] = _confusion(answers)
    return found


def _by_length(answers: Answers) -> list[dict[str, Any]]:
    """About equally many sequences in each part; sequences of one length are in one part."""
    lengths = answers.lengths
    cuts = np.quantile(lengths, np.linspace(0, 1, BINS + 1)[:-1], method="higher")
    starts = np.unique(cuts)
    part = np.searchsorted(starts, lengths, side="right") - 1
    found = []
    for number in range(len(starts)):
        inside = part == number
        chosen = answers.at(inside[answers.sequence])
        row = {"from": int(lengths[inside].min()), "to": int(lengths[inside].max())}
        row |= {"sequences": int(inside.sum()), "count": len(chosen)}
        found.append(row | (dict(chosen.score().figures) if len(chosen) else {}))
    return found


def _by_class(answers: Answers) -> list[dict[str, int]]:
    size = answers.classes
    right = answers.right[answers.right == answers.given]
    counts = (np.bincount(each, minlength=size) for each in (answers.right, right, answers.given))
    rows = zip(range(size), *(count.tolist() for count in counts), strict=True)
    return [dict(zip(("class", "count", "right", "given"), row, strict=True)) for row in rows]


def _confusion(answers: Answers) -> list[list[int]]:
    size = answers.classes
    pairs = np.bincount(answers.right * size + answers.given, minlength=size * size)
    return [[int(n) for n in row] for row in pairs.reshape(size, size)]


def _by_output(answers: Answers) -> list[dict[str, Any]]:
    columns = range(answers.right.shape[1])
    pairs = ((answers.right[:, [n]], answers.given[:, [n]]) for n in columns)
    return [{"output": n, **errors(*pair)} for n, pair in enumerate(pairs)]
