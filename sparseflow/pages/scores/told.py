"""What was scored, in words: how many of how many, by which model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.scores.score import in_words as score_in_words

__all__ = ["all_of", "classes_in_words", "dense_of_increments", "in_words", "partly", "told"]

_SHOWN = 20  # classes on a line


def all_of(data: SequenceData) -> str:
    """All of labelled data, in words."""
    frames = f"{data.counted:,} frames of " if data.framewise else ""
    named = f" of {data.file}" if data.file else ""
    return f"{frames}{len(data)} of {len(data)} sequences{named}"


def _frames(scored: Mapping[str, Any], name: str) -> str:
    """How many frames count, where there is a label for each; their sequences follow."""
    return f"{scored[name]:,} frames of " if name in scored else ""


def partly(scored: Mapping[str, Any]) -> bool:
    """Whether less was simulated than is scored."""
    return int(scored["simulated"]) < int(scored["sequences"])


def told(found: Mapping[str, Any]) -> list[str]:
    """Scores of integers and Verilog, with what of how much was scored by whom, a line each.

    Parameters
    ----------
    found : mapping
        ``scored``, and ``scores`` where something was scored, as
        :data:`sparseflow.pages.report.SCHEMA` has them.
    """
    if "scores" not in found:
        return []
    scored, scores, lines = found["scored"], found["scores"], []
    total, count = scored["sequences"], scored["simulated"]
    frames, few = (_frames(scored, name) for name in ("counted", "counted_simulated"))
    what = "accuracy" if scores["kind"] == "classes" else "score"
    models = {name: score_in_words(each) for name, each in scores["models"].items() if each}
    if "fixed" in models:
        lines += [f"{what}: {models['fixed']}, integer model, {frames}{total} of {total} sequences"]
    if "rtl" in models:
        fixed = score_in_words(scores["fixed_simulated"])
        same = f"; the integer model {fixed} there" * partly(scored)
        lines += [f"{what}: {models['rtl']}, Verilog, {few}{count} of {total} sequences{same}"]
    if (classes := classes_in_words(scores)) is not None:
        lines += [f"right by class, integers: {classes}"]
    return lines


def classes_in_words(scores: Mapping[str, Any]) -> str | None:
    """How many of each class are right, on one line; None where classes have no names."""
    rows = [row for row in scores.get("by_class", ()) if "name" in row and row["count"]]
    each = [f"{row['name']} {row['right']:,} of {row['count']:,}" for row in rows[:_SHOWN]]
    return ", ".join(each) + ", ..." * (len(rows) > _SHOWN) if each else None


def in_words(scored: Mapping[str, Any]) -> str:
    """Of how many sequences the accuracies are, by which model."""
    total, count = scored["sequences"], scored["simulated"]
    whole = f"{_frames(scored, 'counted')}all {total:,} sequences"
    if not partly(scored):
        return f"{whole}, by every model and the Verilog"
    few = f"{_frames(scored, 'counted_simulated')}{count:,}"
    text = (
        f"{whole}, but by the Verilog {few}, spread over classes and lengths "
        f"(seed {scored['seed']})"
    )
    if "fixed_simulated" not in scored:
        return text
    return f"{text}; on these the integers have {scored['fixed_simulated']:.2%}"


def dense_of_increments(report: Mapping[str, Any]) -> float | None:
    """Accuracy of the dense network on what the increments were scored on."""
    other = report.get("increments_of")
    found = report["accuracy"]["dense"] if other is None else other["dense"]
    return None if found is None else float(found)
