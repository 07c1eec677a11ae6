"""What is predicted of a model's step on this processor, and from what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from csb_format.model import Model
from engine.native.model import NativeModel

from ..network import Network
from .steps import Step, Timed, errors, fitted, terms
from .timing import caches, drawn, gathered, near, timed

__all__ = ["FEW", "NETWORKS", "fresh", "judged", "learned", "predicted"]

NETWORKS, FEW = 160, 100
"""That are timed to be kept, and for one model alone, whose neighbours are among them."""
LIKE = 12  # neighbours of that model
OTHERS = 1 << 20  # to the seed, of networks to judge by
Tell = Callable[[str], None]


def learned(
    networks: int, rounds: int, seed: int, tell: Tell, *, like: Model | None = None,
    base: Step | None = None,
) -> Step:  # fmt: skip
    """Times of this processor, by term.

    Parameters
    ----------
    networks : int
        Drawn and timed.
    rounds : int
        Of timing more about those that are predicted badly.
    seed : int
    tell : callable
        Takes lines about the progress.
    like : Model, optional
        Networks about its size are timed too.
    base : Step, optional
        Of another processor; see :func:`~sparseflow.tune.prediction.steps.fitted`.
    """
    every = list(drawn(networks, seed))
    if like is not None:
        every += near(Network.of(like), LIKE, np.random.default_rng(seed))
    return fitted(gathered(every, rounds, seed, tell), base)


def fresh(networks: int, seed: int) -> list[Timed]:
    """Networks that no table was learned from, timed."""
    return timed(list(drawn(networks, seed + OTHERS)), seed)


def predicted(model: Model, step: Step) -> dict[str, Any]:
    """Time of a step of one stream, and what it is made of.

    Returns
    -------
    dict
        As ``sparseflow predict --board cpu --json`` writes it; ``unknown`` are parts that no
        timed network had, which count nothing.

    Raises
    ------
    ValueError
        For a network of two directions, which has no steps.
    """
    if model.shape.directions != 1:
        raise ValueError(
            "a network of two directions runs whole sequences, no steps: time it by "
            "`sparseflow cpu bench`"
        )
    native = NativeModel(model)
    found, room = terms(native, model, caches()), step.microseconds
    us = step.predict(found)
    parts = [
        {"name": n, "count": c, "microseconds": c * room.get(n, 0.0)} for n, c in found.items()
    ]
    return {
        "board": "cpu",
        "kernel": native.layers[0].kernel,
        "microseconds": us,
        "low": us * step.low,
        "high": us * step.high,
        "multiplications_alone": step.rate * int(native.shape.weights),
        "basis": f"{step.models} timed networks",
        "parts": [part for part in parts if part["count"]],
        "unknown": [name for name in step.unknown(found) if found[name]],
    }


def judged(step: Step, samples: list[Timed]) -> dict[str, list[float]]:
    """Relative errors, predicted and by multiplications alone."""
    plain = [step.rate * one.multiplications / one.microseconds - 1 for one in samples]
    return {"predicted": errors(step, samples), "multiplications alone": plain}
