"""Streams that share the words of a matrix: what a design with ``batched`` is made of.

A row of k groups takes, of n streams that are there, for each group n cycles, in which the group's
word meets the vector of one stream after the other. The sums of a row, of all streams, lie in the
PE's memory of parked sums. Behind the last group of a row results come; a stream whose results
take d beats of the lanes has d cycles for that group. So a row takes ``n * (k - 1 + d)`` cycles,
whatever streams these are: those that are not there cost none.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

__all__ = ["LEAST_OUTPUT", "MOST_STREAMS", "batch_sizes", "row_interval"]

MOST_STREAMS = 64  # each has a bit in the marks of a batch
# beats of the output buffer: they come one after the other, and its register takes one late
LEAST_OUTPUT = 3


def batch_sizes(contexts: Sequence[int]) -> list[int]:
    """Frames of each batch, where frames of as many streams as follow in their order are one.

    Parameters
    ----------
    contexts : sequence of int
        Stream of each frame.
    """
    ends = [n for n, (now, then) in enumerate(pairwise(contexts), 1) if then <= now]
    return [end - start for start, end in pairwise([0, *ends, len(contexts)])]


def row_interval(groups: int, beats: int) -> int:
    """Cycles that a row takes for each stream that is there.

    Parameters
    ----------
    groups : int
        k.
    beats : int
        d, in which lanes take a stream's results of a row; 0 of rows that are parked.
    """
    return groups - 1 + max(1, beats)
