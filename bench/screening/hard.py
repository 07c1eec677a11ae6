"""A million adversarial cases: ties, zeros and extremes, against sorting all logits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from csb_format import DenseLayer, Model
from csb_format.fixed import IntArray
from csb_format.random_models import random_network
from csb_format.screening.adversaries import adversarial_head, adversarial_states
from csb_format.screening.layer import ScreenedLayer
from engine.native.model import NativeModel

__all__ = ["STATES", "hard_cases"]

STATES = 2000  # of every head


def hard_cases(heads: int, seed: int) -> dict[str, Any]:
    """Random heads of all widths, states for each, k of 1 to 8.

    Parameters
    ----------
    heads, seed : int

    Returns
    -------
    dict
        How many cases, how many of them wrong, and how many had equal logits at the k-th place.
    """
    rng = np.random.default_rng(seed)
    wrong = ties = 0
    for _ in range(heads):
        model = _around(adversarial_head(rng))
        assert model.head is not None
        head, k = ScreenedLayer.of(model.head), int(rng.integers(1, 9))
        states = adversarial_states(rng, head, STATES)
        k = min(k, head.output_size)
        found = NativeModel(replace(model, head=head)).top(states, k)
        indices, logits, tied = _sorted(model.head, states, k)
        same = (found.indices == indices) & (found.logits == logits)
        wrong += int((~same.all(axis=1)).sum())
        ties += tied
    return {"cases": heads * STATES, "wrong": wrong, "ties": ties, "seed": seed}


def _around(head: DenseLayer) -> Model:
    """A network that is nothing beside its head, and feeds it with every frame."""
    made = random_network(
        np.random.default_rng(0), 3, 4, (1, 1, 1), (1, 1, 1), 1, 1, head.input_size, 8,
        head.input.width,
    )  # fmt: skip
    return Model(made.layers, replace(head, input=made.layers[0].output), pool="every")


def _sorted(head: DenseLayer, states: IntArray, k: int) -> tuple[IntArray, IntArray, int]:
    every = head.logits(states)
    order = np.argsort(-every, axis=1, kind="stable")
    ranked = np.take_along_axis(every, order, axis=1)
    tied = int((ranked[:, k - 1] == ranked[:, k]).sum()) if k < head.output_size else 0
    return order[:, :k], ranked[:, :k], tied
