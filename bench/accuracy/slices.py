"""Training with masks whose k differs from slice to slice of a matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruning.budget.slices import Slices
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Schedule

__all__ = ["SlicePruner"]


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
