"""Random networks with something to learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from csb_format import IntArray, Model
from csb_format.random_models import random_frames, random_network
from engine.learn.head import Asked

LENGTHS = (12, 9, 9, 7, 3, 12, 1, 2, 5, 5, 5, 8, 11, 4, 6, 7, 9, 10, 12)


def network(seed: int = 1, pool: str = "last", **options: Any) -> Model:
    """A random one; 8 bits, 12 inputs, 16 units, 4 banks and a head of 5 unless told."""
    given = {"input_size": 12, "hidden_size": 16, "banks": 4, "k": (2, 2, 2), "head": 5}
    given |= {"value_bits": 8, "act_bits": 8} | options
    return replace(random_network(np.random.default_rng(seed), **given), pool=pool)  # type: ignore[arg-type]


def batch(model: Model, seed: int = 5, lengths: tuple[int, ...] = LENGTHS) -> Any:
    """Frames, and what is asked of them."""
    rng = np.random.default_rng(seed)
    frames: list[IntArray] = random_frames(rng, model, list(lengths))
    assert model.head is not None
    if model.pool == "every":
        return frames, Asked(tuple(rng.integers(-1, model.head.output_size, n) for n in lengths))
    return frames, Asked(tuple(rng.integers(0, model.head.output_size, 1) for _ in lengths))
