"""Scores in the report's table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pruning.tasks.scores.score import in_words

from .told import classes_in_words, partly
from .told import in_words as scored_in_words

__all__ = ["NAMES", "rows", "worst_output"]

#: Models in words.
NAMES = {"dense": "dense", "pruned": "pruned", "fixed": "integers", "rtl": "Verilog"}


def rows(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Figure and value: accuracy or errors of every model, and what was scored."""
    scored, scores = report.get("scored"), report.get("scores")
    few = scored is not None and partly(scored)
    on = f" (on {scored['simulated']:,} sequences)" if scored is not None and few else ""
    if scores is None or scores["kind"] == "classes":
        each = ", ".join(f"{_share(report['accuracy'][key])} {NAMES[key]}" for key in NAMES)
        yield "accuracy", each + on
    if scores is not None:
        yield from _of_scores(scores, on)
    if scored is not None:
        yield "scored", scored_in_words(scored)


def _of_scores(scores: Mapping[str, Any], on: str) -> Iterator[tuple[str, str]]:
    models = {key: each for key, each in scores["models"].items() if each is not None}
    if scores["kind"] == "numbers":
        for key, each in models.items():
            yield f"score, {NAMES[key]}", in_words(each) + on * (key == "rtl")
        yield from worst_output(scores)
    elif any("perplexity" in each for each in models.values()):
        each = (f"{found['perplexity']:.4g} {NAMES[key]}" for key, found in models.items())
        yield "perplexity", ", ".join(each) + on * ("rtl" in models)
    if (classes := classes_in_words(scores)) is not None:
        yield "right by class", f"{classes}, integers"


def worst_output(scores: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The output with the least R2, where there are several."""
    outputs = [each for each in scores.get("by_output", ()) if each["r2"] is not None]
    if len(outputs) > 1:
        least = min(outputs, key=lambda each: float(each["r2"]))
        yield "worst output", f"number {least['output']}: {in_words(least)}"


def _share(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2%}"
