"""Patterns by name, and the same sparsity for all of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning.mask.goals import Goal, n_of_m
from pruning.mask.layers import matrices
from pruning.mask.views import Banks, Blocks, Layout, Unstructured, View, pattern_mask

__all__ = [
    "PATTERNS",
    "SPARSITIES",
    "equal_goals",
    "fitting",
    "lstm_shapes",
    "retained_energy",
    "view_of",
]

SPARSITIES = (0.5, 0.6, 0.7, 0.8, 0.875, 0.9)
# The smallest groups that give the sparsity, but 2:4, which GPUs have.
_N_OF_M = {0.5: (2, 4), 0.6: (2, 5), 0.7: (3, 10), 0.8: (1, 5), 0.875: (1, 8), 0.9: (1, 10)}
_VIEWS: dict[str, View] = {
    "unstructured": Unstructured(),
    "1 bank": Banks(1),
    "8 banks": Banks(8),
    **{f"banks of {width}": Banks(width=width) for width in (25, 50, 100, 8, 16, 32, 64)},
    "blocks 4x4": Blocks(4, 4),
    "blocks 8x8": Blocks(8, 8),
}
# To find out which of the matrices banks cost something in.
_PARTLY = {"banks in W_ih only": "weight_ih", "banks in W_hh only": "weight_hh"}
PATTERNS = (*_VIEWS, "N:M", *_PARTLY)


def view_of(pattern: str, sparsity: float) -> View:
    """The view of a pattern; only that of ``N:M`` depends on the sparsity."""
    return Banks(width=_N_OF_M[sparsity][1]) if pattern == "N:M" else _VIEWS[pattern]


def fitting(shapes: Mapping[str, tuple[int, int]]) -> list[str]:
    """Patterns whose banks are no wider than a matrix."""
    narrowest = min(columns for _, columns in shapes.values())
    widths = {name: getattr(view, "width", None) or 1 for name, view in _VIEWS.items()}
    return [name for name in PATTERNS if widths.get(name, 1) <= narrowest]


def lstm_shapes(module: nn.Module) -> dict[str, tuple[int, int]]:
    """Matrices of the LSTM, which are the ones pruned, recurrent ones first."""
    found = {n: m.shape for n, m in matrices(module).items() if n.startswith("lstm.")}
    return {n: found[n] for n in sorted(found, key=lambda n: ("weight_ih" in n, n))}


def equal_goals(
    shapes: Mapping[str, tuple[int, int]], pattern: str, sparsity: float, main: str
) -> dict[str, Goal]:
    """Whole numbers to keep in every matrix, the same sparsity for all patterns.

    Parameters
    ----------
    shapes : mapping of str to (int, int)
        Of the matrices, by name.
    pattern : str
        One of ``PATTERNS``.
    sparsity : float
        One of ``SPARSITIES``, for all matrices together.
    main : str
        The pattern that the others follow, matrix by matrix: what whole numbers of weights
        in its banks reach is what they aim at. ``N:M`` alone has a sparsity of its own.
    """
    if pattern == "N:M":
        return dict.fromkeys(shapes, n_of_m(*_N_OF_M[sparsity]))
    if pattern in _PARTLY:
        both = [equal_goals(shapes, p, sparsity, main) for p in (main, "unstructured")]
        return {n: both[_PARTLY[pattern] not in n][n] for n in shapes}
    wanted = dict.fromkeys(shapes, sparsity)
    goals = _nearest_goals(shapes, view_of(main, sparsity), wanted)
    if pattern == main:
        return goals
    for name, goal in goals.items():
        wanted[name] = goal.view.layout(*shapes[name]).sparsity(goal.keep or 0)
    return _nearest_goals(shapes, view_of(pattern, sparsity), wanted)


def _nearest_goals(
    shapes: Mapping[str, tuple[int, int]], view: View, wanted: Mapping[str, float]
) -> dict[str, Goal]:
    """Numbers whose total is nearest.

    With 25 weights in a bank, 70 % lies between 7 and 8 kept. Every matrix gets the smaller
    number, then one after the other gets the larger one while that brings the total nearer.
    """
    layouts = {name: view.layout(*shape) for name, shape in shapes.items()}
    keep = {name: _fewer(layouts[name], share) for name, share in wanted.items()}

    def miss() -> float:
        kept = sum(_weights(layouts[n], shapes[n], k) for n, k in keep.items())
        return abs(kept - sum((1 - wanted[n]) * r * c for n, (r, c) in shapes.items()))

    for name in keep:
        before = miss()
        keep[name] += 1
        if miss() >= before:
            keep[name] -= 1
    return {name: Goal(view, keep=k) for name, k in keep.items()}


def _fewer(layout: Layout, sparsity: float) -> int:
    """The most units per group that leave at least this sparsity; at least 1."""
    near = layout.nearest(sparsity)
    return near if layout.sparsity(near) >= sparsity - 1e-9 else max(1, near - 1)


def _weights(layout: Layout, shape: tuple[int, int], keep: int) -> float:
    return (1 - layout.sparsity(min(keep, layout.units))) * shape[0] * shape[1]


def retained_energy(module: nn.Module, goals: Mapping[str, Goal]) -> tuple[float, float]:
    """Share of the sum of squared weights that the masks keep, and the sparsity of the masks."""
    kept = whole = weights = count = 0.0
    for name, goal in goals.items():
        weight: Tensor = module.get_parameter(name).detach().double()
        assert goal.keep is not None
        mask = pattern_mask(goal.view, weight.abs(), goal.keep)
        kept += float(weight.square()[mask].sum())
        whole += float(weight.square().sum())
        weights += float(mask.sum())
        count += torch.numel(mask)
    return kept / whole, 1 - weights / count
