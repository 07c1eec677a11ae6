"""The state of a pruner, to go on bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from csb_format.csb import UnbalancedError

from .goals import Goal
from .layers import Matrix
from .schedule import Regrowth, Schedule
from .scores import Score
from .views import check_pattern

__all__ = ["FORMAT", "ResumeError", "restore", "state_of"]

FORMAT = 1


class ResumeError(ValueError):
    """A state that does not belong to this pruner."""


class Resumable(Protocol):
    """What a :class:`~pruning.mask.pruner.Pruner` is to those who save and restore it."""

    matrices: dict[str, Matrix]
    goals: dict[str, Goal]
    schedule: Schedule
    score: Score
    regrowth: Regrowth | None
    position: int
    keep: dict[str, int]
    _collected: dict[str, Tensor]
    _gradients: dict[str, Tensor]
    _enforced: set[str]

    def weight(self, name: str) -> nn.Parameter:
        """Return the parameter of a matrix."""

    def mask(self, name: str) -> Tensor:
        """Return its mask buffer, not a copy."""

    def enforce(self) -> None:
        """Set pruned entries to zero."""


def state_of(pruner: Resumable) -> dict[str, Any]:
    """Return tensors, numbers and strings only; tensors are copies."""
    names = list(pruner.matrices)
    return {
        "format": FORMAT,
        "made": _made(pruner),
        "position": pruner.position,
        "keep": dict(pruner.keep),
        "masks": {name: pruner.mask(name).clone() for name in names},
        "collected": {name: value.clone() for name, value in pruner._collected.items()},
        "gradients": {name: value.clone() for name, value in pruner._gradients.items()},
    }


def _made(pruner: Resumable) -> dict[str, str]:
    made = {f"goal of {name}": str(goal) for name, goal in pruner.goals.items()}
    made |= {f"shape of {name}": str(m.shape) for name, m in pruner.matrices.items()}
    made["schedule"] = str(pruner.schedule)
    made["regrowth"] = str(pruner.regrowth)
    return made | {"score": pruner.score.name}


def restore(pruner: Resumable, state: Mapping[str, Any]) -> None:
    """Check all of ``state``, then take it over."""
    _check_made(pruner, state)
    for name in pruner.matrices:
        _check_mask(pruner, name, state)
    _check_sums(pruner, state)
    with torch.no_grad():
        for name in pruner.matrices:
            pruner.mask(name).copy_(state["masks"][name])
    pruner.position, pruner.keep = int(state["position"]), dict(state["keep"])
    pruner._collected = _moved(pruner, state["collected"])
    pruner._gradients = _moved(pruner, state["gradients"])
    pruner.enforce()
    pruner._enforced.clear()


def _is_state(state: object) -> bool:
    mappings = ("made", "keep", "masks", "collected", "gradients")
    return (
        isinstance(state, Mapping)
        and set(state) == {"format", "position", *mappings}
        and state["format"] == FORMAT
        and isinstance(state["position"], int)
        and all(isinstance(state[key], Mapping) for key in mappings)
    )


def _check_made(pruner: Resumable, state: Mapping[str, Any]) -> None:
    if not _is_state(state):
        raise ResumeError("no state of a Pruner: give what its state_dict() returned")
    ours = _made(pruner)
    for key in sorted(set(ours) | set(state["made"])):
        if ours.get(key) != state["made"].get(key):
            raise ResumeError(
                f"{key}: saved with {state['made'].get(key)}, this pruner has {ours.get(key)}; "
                f"make it as it was{_weights_first(key)}, or start anew without the saved state"
            )


def _weights_first(key: str) -> str:
    """Goals of a shared budget go by the weights that the module has when they are made."""
    if not key.startswith("goal of "):
        return ""
    return " (k per matrix goes by the weights: load those it was first made with before)"


def _check_mask(pruner: Resumable, name: str, state: Mapping[str, Any]) -> None:
    mask, keep = state["masks"].get(name), state["keep"].get(name)
    shape = pruner.matrices[name].shape
    if not isinstance(mask, Tensor) or mask.shape != shape or mask.dtype != torch.bool:
        what = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else repr(mask)
        raise ResumeError(
            f"mask of {name} is {what}: must be torch.bool {shape}, the file is damaged"
        )
    try:
        check_pattern(pruner.goals[name].view, mask, int(keep))
    except (TypeError, UnbalancedError) as error:
        raise ResumeError(f"mask of {name}: {error}") from error


def _check_sums(pruner: Resumable, state: Mapping[str, Any]) -> None:
    for kind in ("collected", "gradients"):
        for name, value in state[kind].items():
            shape = pruner.matrices[name].shape if name in pruner.matrices else None
            if not isinstance(value, Tensor) or value.shape != shape:
                raise ResumeError(f"{kind} of {name} do not fit its weight: the file is damaged")


def _moved(pruner: Resumable, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone().to(pruner.weight(name).device) for name, value in sums.items()}
