"""One number of stored weights for matrices that an array runs alike: k where magnitude is.

Equal k everywhere takes as much from a matrix of large weights as from one of small ones. Here
matrices with equally many rows share what equal k would store, and each gets the k that keeps
most of the sum of squared weights. An array takes ``rows / M`` slots of every such matrix, so the
same sum of entries is the same cycles; no data and no gradient is needed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..mask.budget import ranked_sums
from ..mask.goals import Goal, naming, resolve, whole_of
from ..mask.layers import Matrix
from ..mask.views import Layout, View, check_score

__all__ = ["Share", "Sharing", "alike", "global_goals", "kept", "sharers"]

_Reals = npt.NDArray[np.float64]
Sharing = Callable[[Matrix], Hashable]
_GATES = ("weight_ih", "weight_hh")


def alike(matrix: Matrix) -> Hashable:
    """What matrices have in common that share a budget: an array takes as many slots of each."""
    return matrix.shape[0], "gates" if matrix.kind in _GATES else matrix.kind


@dataclass(frozen=True)
class Share:
    """A matrix that wants its part.

    Parameters
    ----------
    name : str
    cost : int
        Stored entries of one unit in every group, padding included.
    gains : float64 array (units,)
        Squared weights that the first, second, ... unit of every group adds; never rises.
    least, equal : int
        Units per group: the fewest, and what equal k takes.
    wanted : Fraction
        Units per group that the request comes to, whole or not.
    """

    name: str
    cost: int
    gains: _Reals
    least: int
    equal: int
    wanted: Fraction


def global_goals(
    module: nn.Module,
    goals: Mapping[str, Goal],
    least: Mapping[str, int] | None = None,
    sharing: Sharing = alike,
) -> dict[str, Goal]:
    """Let matrices share the weights that they keep, by the magnitudes that they have now.

    Parameters
    ----------
    module : nn.Module
        Trained; left as it is.
    goals : mapping of str to Goal
        By parameter name. The numbers to keep are summed up over the matrices that share; a
        sparsity asks for a number that need not be whole in any of them. Nothing is stored
        beyond what the goals would store as they are, each for itself.
    least : mapping of str to int, optional
        Fewest units per group, by name; by default 1.
    sharing : callable
        Matrices of which it says the same share.

    Returns
    -------
    dict of str to Goal
        The same views, by the same names, each with a ``keep`` of its own: of all that store at
        most the nearest whole number to the request, those that keep the largest sum of squares.

    Raises
    ------
    UnprunableError, UnreachableError, ValueError
        As :class:`pruning.mask.pruner.Pruner` does of the goals, or for weights that are not
        finite.
    """
    keep: dict[str, int] = {}
    for shares in sharers(module, goals, least, sharing):
        keep |= _allotted(shares)
    matrices, chosen = resolve(module, goals)
    return {name: kept(chosen[name], keep[name]) for name in matrices}


def sharers(
    module: nn.Module,
    goals: Mapping[str, Goal],
    least: Mapping[str, int] | None = None,
    sharing: Sharing = alike,
) -> list[list[Share]]:
    """Matrices that share with each other, as :func:`global_goals` sees them."""
    matrices, chosen = resolve(module, goals)
    found: dict[Hashable, list[Share]] = defaultdict(list)
    for name, matrix in matrices.items():
        share = _share(module.get_parameter(name), matrix, chosen[name], (least or {}).get(name, 1))
        found[sharing(matrix)].append(share)
    return list(found.values())


def kept(goal: Goal, keep: int) -> Goal:
    """The goal with a number to keep; its report still says what sparsity was asked for."""
    return replace(goal, sparsity=None, keep=keep, asked=goal.sparsity or goal.asked)


@torch.no_grad()
def _share(weight: nn.Parameter, matrix: Matrix, goal: Goal, least: int) -> Share:
    equal, layout = whole_of(matrix, goal), goal.view.layout(*matrix.shape)
    with naming(matrix.name):
        gains = _gains(goal.view, layout, weight.detach().float())
    # A tie of the units' means may leave a step that gains more than the one before.
    falling = np.minimum.accumulate(gains)
    cost = layout.groups * layout.size
    return Share(matrix.name, cost, falling, min(least, equal), equal, _wanted(layout, goal))


def _gains(view: View, layout: Layout, weight: Tensor) -> _Reals:
    check_score(weight)
    # A power of two, which changes no digit: squares of float32 leave float32 from 1e19 on.
    exponent = min(max(math.frexp(float(weight.abs().max()))[1], -126), 126)
    weight = weight * 2.0**-exponent
    return _sums(view, layout, weight) * 4.0**exponent


def _sums(view: View, layout: Layout, weight: Tensor) -> _Reals:
    if layout.size > 1:
        return ranked_sums(view, weight, weight.square())
    # Of single weights the ranks are those of what is summed up: NumPy sorts several times faster.
    squares = view.group(weight.square(), 0.0)[..., 0].cpu().numpy()
    falling: _Reals = np.sort(squares, axis=-1).sum(0, dtype=np.float64)[::-1]
    return falling


def _wanted(layout: Layout, goal: Goal) -> Fraction:
    """Units per group that would keep what is asked, were they no whole ones; at least 1."""
    if goal.sparsity is None:
        return Fraction(goal.keep or 1)
    weights = layout.kept(layout.units) * (1 - Fraction(repr(float(goal.sparsity))))
    near = layout.nearest(goal.sparsity)
    low = near if layout.kept(near) <= weights else max(1, near - 1)
    step = layout.kept(low + 1) - layout.kept(low)
    return low + max(Fraction(0), (weights - layout.kept(low)) / step if step else Fraction(0))


def _allotted(shares: list[Share]) -> dict[str, int]:
    """Units per group of matrices that share, by name."""
    grain = math.gcd(*(share.cost for share in shares))
    wanted = math.floor(sum(share.cost * share.wanted for share in shares) / grain + Fraction(1, 2))
    room = min(wanted, sum(share.cost * share.equal for share in shares) // grain)
    room -= sum(share.cost * share.least for share in shares) // grain
    alone = {share.cost for share in shares} == {grain}
    more = (_dearest if alone else _packed)(shares, max(0, room), grain)
    return {share.name: share.least + extra for share, extra in zip(shares, more, strict=True)}


def _dearest(shares: list[Share], room: int, grain: int) -> list[int]:
    """The units that gain most, where one costs as much as another; the first among equals."""
    gains = [share.gains[share.least :] for share in shares]
    owner = np.repeat(np.arange(len(shares)), [len(each) for each in gains])
    taken = np.argsort(-np.concatenate(gains), kind="stable")[:room]
    counts: list[int] = np.bincount(owner[taken], minlength=len(shares)).tolist()
    return counts


def _packed(shares: list[Share], room: int, grain: int) -> list[int]:
    """The best of all ways to fill the room, where units cost differently."""
    best, choices = np.zeros(room + 1), []
    for share in shares:
        step = share.cost // grain
        gained = np.concatenate([[0.0], np.cumsum(share.gains[share.least :])])
        found, units = best.copy(), np.zeros(room + 1, np.int64)
        for extra in range(1, min(len(gained) - 1, room // step) + 1):
            offered = best[: room + 1 - extra * step] + gained[extra]
            better = offered > found[extra * step :]
            found[extra * step :][better] = offered[better]
            units[extra * step :][better] = extra
        best = found
        choices.append(units)
    return _read_back(choices, [share.cost // grain for share in shares], room)


def _read_back(choices: list[npt.NDArray[np.int64]], steps: list[int], room: int) -> list[int]:
    more = [0] * len(steps)
    for at in reversed(range(len(steps))):
        more[at] = int(choices[at][room])
        room -= more[at] * steps[at]
    return more
