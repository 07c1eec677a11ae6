"""Masks whose k differs from slice to slice of a matrix: what such hardware would gain.

No array runs them. A slice is some rows of one gate; each is pruned as a matrix of its own, in the
place where it lies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruning.budget.magnitude import global_goals
from pruning.mask.goals import Goal
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Schedule

__all__ = ["SlicePruner", "Slices"]

_GATES = 4


class Slices:
    """Every slice of some matrices as the weight of a linear layer that shares its memory.

    Parameters
    ----------
    module : nn.Module
    goals : mapping of str to Goal
        Of the whole matrices, each with a ``keep``: what all slices share.
    units : int, optional
        Units of a slice; by default all of a gate.
    """

    def __init__(
        self, module: nn.Module, goals: Mapping[str, Goal], units: int | None = None
    ) -> None:
        self.parts = nn.Module()
        self.places: dict[str, tuple[str, slice]] = {}
        equal = {}
        for name, goal in goals.items():
            weight = module.get_parameter(name)
            for number, rows in enumerate(_slices(len(weight), units)):
                leaf = f"{name.replace('.', '_')}_{number}"
                self.parts.add_module(leaf, _linear(weight.data[rows]))
                self.places[f"{leaf}.weight"] = name, rows
                equal[f"{leaf}.weight"] = goal
        self.goals = global_goals(self.parts, equal, sharing=lambda _: 0)

    def merged(self, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Masks of the whole matrices, of those of the slices."""
        found: dict[str, list[Tensor]] = {}
        for part, (name, _) in self.places.items():
            found.setdefault(name, []).append(masks[part])
        return {name: torch.cat(masks) for name, masks in found.items()}


def _slices(rows: int, units: int | None) -> Iterator[slice]:
    gate = rows // _GATES
    for start in range(0, rows, gate):
        for first in range(start, start + gate, units or gate):
            yield slice(first, min(first + (units or gate), start + gate))


def _linear(rows: Tensor) -> nn.Linear:
    made = nn.Linear(rows.shape[1], rows.shape[0], bias=False, device="meta")
    made.weight = nn.Parameter(rows)
    return made


class SlicePruner:
    """What :func:`pruning.tasks.training.longrun.run` needs of a pruner; for SGD.

    Parameters
    ----------
    module : nn.Module
    slices : Slices
        Of it.
    schedule : Schedule
    """

    def __init__(self, module: nn.Module, slices: Slices, schedule: Schedule) -> None:
        self.module, self.slices = module, slices
        self.inner = Pruner(slices.parts, slices.goals, schedule)
        for name in {name for name, _ in slices.places.values()}:
            register: Any = module.get_parameter(name).register_post_accumulate_grad_hook
            register(self._arrived(name))

    def _arrived(self, name: str) -> Any:
        """Clipping mixes gradients: those of pruned weights must not count."""

        def zero(weight: Tensor) -> None:
            assert weight.grad is not None
            for part, (whole, rows) in self.slices.places.items():
                if whole == name:
                    weight.grad[rows] *= self.inner.mask(part)

        return torch.no_grad()(zero)

    def step(self) -> bool:
        """Count one training step; see :meth:`pruning.mask.pruner.Pruner.step`."""
        return self.inner.step()

    def squash(self) -> nn.Module:
        """The module: it has no masks."""
        self.inner.squash()  # which refuses a schedule that is not at its end
        return self.module

    def state_dict(self) -> dict[str, Any]:
        """Of the slices."""
        return self.inner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as after :meth:`state_dict`."""
        self.inner.load_state_dict(state)
