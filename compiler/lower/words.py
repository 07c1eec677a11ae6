"""Words of the matrix and bias memories."""

from __future__ import annotations

import numpy as np

from csb_format.scales import GATES
from csb_format.words import join_fields, split_words

from ..array.design import Design
from ..array.program import Sink
from .passes import Pass

__all__ = ["bias_words", "pass_words"]


def pass_words(given: Pass) -> np.ndarray:
    """Object array (slots * k, M) of memory words; padding rows hold zeros."""
    design, rows, matrix = given.placement.design, given.placement.rows, given.matrix
    entries = np.stack([matrix.values, matrix.indices.astype(np.int64)], axis=-1)
    placed = np.where(rows[..., None, None, None] < 0, 0, entries[rows])
    widths = [design.value_bits, design.index_bits] * design.lanes
    words = join_fields(placed.reshape(*placed.shape[:3], -1), widths)
    return words.swapaxes(1, 2).reshape(-1, design.pes)


def bias_words(biases: list[tuple[Pass, int]], design: Design) -> dict[str, list[int]]:
    """Words of the bias memories of lanes (gate i lowest) and of projectors."""
    lanes = np.zeros((design.cells, design.units), object)
    linear = np.zeros((design.linear, design.projectors), object)
    for given, base in biases:
        assert given.bias is not None
        placement = given.placement
        if given.sink == Sink.UNITS:
            by_unit = given.bias.reshape(GATES, -1)
            placed = np.stack([placement.to_order(gate) for gate in by_unit], axis=-1)
            words = join_fields(placed, design.state.width).reshape(-1, design.units)
            lanes[base : base + len(words)] = words
        else:
            placed = placement.to_order(given.bias)
            words = join_fields(placed[:, None], design.acc_bits)
            linear[base : base + placement.beats] = words.reshape(-1, design.projectors)
    parts = GATES if design.compact else 1
    found = {
        f"bias_{e:03d}": split_words(lanes[:, e].tolist(), design.bias_bits, parts)
        for e in range(design.units)
    }
    if design.linear:
        found |= {f"linear_{q:03d}": linear[:, q].tolist() for q in range(design.projectors)}
    return found
