"""One number of weights for a whole module, spread over its matrices by sensitivity."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from csb_format.fixed import IntArray

from .goals import Goal, UnreachableError
from .layers import Matrix, find
from .views import Layout, View, check_score, pattern_mask, unit_scores

__all__ = ["Budget", "Share", "ranked_sums", "spread"]

Loss = Callable[[nn.Module], Tensor]
_Reals = npt.NDArray[np.float64]
_PROBES = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4)


@dataclass(frozen=True)
class Share:
    """What one matrix gets of a budget.

    Parameters
    ----------
    name : str
    keep, units : int
        Units kept in every group, and how many a group has.
    sparsity : float
        Share of its weights that is pruned.
    increase : float
        Expected increase of the loss by that, in the unit of the loss.
    """

    name: str
    keep: int
    units: int
    sparsity: float
    increase: float


@dataclass(frozen=True)
class Budget:
    """A budget that is spread.

    Parameters
    ----------
    goals : dict of str to Goal
        For :class:`pruning.mask.pruner.Pruner`.
    shares : tuple of Share
        One a matrix, for a report.
    asked, achieved : float
        Sparsity of all matrices together.
    """

    goals: dict[str, Goal]
    shares: tuple[Share, ...]
    asked: float
    achieved: float


@dataclass
class _Curve:
    """Expected loss increase of a matrix, and its weights, by k (index 0 is k = 1)."""

    name: str
    view: View
    layout: Layout
    cost: _Reals
    weights: IntArray
    keep: int

    def price(self) -> float:
        """Loss per weight of the next step down."""
        at = self.keep - 1
        gained = self.weights[at] - self.weights[at - 1]
        return float((self.cost[at - 1] - self.cost[at]) / max(gained, 1))


def spread(
    module: nn.Module,
    views: Mapping[str, View],
    sparsity: float,
    loss: Loss,
    criterion: str = "measured",
    tolerance: float = 0.02,
) -> Budget:
    """Prune most where the loss feels it least, in whole units per group.

    Parameters
    ----------
    module : nn.Module
        Trained; left as it is.
    views : mapping of str to View
        By parameter name: the matrices that share the budget.
    sparsity : float
        Of all of them together, 0..1.
    loss : callable
        Module to a scalar loss, on a batch that you choose. It must not draw random numbers.
    criterion : str
        ``"measured"`` prunes one matrix at a time to several sparsities and measures the
        loss, in evaluation mode; ``"taylor"`` sums the magnitudes of weight x gradient of
        what is removed, from one backward pass.
    tolerance : float
        Largest difference between the sparsity asked for and the one achieved.

    Returns
    -------
    Budget

    Raises
    ------
    UnreachableError
        If whole units cannot come near the sparsity.
    ValueError
        For a sparsity or criterion out of range, a matrix that cannot be pruned, or a loss
        that is not finite.
    """
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity {sparsity}: must be 0 to 1, the share of weights removed")
    makers = {"measured": _measured, "taylor": _taylor}
    if criterion not in makers:
        raise ValueError(f"criterion {criterion!r}: choose from {', '.join(makers)}")
    found = {name: find(module, name) for name in views}
    if len({matrix.name for matrix in found.values()}) != len(found) or not found:
        raise ValueError("views: name at least one matrix, and each shared matrix once")
    costs = makers[criterion](module, views, loss)
    curves = [_curve(found[name], views[name], cost) for name, cost in costs]
    _descend(curves, sparsity)
    return _budget(curves, sparsity, tolerance)


def _curve(matrix: Matrix, view: View, cost: _Reals) -> _Curve:
    layout = view.layout(*matrix.shape)
    real = matrix.shape[0] * matrix.shape[1] / layout.kept(layout.units)
    kept = [round(layout.kept(keep) * real) for keep in range(1, layout.units + 1)]
    weights = np.array(kept, np.int64)
    return _Curve(matrix.name, view, layout, _convex(weights, cost), weights, layout.units)


def _convex(weights: IntArray, cost: _Reals) -> _Reals:
    """Lower hull: a dear step before a cheap one is taken together with it."""
    hull: list[int] = []
    for at in range(len(cost)):
        while len(hull) > 1 and _above(weights, cost, hull[-2], hull[-1], at):
            hull.pop()
        hull.append(at)
    return np.interp(weights, weights[hull], cost[hull])


def _above(weights: IntArray, cost: _Reals, a: int, b: int, c: int) -> bool:
    way = (weights[b] - weights[a]) / max(weights[c] - weights[a], 1)
    return bool(cost[b] >= cost[a] + way * (cost[c] - cost[a]))


def _descend(curves: list[_Curve], sparsity: float) -> None:
    """Take the cheapest step down again and again, until the budget is met."""
    kept = sum(int(curve.weights[-1]) for curve in curves)
    wanted = kept * (1 - sparsity)
    # Equal prices: the first matrix gives first.
    heap = [(curve.price(), at) for at, curve in enumerate(curves) if curve.keep > 1]
    heapq.heapify(heap)
    while kept > wanted and heap:
        _, at = heapq.heappop(heap)
        curve = curves[at]
        step = int(curve.weights[curve.keep - 1] - curve.weights[curve.keep - 2])
        if wanted - (kept - step) > kept - wanted:
            continue
        kept, curve.keep = kept - step, curve.keep - 1
        if curve.keep > 1:
            heapq.heappush(heap, (curve.price(), at))


def _budget(curves: list[_Curve], asked: float, tolerance: float) -> Budget:
    total = sum(int(curve.weights[-1]) for curve in curves)
    achieved = 1 - sum(int(curve.weights[curve.keep - 1]) for curve in curves) / total
    if abs(achieved - asked) > tolerance:
        raise UnreachableError(
            f"sparsity {asked:.2%} of all matrices: whole units come no nearer than "
            f"{achieved:.2%}; ask for that, choose larger groups, or raise tolerance"
        )
    goals = {curve.name: Goal(curve.view, keep=curve.keep) for curve in curves}
    return Budget(goals, tuple(map(_share, curves)), asked, achieved)


def _share(curve: _Curve) -> Share:
    sparsity = 1 - int(curve.weights[curve.keep - 1]) / int(curve.weights[-1])
    cost = float(curve.cost[curve.keep - 1])
    return Share(curve.name, curve.keep, curve.layout.units, sparsity, cost)


_Costs = Iterator[tuple[str, _Reals]]


@torch.no_grad()
def _measured(module: nn.Module, views: Mapping[str, View], loss: Loss) -> _Costs:
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        dense = _value(loss, module)
        for name, view in views.items():
            yield name, _probed(module, module.get_parameter(name), view, loss, dense)
    finally:
        for part, mode in modes.items():
            part.training = mode


def _probed(module: nn.Module, weight: Tensor, view: View, loss: Loss, dense: float) -> _Reals:
    units = view.layout(*weight.shape).units
    probes = sorted({max(1, round(units * share)) for share in (0, *_PROBES)} - {units})
    before = weight.detach().clone()
    increases = []
    for keep in probes:
        weight.copy_(before * pattern_mask(view, before.abs(), keep))
        try:
            increases.append(_value(loss, module) - dense)
        finally:
            weight.copy_(before)
    # More weights never hurt: a measured gain from pruning is noise of one batch.
    rising = np.maximum.accumulate(np.array([*increases, 0.0])[::-1])[::-1]
    return np.interp(np.arange(1, units + 1), [*probes, units], rising)


def _value(loss: Loss, module: nn.Module) -> float:
    value = float(loss(module))
    if not np.isfinite(value):
        raise ValueError(f"loss {value}: train to a finite loss before spreading a budget")
    return value


def _taylor(module: nn.Module, views: Mapping[str, View], loss: Loss) -> _Costs:
    weights = [module.get_parameter(name) for name in views]
    value = loss(module)
    if not torch.isfinite(value):
        raise ValueError(f"loss {value.item()}: train to a finite loss before spreading a budget")
    gradients = torch.autograd.grad(value, weights)
    for name, weight, gradient in zip(views, weights, gradients, strict=True):
        yield name, _removed(views[name], weight.detach().float(), gradient.float())


def _removed(view: View, weight: Tensor, gradient: Tensor) -> _Reals:
    """Sum of |w g| over what is pruned, for every k."""
    costs = ranked_sums(view, weight, (weight * gradient).abs())
    gone: _Reals = np.clip(costs.sum() - np.cumsum(costs), 0, None)
    return gone


def ranked_sums(view: View, weight: Tensor, value: Tensor) -> _Reals:
    """What the largest, second largest, ... unit of every group adds up to.

    Parameters
    ----------
    view : View
    weight, value : Tensor
        Shape (R, C), float32: what ranks the units, by its magnitude, as the pruner takes
        them; and what is summed up.

    Returns
    -------
    float64 array (units,)

    Raises
    ------
    ValueError
        If a weight is not finite.
    """
    check_score(weight)
    order = unit_scores(view, weight.abs()).argsort(dim=-1, descending=True, stable=True)
    sums = view.group(value, 0.0).sum(-1).double().gather(1, order).sum(0)
    found: _Reals = sums.cpu().numpy()
    return found
