"""Which networks can be quantised."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize

from ..cells import RECURRENT, Recurrent
from ..importers.checkpoint import UnsupportedLayerError
from ..mask.layers import computed
from ..mlp import MlpHead, linears_of

__all__ = ["check_layer", "check_network"]


def check_layer(lstm: object) -> None:
    """Refuse another layer than an LSTM, the cell of one, or a GRU.

    Raises
    ------
    UnsupportedLayerError
        Naming its type.
    """
    if not isinstance(lstm, (nn.LSTMCell, *RECURRENT)):
        raise UnsupportedLayerError(
            f"layer of type {type(lstm).__name__}: train torch.nn.LSTM or torch.nn.GRU, whose "
            "cells there are"
        )


def check_network(lstm: nn.Module, head: nn.Module | None) -> None:
    """Refuse what cannot be quantised.

    Raises
    ------
    UnsupportedLayerError
        For another layer than ``nn.LSTM`` and ``nn.GRU``, parametrisations, or another head
        than :func:`.linears_of` takes; the message names the mend.
    ValueError
        For a head of another width.
    """
    if not isinstance(lstm, RECURRENT):
        raise UnsupportedLayerError(
            f"layer of type {type(lstm).__name__}: train torch.nn.LSTM or torch.nn.GRU, whose "
            "cells there are"
            + "; copy a cell's weights into it"
            * isinstance(lstm, nn.LSTMCell | nn.GRUCell)
        )
    if parametrize.is_parametrized(lstm):
        raise UnsupportedLayerError(
            f"{type(lstm).__name__} with parametrisations (a pruner's masks?): quantise what "
            "squash() returns"
        )
    linears = () if head is None else linears_of(head)
    for layer in (lstm, *linears):
        for name, why in computed(layer).items():
            raise UnsupportedLayerError(f"{type(layer).__name__}: {name} {why}")
    if head is None:
        return
    _check_head(lstm, linears[0])
    MlpHead(*linears)  # layers fit each other


def _check_head(lstm: Recurrent, head: nn.Linear) -> None:
    wanted = (lstm.proj_size or lstm.hidden_size) * (1 + lstm.bidirectional)
    if head.in_features != wanted:
        size = f"hidden_size {lstm.hidden_size}"
        if wanted != lstm.hidden_size:
            size += f", proj_size {lstm.proj_size} and bidirectional={lstm.bidirectional}"
        raise ValueError(
            f"head takes {head.in_features} features, the {type(lstm).__name__} has {size}: "
            f"give it in_features={wanted}"
        )
