"""What makes a weight worth keeping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["SCORES", "Score", "add_up", "score_named"]


@dataclass(frozen=True)
class Score:
    """A criterion; larger is better.

    Parameters
    ----------
    name : str
    value : callable
        (weight, collected) to score, all of one shape; ``collected`` is the sum of what
        ``collect`` returned since the masks last changed, or None.
    collect : callable, optional
        (weight, gradient) to what is summed up after every backward pass.
    """

    name: str
    value: Callable[[Tensor, Tensor | None], Tensor]
    collect: Callable[[Tensor, Tensor], Tensor] | None = None


def _magnitude(weight: Tensor, collected: Tensor | None) -> Tensor:
    return weight.abs()


def _collected(weight: Tensor, collected: Tensor | None) -> Tensor:
    if collected is None:
        raise ValueError(
            "no gradients since the masks last changed: run backward() before pruning by "
            "gradients, and let the schedule begin after step 0"
        )
    return collected


def _wide(tensor: Tensor) -> Tensor:
    # Sums of many small numbers stall in half precision.
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _taylor(weight: Tensor, gradient: Tensor) -> Tensor:
    return _wide(weight.detach()).mul(_wide(gradient)).abs_()


def _movement(weight: Tensor, gradient: Tensor) -> Tensor:
    return _wide(weight.detach()).mul(_wide(gradient)).neg_()


SCORE = "magnitude"  # where nobody says otherwise

SCORES = {
    score.name: score
    for score in (
        Score(SCORE, _magnitude),
        # First-order change of the loss when a weight is removed (Molchanov et al. 2019).
        Score("taylor", _collected, _taylor),
        # Weights that training moves away from zero (Sanh et al. 2020).
        Score("movement", _collected, _movement),
    )
}


def score_named(name: str) -> Score:
    """Return a criterion by name.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name not in SCORES:
        raise ValueError(f"score {name!r}: choose from {', '.join(SCORES)}")
    return SCORES[name]


def add_up(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    """Add ``value`` to the sum of that name; the first is taken over as it is."""
    if name in sums:
        sums[name] += value
    else:
        sums[name] = value
