"""Masks that may still move while pruned weights decay: SR-STE (Zhou et al., ICLR'21)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pruning.mask.goals import Goal
from pruning.mask.views import pattern_mask

__all__ = ["DecayedPruner"]

_DECAY = 2e-4  # of a pruned weight, times the learning rate, as the paper has it
_EVERY = 10  # steps from mask to mask


class DecayedPruner:
    """Full sparsity from the first step on; until ``until`` the pruned weights live on unseen.

    The network computes with the masked weights, the gradient goes to all of them, and those
    that are pruned decay. What :func:`pruning.tasks.training.longrun.run` needs of a pruner.

    Parameters
    ----------
    module : nn.Module
    goals : mapping of str to Goal
        Each with a ``keep``.
    optimizer : Optimizer
        Of plain SGD.
    until : int
        Steps; after them the masks stay, as those of the other ways.
    """

    def __init__(
        self, module: nn.Module, goals: Mapping[str, Goal], optimizer: Optimizer, until: int
    ) -> None:
        self.module, self.goals, self.optimizer, self.until = module, goals, optimizer, until
        self.position = 0
        self.hidden = {n: module.get_parameter(n).detach().clone() for n in goals}
        self.masks = {name: self._mask(name) for name in goals}
        for name in goals:
            register: Any = module.get_parameter(name).register_post_accumulate_grad_hook
            register(self._arrived(name))
        self._show()

    def _mask(self, name: str) -> Tensor:
        goal = self.goals[name]
        return pattern_mask(goal.view, self.hidden[name].abs(), goal.keep or 0)

    def _arrived(self, name: str) -> Any:
        """Once the masks stay, gradients of pruned weights must not count in the clipping."""

        def zero(weight: Tensor) -> None:
            if self.position >= self.until and weight.grad is not None:
                weight.grad *= self.masks[name]

        return torch.no_grad()(zero)

    @torch.no_grad()
    def _show(self) -> None:
        for name, hidden in self.hidden.items():
            self.module.get_parameter(name).copy_(hidden * self.masks[name])

    @torch.no_grad()
    def step(self) -> bool:
        """Count one step of the optimizer."""
        self.position += 1
        if self.position > self.until:
            for name, mask in self.masks.items():
                self.module.get_parameter(name).mul_(mask)
            return False
        rate = self.optimizer.param_groups[0]["lr"]
        for name, hidden in self.hidden.items():
            mask = self.masks[name]
            moved = self.module.get_parameter(name) - hidden * mask
            hidden += moved - rate * _DECAY * hidden * ~mask
        if self.position % _EVERY == 0 or self.position == self.until:
            self.masks = {name: self._mask(name) for name in self.goals}
        self._show()
        return True

    def squash(self) -> nn.Module:
        """The module, its pruned weights zero: it has no masks of its own."""
        assert self.position >= self.until, "the masks still move: train for longer"
        return self.module

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs besides module and optimizer."""
        hidden = {name: value.clone() for name, value in self.hidden.items()}
        masks = {name: mask.clone() for name, mask in self.masks.items()}
        return {"position": self.position, "hidden": hidden, "masks": masks}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as after :meth:`state_dict`."""
        self.position = state["position"]
        for name, hidden in self.hidden.items():
            hidden.copy_(state["hidden"][name])
            self.masks[name] = state["masks"][name].to(hidden.device)
