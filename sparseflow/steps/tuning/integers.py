"""Fine-tuning in the accelerator's integers, told, noted and ended as that of pruning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pruning.integers.qat import QatClassifier
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.networks.sequence import answers
from pruning.tasks.recipes.finetune_integers import tune_quantised
from pruning.tasks.scores.score import Score

from ...pages.scores.told import all_of
from ..progress import say, stages
from .controls import Controls

__all__ = ["finetuned"]


def finetuned(
    model: QatClassifier,
    data: SequenceData,
    epochs: int,
    seed: int,
    controls: Controls,
    about: Mapping[str, Any],
    val: SequenceData | None = None,
) -> tuple[Score, Score]:
    """Fine-tune in place; what the data is worth to it before and after.

    Parameters
    ----------
    model : QatClassifier
    data : SequenceData
        With labels or targets.
    epochs, seed : int
    controls : Controls
    about : mapping
        What a log begins with, beside these settings.
    val : SequenceData, optional
        Not trained on: the epoch with the best score on it is kept, which is said.
    """
    first = answers(model, data).score()
    with controls.noting() as note, stages() as progress:
        if note is not None:
            settings = {"training": asdict(controls.training()), "sequences": len(data)}
            note("began", {**about, "epochs": epochs, "seed": seed, **settings})
        tuned = tune_quantised(
            model, data, epochs, seed, settings=controls.training(), progress=progress,
            score=None if val is None else lambda found: answers(found, val).score(),
            note=note, patience=controls.patience,
        )  # fmt: skip
        if note is not None:
            note("ended", {"epoch": tuned.epoch, "epochs": tuned.epochs})
    if val is not None:
        said = f"epoch {tuned.epoch} of the {tuned.epochs} in integers, its best"
        say(f"kept: {said}, {tuned.score}, {all_of(val)}")
    return first, answers(model, data).score()
