"""Texts from a language model: each next token drawn from the k likeliest before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from csb_format.arguments import number, whole
from csb_format.fixed import IntArray

__all__ = ["Following", "sampled"]

#: Given a token, outputs (k,) and their logits (k,) after it, the largest first.
Following = Callable[[int], tuple[IntArray, IntArray]]


def sampled(
    following: Following, beginning: Sequence[int], length: int, *, last_bit: float, seed: int
) -> list[int]:
    """Go on from a beginning: top-k sampling.

    The chances are those of the k logits alone, ``exp(logit) / sum``, so whoever finds the same k
    logits in the same order writes the same text for the same seed: a full layer, planes, a board.

    Parameters
    ----------
    following : callable
        The model, with its state; it is given the beginning, then what it wrote, token by token.
    beginning : sequence of int
        At least one token.
    length : int
        Tokens to write, at least 1.
    last_bit : float
        Of a logit, :attr:`csb_format.model.DenseLayer.last_bit`.
    seed : int
        Of every draw.

    Returns
    -------
    list of int
        ``length`` tokens.

    Raises
    ------
    ValueError
        Without a beginning, for another length, or a last bit below 0.
    """
    if not len(beginning):
        raise ValueError("beginning is empty: give one token at least")
    length, random = whole("length", length, 1), np.random.default_rng(seed)
    last_bit = number("last_bit", last_bit, 0)
    for token in beginning[:-1]:
        following(token)
    token, written = beginning[-1], list[int]()
    for _ in range(length):
        outputs, logits = following(token)
        chances = np.exp((logits - logits[0]) * last_bit)
        token = int(outputs[random.choice(len(outputs), p=chances / chances.sum())])
        written.append(token)
    return written
