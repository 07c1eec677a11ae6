"""What is taken where nobody says otherwise: widths of numbers, banks and sparsity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["Balance", "Precision"]


@dataclass(frozen=True)
class Precision:
    """How numbers are quantised.

    Parameters
    ----------
    value_bits : int
        Width of a weight, 4..18.
    act_bits : int
        Width of inputs, hidden and projected states, 6..18.
    per_gate : bool
        Gates i, f, g, o of a matrix have a format each.
    percentile : float
        Percent of magnitudes that formats hold, 50..100.
    reach : int
        Pre-activations, biases and the cell state of an LSTM lie in [-reach, reach): a power of
        two, 8..128.
    """

    value_bits: int = 16
    act_bits: int = 16
    per_gate: bool = False
    percentile: float = 100.0
    reach: int = 16

    #: Least and most of each, both included.
    value_range: ClassVar[tuple[int, int]] = (4, 18)
    act_range: ClassVar[tuple[int, int]] = (6, 18)
    percentile_range: ClassVar[tuple[float, float]] = (50, 100)
    reaches: ClassVar[tuple[int, ...]] = (8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Balance:
    """How matrices are pruned.

    Parameters
    ----------
    banks : int
        Of every row.
    sparsity : float
        Share of weights to remove, 0..1.
    keep_energy : float
        Least share of the present L2 energy that suggested banks keep, 0..1.
    budget : {"global", "gate", "equal"}
        Whether matrices that an array runs alike share their weights by magnitude, each with a
        k of its own in as many cycles; or their gates do, each with its own k, for arrays that
        run gates one after the other; or each keeps what the sparsity says of it.
    """

    banks: int = 8
    sparsity: float = 0.875
    keep_energy: float = 0.95
    budget: str = "global"

    #: What ``budget`` may be.
    budgets: ClassVar[tuple[str, ...]] = ("global", "gate", "equal")
