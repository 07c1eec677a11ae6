"""Heads of several linear layers with a ReLU between them."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from .importers.checkpoint import UnsupportedLayerError

__all__ = ["Head", "MlpHead", "linears_of"]

_IDLE = (nn.Identity, nn.Dropout)  # that change nothing once a network is trained


class MlpHead(nn.Sequential):
    """Linear, ReLU, Linear and so on, of linear layers in their order.

    Parameters
    ----------
    *linears : nn.Linear
        At least two that fit each other; taken as they are, not copied.

    Raises
    ------
    ValueError
        For layers that do not fit each other.
    """

    def __init__(self, *linears: nn.Linear) -> None:
        for n, (giver, taker) in enumerate(pairwise(linears), 1):
            if taker.in_features != giver.out_features:
                raise ValueError(
                    f"linear layer {n} of the head takes {taker.in_features} values, the one "
                    f"before gives {giver.out_features}: name them in the order in which they run"
                )
        between = [part for linear in linears for part in (linear, nn.ReLU())]
        super().__init__(*between[:-1])

    @property
    def in_features(self) -> int:
        """Values that it takes."""
        return linears_of(self)[0].in_features

    @property
    def out_features(self) -> int:
        """Outputs of the last layer."""
        return linears_of(self)[-1].out_features

    def forward(self, given: Tensor) -> Tensor:
        """Outputs (..., O) of values (..., H)."""
        return cast(Tensor, super().forward(given))


Head = nn.Linear | MlpHead


def linears_of(head: nn.Module) -> tuple[nn.Linear, ...]:
    """The linear layers of a head in the order in which they run, each but the last before a ReLU.

    Raises
    ------
    UnsupportedLayerError
        For anything else than ``nn.Linear``, or ``nn.Sequential`` of such layers and ``nn.ReLU``
        in turns; dropout and ``nn.Identity`` may be among them.
    """
    if isinstance(head, nn.Linear):
        return (head,)
    if not isinstance(head, nn.Sequential):
        raise UnsupportedLayerError(
            f"head of type {type(head).__name__}: use torch.nn.Linear, or torch.nn.Sequential of "
            "Linear, ReLU, Linear"
        )
    parts = [part for part in head if not isinstance(part, _IDLE)]
    kinds = [nn.Linear if n % 2 == 0 else nn.ReLU for n in range(len(parts))]
    if len(parts) % 2 == 0 or not all(map(isinstance, parts, kinds)):
        found = ", ".join(type(part).__name__ for part in parts) or "nothing"
        raise UnsupportedLayerError(
            f"head of {found}: torch.nn.Sequential must hold Linear and ReLU in turns, Linear "
            "first and last"
        )
    return cast(tuple[nn.Linear, ...], tuple(parts[::2]))
