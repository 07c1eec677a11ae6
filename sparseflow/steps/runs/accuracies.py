"""Accuracies of a simulation that no simulator tells: of float networks, and of all the data."""

from __future__ import annotations

from pathlib import Path

from csb_format import Model
from pruning.tasks.data.datasets import SequenceData

from ...pages.scores.integers import integer_accuracy
from .parts import Parts
from .share import Share

__all__ = ["float_accuracies", "whole_accuracy"]


def float_accuracies(
    dense: Path | None, pruned: Path | None, data: SequenceData, labels: Path | None, packed: Model
) -> dict[str, float]:
    """Accuracy of both float checkpoints, if they are given, read as the model was."""
    if dense is None and pruned is None:
        return {}
    if dense is None or pruned is None:
        missing = "dense" if dense is None else "pruned"
        raise ValueError(f"the {missing} checkpoint is not given: give --dense and --pruned")
    if labels is None:
        raise ValueError("the data has no labels: add them, or leave --dense and --pruned out")
    from pruning.importers import Cut

    from ..training import float_accuracy

    files, cut = {"dense": dense, "pruned": pruned}, Cut.noted(packed.provenance)
    return {name: float_accuracy(path, data, packed.pool, cut) for name, path in files.items()}


def whole_accuracy(parts: Parts, packed: Model, data: SequenceData, share: Share) -> float | None:
    """Of the integer model; None where the simulation needs all the same states, which tell it."""
    if packed.head is None or share.places is None:
        return None
    parts.begin("score")
    return integer_accuracy(packed, data)
