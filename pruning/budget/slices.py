"""Matrices cut into slices of rows, each with a k of its own: what gates, or parts of them, gain.

Of gates :mod:`pruning.budget.gates` makes goals; no array runs smaller slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from ..mask.goals import Goal, naming
from ..mask.views import check_score
from .magnitude import global_goals

__all__ = ["LSTM_GATES", "Slices", "held"]

LSTM_GATES = 4


class Slices:
    """Every slice of some matrices as the weight of a linear layer that shares its memory.

    Parameters
    ----------
    module : nn.Module
    goals : mapping of str to Goal
        Of the whole matrices: what they come to together, all slices share.
    units : int, optional
        Units of a slice; by default all of a gate.
    gates : int
        Of each matrix, above each other.
    """

    def __init__(
        self,
        module: nn.Module,
        goals: Mapping[str, Goal],
        units: int | None = None,
        gates: int = LSTM_GATES,
    ) -> None:
        self.places: dict[str, tuple[str, slice]] = {}
        cut: dict[str, Tensor] = {}
        equal = {}
        for name, goal in goals.items():
            weight = module.get_parameter(name)
            with naming(name):
                check_score(weight.detach())
            for rows in _cuts(len(weight), units, gates):
                part = f"{name}:{rows.start}"
                cut[part] = weight.data[rows]
                self.places[layer_name(part)] = name, rows
                equal[layer_name(part)] = goal
        self.parts = held(cut)
        self.goals = global_goals(self.parts, equal, sharing=lambda _: 0)

    def merged(self, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Masks of the whole matrices, of those of the slices."""
        found: dict[str, list[Tensor]] = {}
        for part, (name, _) in self.places.items():
            found.setdefault(name, []).append(masks[part])
        return {name: torch.cat(masks) for name, masks in found.items()}


def _cuts(rows: int, units: int | None, gates: int) -> Iterator[slice]:
    gate = rows // gates
    for start in range(0, rows, gate):
        for first in range(start, start + gate, units or gate):
            yield slice(first, min(first + (units or gate), start + gate))


def held(tensors: Mapping[str, Tensor]) -> nn.Module:
    """A module whose linear layers have some matrices as their weights, in the same memory.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Shape (R, C) each; ``layer_name`` says what a parameter is called.
    """
    module = nn.Module()
    for name, tensor in tensors.items():
        layer = nn.Linear(tensor.shape[1], tensor.shape[0], bias=False, device="meta")
        layer.weight = nn.Parameter(tensor)
        module.add_module(layer_name(name).removesuffix(".weight"), layer)
    return module


def layer_name(name: str) -> str:
    """The parameter of :func:`held` that has a matrix of this name."""
    return f"{name.replace('.', '/')}.weight"
