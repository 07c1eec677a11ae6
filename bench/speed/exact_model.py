"""Exact model: batches against the same sequences one by one, on one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from csb_format.random_models import random_frames, random_network
from engine.exact import FastModel

from .rows import Row

__all__ = ["rows"]

SHAPES: dict[str, dict[str, Any]] = {
    "40 -> 128": {"input_size": 40, "hidden_size": 128, "banks": 8, "k": (1, 2, 0)},
    "153 -> 512": {"input_size": 153, "hidden_size": 512, "banks": 9, "k": (1, 8, 0)},
    "1024 -> 1024": {"input_size": 1024, "hidden_size": 1024, "banks": 16, "k": (8, 8, 0)},
}
BATCHES = (1, 2, 3, 4, 5, 8, 16, 32, 64)
STEPS, TURNS = 20, 5
NOISE = 1.1  # a batch may take so many times what its sequences take one by one


def rows(smallest: bool, only: list[str]) -> list[Row]:
    """Milliseconds are of a step of the whole batch; weights of 8 bits."""
    found: list[Row] = []
    for name, shape in list(SHAPES.items())[: 1 if smallest else None]:
        rng = np.random.default_rng(0)
        model = random_network(rng, **shape, value_bits=8)
        fast, frames = FastModel(model), random_frames(rng, model, [STEPS] * max(BATCHES))
        for batch in BATCHES[: 2 if smallest else None]:
            what = f"{name}, batch {batch}: 1,000 steps, before: one by one"
            if any(word in what for word in only):
                found.append(_row(what, fast, frames[:batch]))
    return found


def _row(what: str, fast: FastModel, frames: list[Any]) -> Row:
    turns: dict[str, Callable[[], object]] = {
        "one": lambda: [fast.run([one]) for one in frames],
        "batch": lambda: fast.run(frames),
    }
    taken: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(TURNS):
        for name, run in turns.items():
            began = time.thread_time()
            run()
            taken[name].append((time.thread_time() - began) * 1000 / STEPS)
    one, batch = min(taken["one"]), min(taken["batch"])
    return Row(what, one, batch, NOISE * one)
