"""What heads of fewer bits a weight cost, rounded after training, a power-of-two shift a row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from csb_format.fixed import round_rows
from csb_format.screening.layer import ScreenedLayer
from pruning.tasks.data.corpora import Corpus

from .counts import PROVEN, counts, full_of
from .models import Screened

__all__ = ["BITS", "heads"]

BITS = (16, 8, 6)


def heads(made: Screened, corpus: Corpus, tokens: int) -> Iterator[dict[str, Any]]:
    """A row for each: perplexity in integers, and bits that its top 5 reads."""
    text = corpus.test[: tokens + 1]
    states = made.states(text[:-1])
    for bits in BITS:
        dense = replace(made.head.dense, weight=round_rows(made.head.weight, bits))
        head = ScreenedLayer.of(dense, made.head.blocks.typical)
        narrow = Screened(replace(made.model, head=head), made.table)
        full = full_of(narrow, states, text[1:])
        *_, five = counts(narrow, states, full)
        about = {"bits": bits, "bits_stored": head.bits_stored}
        about["perplexity"] = math.exp(full.nats)
        yield about | {name: five[name] for name in ("wrong", "bits_per_weight", *PROVEN)}
