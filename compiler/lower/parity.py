"""What a checked design keeps beside its numbers, so that one changed bit is seen where it is used.

A word of a memory has a bit above it that makes the count of its ones even; so has each element
of the vector memories, and each beat of a frame over its numbers and its marks. It is made where
the word is made, and travels with it: over buses, through load packets, in memory. Behind a load
packet comes a check word, the exclusive or of all its words: any odd number of wrong bits in a
column shows. Both see every single bit (Peterson and Weldon, Error-Correcting Codes, 1972).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import xor

__all__ = ["check_word", "evened", "odd"]


def odd(word: int) -> int:
    """Whether the count of ones of a word is odd, 0 or 1."""
    return int(word).bit_count() & 1


def evened(words: Iterable[int], width: int) -> list[int]:
    """Words of ``width`` bits with a bit above each that makes the count of ones even."""
    return [int(word) | odd(word) << width for word in words]


def check_word(words: Iterable[int]) -> int:
    """The word behind a load packet."""
    return reduce(xor, words, 0)
