"""Whichever integer model is faster for the work at hand; both give the same bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec

from csb_format import IntArray

from .reference import IntegerModel, Trace

__all__ = ["last_outputs", "run_levels"]

WORTH_COMPILING = 1_000_000_000  # products; plain numpy does them in about the time of compiling
# Values of all layers that are held at once: 4 arrays of 32 MB.
HELD = 1 << 22


def run_levels(model: IntegerModel, sequences: Sequence[IntArray]) -> list[list[Trace]]:
    """As :meth:`~engine.reference.IntegerModel.run_levels`, compiled where it is much work.

    Compiled loops take seconds to start. Without Numba nothing is compiled.
    """
    every = (m.matrix for layer in model.model.layers for m in layer.matrices)
    products = sum(matrix.real_nonzeros for matrix in every)
    few = products * sum(map(len, sequences)) < WORTH_COMPILING
    if few or find_spec("numba") is None:
        return model.run_levels(sequences)
    from .exact import FastModel

    inputs, found = list(sequences), []
    for level in model.model.levels:
        fast = FastModel(replace(model.model, layers=tuple(level), head=None))
        found.append(fast.run(inputs))
        inputs = [trace.output for trace in found[-1]]
    return found


def last_outputs(model: IntegerModel, sequences: Sequence[IntArray]) -> Iterator[IntArray]:
    """Outputs of the last level, sequence by sequence, however many there are.

    Parameters
    ----------
    model : IntegerModel
    sequences : sequence of int64 arrays (T_i, X)
        In the first layer's input format.

    Yields
    ------
    int64 array (T_i, D * R)
    """
    width = sum(layer.hidden_size for layer in model.model.layers)
    for part in _parts(sequences, HELD // width):
        yield from (trace.output for trace in run_levels(model, part)[-1])


def _parts(sequences: Sequence[IntArray], frames: int) -> Iterator[list[IntArray]]:
    """Runs of sequences of so many frames at most, each of one sequence at least."""
    part: list[IntArray] = []
    for sequence in sequences:
        if part and sum(map(len, part)) + len(sequence) > frames:
            yield part
            part = []
        part.append(sequence)
    if part:
        yield part
