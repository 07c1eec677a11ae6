"""What the driver gives back for a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from compiler.abi.states import Emitted
from csb_format import IntArray, Model

from .inputs import Given

__all__ = ["Largest", "States", "joined", "logits"]


class Largest(NamedTuple):
    """The k largest logits of frames; of equal ones the lower output first.

    Parameters
    ----------
    indices, logits : int64 arrays (T, k)
        Outputs and their logits, the largest first, as those of the full layer.
    """

    indices: IntArray
    logits: IntArray


@dataclass(frozen=True)
class States:
    """What the last layer computed for a sequence; of two directions side by side.

    Parameters
    ----------
    hidden, cell : int64 arrays (T, D * H)
        In ``hidden`` and ``state`` format of the layer.
    output : int64 array (T, D * R)
        After a projection; ``hidden`` without one.
    linear : int64 array (T, O), optional
        Exact sums of a linear output layer that runs on the array.
    largest : Largest, optional
        Of a screen unit: the k largest logits of every frame.
    given : {"integers", "raw", "scaled"}
        What the driver took the frames for; ``"raw"``: the model's scale was applied.
    """

    hidden: IntArray
    cell: IntArray
    output: IntArray
    linear: IntArray | None = None
    largest: Largest | None = None
    given: Given = "integers"


def joined(emitted: list[Emitted], directions: int) -> States:
    """States from what a program's passes gave.

    Parameters
    ----------
    emitted : list of Emitted
        Of the last layer, or of both directions of a level.
    directions : int
        1 or 2; the second has seen the frames from the end.
    """
    layers: dict[int, dict[str, IntArray]] = {}
    for one in emitted:
        layers.setdefault(one.emission.layer, {}).update(one.values)
    # others leave where they learn
    found = [values for _, values in sorted(layers.items())][-directions:]
    if directions == 2:
        found[1] = {name: values[::-1] for name, values in found[1].items()}
    hidden, cell, output = (
        np.concatenate([values.get(name, values["h"]) for values in found], axis=-1)
        for name in ("h", "c", "r")
    )
    last = found[-1]
    largest = Largest(last["index"], last["logit"]) if "index" in last else None
    return States(hidden, cell, output, last.get("y"), largest)


def logits(model: Model, states: States) -> IntArray:
    """Exact logits of a sequence that was run from a zero state.

    The host feeds the head as ``model.pool`` says (output at the last frame, final states of both
    directions, mean over time, every frame's) and computes it. Where the head ran on the array, it
    did so at every frame, and its sums at the last one count, or all of them.

    Parameters
    ----------
    model : Model
        Of these states.
    states : States

    Returns
    -------
    int64 array (O,), or (T, O) where the head is fed with every frame

    Raises
    ------
    ValueError
        If the model has no head.
    """
    if states.linear is None:
        return model.logits(states.output)
    return states.linear if model.pool == "every" else states.linear[-1]
