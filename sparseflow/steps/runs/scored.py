"""Scores of a simulation that no simulator tells: of float networks, and of all the data."""

from __future__ import annotations

from pathlib import Path

from csb_format import Model
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.scores.answers import Answers
from pruning.tasks.scores.score import Score

from ...pages.scores.integers import integer_answers
from .parts import Parts
from .share import Share

__all__ = ["float_scores", "whole_answers"]


def float_scores(
    dense: Path | None, pruned: Path | None, data: SequenceData, labels: Path | None, packed: Model
) -> dict[str, Score]:
    """Scores of both float checkpoints, if they are given, read as the model was."""
    if dense is None and pruned is None:
        return {}
    if dense is None or pruned is None:
        missing = "dense" if dense is None else "pruned"
        raise ValueError(f"the {missing} checkpoint is not given: give --dense and --pruned")
    if labels is None:
        raise ValueError("the data has no labels: add them, or leave --dense and --pruned out")
    from pruning.importers import Cut

    from ..training import float_answers

    files, cut = {"dense": dense, "pruned": pruned}, Cut.noted(packed.provenance)
    read = (float_answers(path, data, packed.pool, cut) for path in files.values())
    return dict(zip(files, (answers.score() for answers in read), strict=True))


def whole_answers(parts: Parts, packed: Model, data: SequenceData, share: Share) -> Answers | None:
    """Of the integer model; None where the simulation needs all the same states, which tell it."""
    if packed.head is None or share.places is None:
        return None
    parts.begin("score")
    return integer_answers(packed, data)
