"""One number of stored weights for all gates: k of each gate of each matrix where magnitude is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from torch import nn

from csb_format.cells.cell import Cell

from ..cells import RECURRENT, cell_of
from ..mask.goals import Goal, resolve, whole_of
from ..mask.layers import find
from ..mask.views import Banks
from .gate_banks import GateBanks
from .magnitude import kept
from .slices import Slices

__all__ = ["gate_goals", "gates_of"]

_CELLS = (*RECURRENT, nn.LSTMCell, nn.GRUCell)


def gate_goals(
    module: nn.Module, goals: Mapping[str, Goal], fixed: Collection[str] = ()
) -> dict[str, Goal]:
    """Let all gates of matrices with equally many rows share what these matrices keep.

    Parameters
    ----------
    module : nn.Module
        Trained; left as it is.
    goals : mapping of str to Goal
        By parameter name: what they come to together, all gates share, and store nothing
        beyond. Those of no cell's gates, or in no banks, keep what they say.
    fixed : collection of str
        Matrices that keep what their own goals say.

    Returns
    -------
    dict of str to Goal
        :class:`.GateBanks` where the gates of a matrix keep different numbers.
    """
    matrices, chosen = resolve(module, goals)
    own = {find(module, name).name for name in fixed}
    found = {name: kept(chosen[name], whole_of(m, chosen[name])) for name, m in matrices.items()}
    sharing: dict[tuple[int, int], dict[str, Goal]] = {}
    for name, gates in _gates(module).items():
        if name in found and name not in own and isinstance(found[name].view, Banks):
            rows = matrices[name].shape[0]
            sharing.setdefault((gates, rows), {})[name] = chosen[name]
    for (gates, _), shared in sharing.items():
        slices = Slices(module, shared, gates=gates)
        for name, parts in _parts(slices).items():
            found[name] = _goal(shared[name], parts)
    return found


def _gates(module: nn.Module) -> dict[str, int]:
    """Gates of every matrix of a cell's gates, by its name."""
    found = {}
    for path, part in module.named_modules():
        if isinstance(part, _CELLS):
            for name, weight in part.named_parameters(recurse=False):
                if weight.ndim == 2 and name.startswith(("weight_ih", "weight_hh")):
                    found[f"{path}.{name}" if path else name] = gates_of(part)
    return found


def gates_of(part: nn.Module) -> int:
    """Gates of a recurrent module or a cell; 0 of any other module."""
    if not isinstance(part, _CELLS):
        return 0
    if isinstance(part, RECURRENT):
        cell: type[Cell] = cell_of(part)
        return len(cell.gate_names)
    return 4 if isinstance(part, nn.LSTMCell) else 3


def _parts(slices: Slices) -> dict[str, list[int]]:
    """Of each matrix k of its gates, from the first row on."""
    found: dict[str, list[int]] = {}
    for part, (name, _) in slices.places.items():
        found.setdefault(name, []).append(slices.goals[part].keep or 0)
    return found


def _goal(goal: Goal, parts: list[int]) -> Goal:
    most = max(parts)
    if min(parts) == most:
        return kept(goal, most)
    view = goal.view
    assert isinstance(view, Banks)
    fewer = tuple(most - k for k in parts)
    return replace(kept(goal, most), view=GateBanks(view.count, view.width, fewer))
