"""How sparsity grows: Algorithm 1 of Cao et al. (FPGA'19) in whole weights per bank."""

from __future__ import annotations

from collections.abc import Mapping

from csb_format.geometry import Geometry

__all__ = ["increments", "plan"]


def increments(target: Geometry, steps: int) -> tuple[int, ...]:
    """Weights per bank, from nearly dense to the target.

    Sparsity grows in ``steps`` equal increments; each is rounded to the nearest whole
    number of weights per bank, and repeated numbers are skipped.

    Parameters
    ----------
    target : Geometry
        Where to end.
    steps : int
        Increments of sparsity, at least 1.

    Returns
    -------
    tuple of int
        Strictly decreasing, 1 to ``steps`` of them, the last is ``target.nonzeros``.
    """
    return tuple(dict.fromkeys(_ladder(target, steps)))


def plan(targets: Mapping[str, Geometry], steps: int) -> tuple[dict[str, int], ...]:
    """Lay the increments of several matrices side by side.

    Parameters
    ----------
    targets : Mapping[str, Geometry]
        By parameter name.
    steps : int
        Increments of sparsity, at least 1.

    Returns
    -------
    tuple of dict
        Each maps every name to weights per bank, for ``BankBalancedPruner.prune``;
        increments that change nothing are skipped; the last is the target.
    """
    ladders = {name: _ladder(target, steps) for name, target in targets.items()}
    rungs = [{name: ladder[j] for name, ladder in ladders.items()} for j in range(steps)]
    return tuple(rung for j, rung in enumerate(rungs) if j == 0 or rung != rungs[j - 1])


def _ladder(target: Geometry, steps: int) -> list[int]:
    if steps < 1:
        raise ValueError(f"{steps} increments of sparsity: must be at least 1")
    shares = [target.sparsity * step / steps for step in range(1, steps)]
    return [_keep(target, share) for share in shares] + [target.nonzeros]


def _keep(target: Geometry, sparsity: float) -> int:
    near = Geometry.nearest(target.rows, target.columns, target.banks, sparsity)
    return max(near.nonzeros, target.nonzeros)
