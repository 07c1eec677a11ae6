"""Scores of a run as ``figures.json`` has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from csb_format import IntArray, Model
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.scores.answers import Answers
from pruning.tasks.scores.details import details
from pruning.tasks.scores.score import Score

from .integers import answers_given, answers_of

__all__ = ["MODELS", "described", "scores"]

#: Who is scored: float networks, the integer model, the Verilog.
MODELS = ("dense", "pruned", "fixed", "rtl")


def described(answers: Answers, data: SequenceData, names: Sequence[str] = ()) -> dict[str, Any]:
    """What is scored, and the integer model's score taken apart; classes by their names, if any."""
    found = details(answers)
    for row, name in zip(found.get("by_class", ()), names, strict=False):
        row["name"] = name
    return {
        "kind": "classes" if data.targets is None else "numbers",
        "each": "frame" if data.framewise else "sequence",
        "count": len(answers),
        **found,
    }


def scores(
    model: Model,
    data: SequenceData,
    traces: list[IntArray],
    outputs: list[IntArray] | None,
    floats: Mapping[str, Score],
    whole: tuple[Answers, SequenceData] | None,
    logits: list[IntArray] | None = None,
) -> dict[str, Any]:
    """All scores of a run.

    Parameters
    ----------
    model : Model
        With a head.
    data : SequenceData
        What was simulated, with labels or targets that mean something.
    traces : list of int64 arrays (T, D * R)
        What the integer model gives for it.
    outputs : list of int64 arrays (T, D * R), optional
        What the Verilog gave; None if it failed before the last layer.
    floats : mapping of str to Score
    whole : (Answers, SequenceData), optional
        Of the integer model, where more is scored than was simulated.
    logits : list of int64 arrays (T, O), optional
        What the Verilog made of every frame, where the head runs on the array: they are scored.

    Returns
    -------
    dict
        As ``scores`` of :data:`sparseflow.pages.report.SCHEMA`; empty if nothing counts.
    """
    models: dict[str, Any] = dict.fromkeys(MODELS)
    models |= {name: dict(score.figures) for name, score in floats.items()}
    found: dict[str, Any] = {}
    of = whole
    if data.counted:  # of a share with labels of frames, perhaps none
        fixed = answers_of(model, traces, data)
        found["fixed_simulated"] = dict(fixed.score().figures)
        of = whole or (fixed, data)
        if logits is not None:
            models["rtl"] = dict(answers_given(model, logits, data).score().figures)
        elif outputs is not None:
            models["rtl"] = dict(answers_of(model, outputs, data).score().figures)
    if of is None:
        return {}
    models["fixed"] = dict(of[0].score().figures)
    return {"models": models, **found, **described(*of, model.label_names)}
