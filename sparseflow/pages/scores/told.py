"""What was scored, in words: how many of how many, by which model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pruning.tasks.data.datasets import SequenceData

__all__ = ["all_of", "dense_of_increments", "in_words", "partly", "told"]


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


def told(accuracy: Mapping[str, float | None], scored: Mapping[str, Any]) -> list[str]:
    """Accuracy of integers and Verilog, with what of how much was scored by whom, a line each.

    Parameters
    ----------
    accuracy : mapping
        ``fixed`` and ``rtl``; what was not measured is not told.
    scored : mapping
        As in :class:`sparseflow.pages.measured.Run`, and ``fixed_simulated``.
    """
    total, count, lines = scored["sequences"], scored["simulated"], []
    frames, few = (_frames(scored, name) for name in ("counted", "counted_simulated"))
    if (fixed := accuracy["fixed"]) is not None:
        lines += [f"accuracy: {fixed:.2%}, integer model, {frames}{total} of {total} sequences"]
    if (rtl := accuracy["rtl"]) is not None:
        same = f"; the integer model {scored['fixed_simulated']:.2%} there" * partly(scored)
        lines += [f"accuracy: {rtl:.2%}, Verilog, {few}{count} of {total} sequences{same}"]
    return lines


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
