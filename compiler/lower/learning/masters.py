"""What is kept of masters beside the weights: the low bits, a word a weight, for each PE."""

from __future__ import annotations

import numpy as np

from csb_format.fixed import IntArray
from csb_format.words import split_fields

from ...array.widths import LOW_BITS, MASTER_BITS
from ..passes import HEAD, Pass
from ..plan import Plan

__all__ = [
    "first_master",
    "layer_of",
    "learning_pass",
    "learning_passes",
    "low_bits",
    "master_memories",
    "master_of",
]


def learning_pass(plan: Plan) -> Pass:
    """The pass whose weights learn on the array: that of the linear output layer.

    Raises
    ------
    ValueError
        If the plan has none.
    """
    found = [given for part in plan.parts for given in part.whole if given.matrix == HEAD]
    if not found:
        raise ValueError("the linear output layer is not on the array: compile with head=True")
    return found[0]


def learning_passes(plan: Plan) -> list[Pass]:
    """All passes whose weights learn on the array, whole."""
    if not plan.design.backward:
        return [learning_pass(plan)]
    return [given for part in plan.parts for given in part.whole]


def layer_of(plan: Plan, given: Pass) -> int:
    """Number in the model of the layer whose weights a pass has."""
    at = given.instruction.matrix  # which no other has, of whatever program
    return next(
        part.layers[given.layer]
        for part in plan.parts
        if any(one.instruction.matrix == at for one in part.whole)
    )


def first_master(plan: Plan) -> int:
    """The word of the matrix memories whose weights have the first masters."""
    return min(given.instruction.matrix for given in learning_passes(plan))


def low_bits(masters: IntArray) -> IntArray:
    """The bits of masters that are kept beside their weights."""
    return masters & ((1 << LOW_BITS) - 1)


def master_of(weights: IntArray, low: IntArray) -> IntArray:
    """Masters of weights and what is kept beside them.

    A weight is its master without ``MASTER_BITS``, rounded, but for the largest, which saturates:
    masters lie 128 below to 383 above the weight's place.
    """
    above = (low - (weights << MASTER_BITS)) & ((1 << LOW_BITS) - 1)
    return (weights << MASTER_BITS) + np.where(above >= 3 << MASTER_BITS >> 1, above - 512, above)


def master_memories(plan: Plan, matrix_words: np.ndarray) -> dict[str, list[int]]:
    """The low bits of all weights that learn, where each stands for itself; unused places are 0."""
    design = plan.design
    found = {f"master_{pe:03d}": [0] * design.train for pe in range(design.pes)}
    try:
        passes = learning_passes(plan)
    except ValueError:
        return found
    at = first_master(plan)
    words = matrix_words[at : at + sum(given.words for given in passes)]
    widths = [design.value_bits, design.index_bits] * design.lanes
    for pe in range(design.pes):
        fields = split_fields(words[:, pe].tolist(), widths)
        low = low_bits(fields[:, ::2].ravel() << MASTER_BITS)
        found[f"master_{pe:03d}"][: len(low)] = low.tolist()
    return found
