"""Patterns by name, and the same sparsity for all of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning.budget.magnitude import global_goals
from pruning.budget.slices import Slices
from pruning.mask.goals import Goal, n_of_m
from pruning.mask.layers import matrices
from pruning.mask.views import Banks, Blocks, Layout, Unstructured, View, pattern_mask

__all__ = [
    "GLOBAL",
    "PATTERNS",
    "SLICED",
    "SPARSITIES",
    "equal_goals",
    "fitting",
    "goals_of",
    "lstm_shapes",
    "plain_of",
    "retained_energy",
    "slices_of",
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
# With the weights that the pattern keeps in all matrices together where magnitude asks for them:
# k per matrix, or per gate, or per so many units of a gate of each.
_SHARED = ("unstructured", *(name for name in _VIEWS if name.startswith("banks of")), "8 banks")
_GLOBAL = ", global"
_SLICED: dict[str, int | None] = {" by gate": None, " by gate and 32 units": 32}
SLICED = tuple(f"banks of 25{by}{_GLOBAL}" for by in _SLICED)
GLOBAL = tuple(f"{name}{_GLOBAL}" for name in _SHARED)
PATTERNS = (*_VIEWS, "N:M", *_PARTLY, *GLOBAL, *SLICED)


def view_of(pattern: str, sparsity: float) -> View:
    """The view of a pattern; only that of ``N:M`` depends on the sparsity."""
    plain = plain_of(pattern)
    return Banks(width=_N_OF_M[sparsity][1]) if plain == "N:M" else _VIEWS[plain]


def plain_of(pattern: str) -> str:
    """The pattern with as many weights in every matrix."""
    name = pattern.removesuffix(_GLOBAL)
    return name.removesuffix(next((by for by in _SLICED if name.endswith(by)), ""))


def slices_of(pattern: str) -> tuple[int | None, ...]:
    """Units of the slices of a matrix (None: a gate), or nothing where matrices are whole."""
    name = pattern.removesuffix(_GLOBAL)
    return tuple(units for by, units in _SLICED.items() if name.endswith(by))


def fitting(shapes: Mapping[str, tuple[int, int]]) -> list[str]:
    """Patterns whose banks are no wider than a matrix."""
    narrowest = min(columns for _, columns in shapes.values())
    widths = {name: getattr(view, "width", None) or 1 for name, view in _VIEWS.items()}
    return [name for name in PATTERNS if widths.get(plain_of(name), 1) <= narrowest]


def lstm_shapes(module: nn.Module) -> dict[str, tuple[int, int]]:
    """Matrices of the recurrent module, which are the ones pruned, recurrent ones first."""
    own = ("lstm.", "recurrent.")
    found = {n: m.shape for n, m in matrices(module).items() if n.startswith(own)}
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


def goals_of(module: nn.Module, pattern: str, sparsity: float, main: str) -> dict[str, Goal]:
    """As :func:`equal_goals`; what a global pattern shares goes by the magnitudes of a module.

    Of a pattern that slices matrices the goals are those of the whole matrices still.
    """
    shapes = lstm_shapes(module)
    if pattern == plain_of(pattern):
        return equal_goals(shapes, pattern, sparsity, main)
    equal = equal_goals(shapes, plain_of(pattern), sparsity, main)
    return equal if slices_of(pattern) else global_goals(module, equal)


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


def retained_energy(
    module: nn.Module, pattern: str, sparsity: float, main: str
) -> tuple[float, float]:
    """Share of the sum of squared weights that the masks keep, and the sparsity of the masks."""
    kept = whole = weights = count = 0.0
    for name, mask in _masks(module, pattern, sparsity, main).items():
        squares = module.get_parameter(name).detach().double().square()
        kept += float(squares[mask].sum())
        whole += float(squares.sum())
        weights += float(mask.sum())
        count += torch.numel(mask)
    return kept / whole, 1 - weights / count


def _masks(module: nn.Module, pattern: str, sparsity: float, main: str) -> dict[str, Tensor]:
    goals = goals_of(module, pattern, sparsity, main)
    for units in slices_of(pattern):
        slices = Slices(module, goals, units)
        return slices.merged({n: _mask(slices.parts, n, g) for n, g in slices.goals.items()})
    return {name: _mask(module, name, goal) for name, goal in goals.items()}


def _mask(module: nn.Module, name: str, goal: Goal) -> Tensor:
    weight = module.get_parameter(name).detach()
    return pattern_mask(goal.view, weight.double().abs(), goal.keep or 0)
