"""Batches cut into pieces whose tapes fit a memory limit; the gradients' sums do not notice."""

from __future__ import annotations

from collections.abc import Sequence

from csb_format.model import Model

from .tape import Piece

__all__ = ["MemoryLimitError", "bytes_per_frame", "pieces_of"]


MOST = 256  # sequences of a piece: sums of narrower numbers fit theirs


class MemoryLimitError(ValueError):
    """A memory limit that the smallest piece does not fit."""


def bytes_per_frame(model: Model) -> int:
    """Bytes of the tape that a frame of a sequence takes, of all layers.

    Of a unit: gates that become gradients of its sums, of 16 bits, and the kept state, of 32; of
    an LSTM the squashed cell state and of ``gru0`` what was reset, of 16 bits; of ``gru`` the
    recurrent part of the candidate, of 32. Of an element of an output, 16 bits and its gradient
    of 32.
    """
    total = 2 * model.layers[0].input_size
    for layer in model.layers:
        cell = layer.arithmetic
        other = 4 if cell.apart else 2
        total += layer.hidden_size * (2 * len(cell.sums) + 4 + other) + layer.output_size * (2 + 4)
        total += 4 * layer.hidden_size if layer.projection else 0
    return total


def pieces_of(
    model: Model, lengths: Sequence[int], memory: int, lanes: int, whole: bool = False
) -> list[tuple[list[int], Piece]]:
    """Places in the batch of each piece's sequences, the longest first, and the piece.

    Parameters
    ----------
    model : Model
    lengths : sequence of int
    memory : int
        Bytes; 0: no limit.
    lanes : int
        Multiple of a piece's lanes.
    whole : bool
        Whether the batch must not be cut.

    Raises
    ------
    MemoryLimitError
        If fewer sequences than a piece has fit, or the batch must be cut and must not.
    """
    order = sorted(range(len(lengths)), key=lambda n: -lengths[n])
    found, at = [], 0
    while at < len(order):
        steps = lengths[order[at]]
        size = _fitting(model, steps, len(order) - at, memory, lanes)
        places = order[at : at + size]
        wide = -(-len(places) // lanes) * lanes
        found.append((places, Piece(tuple(lengths[n] for n in places), wide)))
        at += size
    if whole and len(found) > 1:
        raise MemoryLimitError(
            f"a memory of {memory:,} bytes cuts the batch into {len(found)} pieces, and each "
            "tensor's own exponent needs all of it: give more memory or a smaller batch"
        )
    return found


def _fitting(model: Model, steps: int, count: int, memory: int, lanes: int) -> int:
    """Sequences of a piece."""
    if not memory:
        return min(count, MOST)
    each = bytes_per_frame(model) * steps
    fits = memory // each // lanes * lanes
    if not fits:
        raise MemoryLimitError(
            f"a memory of {memory:,} bytes is too little: {lanes} sequence{'s' * (lanes > 1)} of "
            f"{steps} frames take {lanes * each:,}; give that much, or shorter sequences"
        )
    return min(count, MOST, int(fits))
