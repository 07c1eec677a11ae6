"""What a head in planes reads of real text, and whether it is ever wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from csb_format.fixed import IntArray
from engine.screened import PROOF, Top

from .models import Screened

__all__ = ["KEPT", "MARGINS", "PROVEN", "counts", "full_of", "guesses"]

#: How many of the largest logits are asked for.
KEPT = (1, 5)
PROVEN = ("margin", "proven")  # of every row
#: In 256ths; what is less than the proof is a guess.
MARGINS = (192, 128, 96, 64)
_PART = 200  # tokens whose logits are held at a time


class Full:
    """What the full layer says: the largest logits of every token, and the text's perplexity."""

    def __init__(self, indices: IntArray, logits: IntArray, nats: float) -> None:
        self.indices, self.logits, self.nats = indices, logits, nats


def full_of(made: Screened, states: IntArray, targets: IntArray) -> Full:
    """All logits of all tokens, sorted; of equal ones the lower output comes first.

    The logits are those of C, which are held against NumPy's on the first tokens.
    """
    indices, logits, nats = [], [], 0.0
    most = max(KEPT)
    assert np.array_equal(made.native.logits(states[:20]), made.head.logits(states[:20]))
    for start in range(0, len(states), _PART):
        every = made.native.logits(states[start : start + _PART])
        found = _largest(every, most)
        indices.append(found)
        logits.append(np.take_along_axis(every, found, axis=1))
        nats += _nats(every * made.head.last_bit, targets[start : start + _PART])
    return Full(np.concatenate(indices), np.concatenate(logits), nats / len(states))


def _largest(logits: IntArray, most: int) -> IntArray:
    """By logit, then by output: among the most and what equals the last of them."""
    least = np.partition(logits, -most, axis=1)[:, -most, None]
    tokens, outputs = np.nonzero(logits >= least)
    order = np.lexsort((outputs, -logits[tokens, outputs], tokens))
    begin = np.searchsorted(tokens[order], np.arange(len(logits)))
    return np.asarray(outputs[order][begin[:, None] + np.arange(most)])


def _nats(logits: Any, targets: IntArray) -> float:
    top = logits.max(axis=1)
    sums = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
    return float((sums - logits[np.arange(len(targets)), targets]).sum())


def counts(made: Screened, states: IntArray, full: Full) -> Iterator[dict[str, Any]]:
    """A row for each k: wrong tokens, bits and bytes a token, rows that went how far."""
    for k in KEPT:
        found = made.native.top(states, k)
        yield {"k": k, "tokens": len(states), "wrong": wrong(found, full, k)} | read(made, found)


def wrong(found: Top, full: Full, k: int) -> int:
    """Tokens whose set, order or logits are not those of the full layer."""
    same = (found.indices == full.indices[:, :k]) & (found.logits == full.logits[:, :k])
    return int((~same.all(axis=1)).sum())


def read(made: Screened, found: Top) -> dict[str, Any]:
    """What tokens read, in the mean and beyond."""
    bits = 8 * found.bytes / made.head.weight.size
    whole = {"mean": bits.mean(), "p50": np.median(bits), "p99": np.quantile(bits, 0.99)}
    rows = {name: getattr(found, name).mean() for name in ("first", "second", "exact")}
    return {
        "bits_per_weight": {k: float(v) for k, v in (whole | {"worst": bits.max()}).items()},
        "bytes_per_token": float(found.bytes.mean()),
        "rows": {k: float(v) for k, v in rows.items()},
        **dict(zip(PROVEN, (found.margin / PROOF, found.proven), strict=True)),
    }


def guesses(made: Screened, states: IntArray, full: Full) -> Iterator[dict[str, Any]]:
    """What margins below the proof would give, and lose."""
    for k in KEPT:
        for margin in (PROOF, *MARGINS):
            found = made.native.top(states, k, margin)
            right = 1 - wrong(found, full, k) / len(states)
            yield {"k": k, "right": right} | read(made, found)
