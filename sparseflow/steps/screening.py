"""Heads that are stored in planes of bits, so that their largest logits are found from few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from csb_format import DenseLayer, Model
from csb_format.fixed import IntArray
from csb_format.screening.layer import BIAS_BYTES, SEVERAL, ScreenedLayer
from csb_format.screening.planes import plane_bits
from engine.levels import last_outputs
from engine.ordered import ordered
from engine.reference import IntegerModel
from engine.screened import top
from pruning.mlp import linears_of

__all__ = ["check_head", "screened"]

_TRIED = 200  # hidden states that tell what a token reads
_TOP = 5


def check_head(head: Any) -> None:
    """Refuse what has no single layer to screen, before any time is spent.

    Parameters
    ----------
    head : nn.Linear, nn.Sequential or None

    Raises
    ------
    ValueError
    """
    if head is None:
        raise ValueError("--screen is of a head, and this network has none: leave it out")
    if len(linears_of(head)) > 1:
        raise ValueError(SEVERAL)


def screened(model: Model, sequences: Sequence[Any]) -> tuple[Model, str]:
    """A model whose head is screened, ordered for what these sequences show; and a line on it.

    Parameters
    ----------
    model : Model
    sequences : sequence of float arrays (T, X)
        Typical frames.

    Raises
    ------
    ValueError
        For a head that cannot be screened.
    """
    assert model.head is not None
    states = _states(model, sequences)
    head = ordered(model.head, states)
    return replace(model, head=head), _told(head, states, _whole_bits(model.head))


def _whole_bits(head: DenseLayer) -> float:
    """Bits a weight that a token reads of a head that is not screened: all weights and biases."""
    return (head.row_bits or head.weight_format.width) + 8 * BIAS_BYTES / head.input_size


def _states(model: Model, sequences: Sequence[Any]) -> IntArray:
    """What the head is fed with: int64 (T, D * R)."""
    reference = IntegerModel(model)
    outputs = last_outputs(reference, reference.quantise(sequences))
    return np.concatenate([np.atleast_2d(model.pooled(output)) for output in outputs])


def _told(head: ScreenedLayer, states: IntArray, whole: float) -> str:
    k = min(_TOP, head.output_size)
    tried = states[:: -(-len(states) // _TRIED)]
    bits = 8 * top(head, tried, k).bytes / head.weight.size
    planes = " + ".join(map(str, plane_bits(head.bits)))
    line = (
        f"head: {head.output_size} x {head.input_size} in planes of {planes} bits; the top {k} of "
        f"--calibration, proven, read {bits.mean():.2f} bits a weight, p99 "
        f"{np.quantile(bits, 0.99):.2f}; stored {head.bits_stored:.1f}, all counted"
    )
    if bits.mean() < whole:
        return line
    return (
        f"{line}\nnote: without planes a token reads {whole:.2f} bits a weight of this head, "
        "biases counted, so planes cost more than they save; leave --screen out"
    )
