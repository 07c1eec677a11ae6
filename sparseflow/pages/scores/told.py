"""What was scored, in words: how many of how many, by which model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["partly", "told"]


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
