"""What was scored, in words: how many of how many, by which model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["dense_of_increments", "in_words", "partly", "told"]


def partly(scored: Mapping[str, Any]) -> bool:
    """Whether less was simulated than is scored."""
    return int(scored["simulated"]) < int(scored["sequences"])


def told(accuracy: Mapping[str, float | None], scored: Mapping[str, Any]) -> list[str]:
    """Accuracy of integers and Verilog, with what of how much was scored by whom, a line each.

    Parameters
    ----------
    accuracy : mapping
        ``fixed`` and ``rtl``; nothing is told where one was not measured.
    scored : mapping
        As in :class:`sparseflow.pages.measured.Run`, and ``fixed_simulated``.
    """
    if accuracy["fixed"] is None or accuracy["rtl"] is None:
        return []
    total, count = scored["sequences"], scored["simulated"]
    same = f"; the integer model {scored['fixed_simulated']:.2%} there" * partly(scored)
    return [
        f"accuracy: {accuracy['fixed']:.2%}, integer model, {total} of {total} sequences",
        f"accuracy: {accuracy['rtl']:.2%}, Verilog, {count} of {total} sequences{same}",
    ]


def in_words(scored: Mapping[str, Any]) -> str:
    """Of how many sequences the accuracies are, by which model."""
    total, count = scored["sequences"], scored["simulated"]
    if not partly(scored):
        return f"all {total:,} sequences, by every model and the Verilog"
    text = (
        f"all {total:,} sequences, but by the Verilog {count:,}, spread over classes and lengths "
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
