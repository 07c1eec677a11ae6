"""Heads of many fraction bits: their biases move by the rate too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import sparseflow as sf
from csb_format.random_models import random_frames, random_network


@pytest.mark.parametrize("bits", [8, 16])
def test_an_offset_of_every_answer_is_learnt_in_a_step(bits: int) -> None:
    """Gradients are 1, so at a rate of a quarter every bias of the head gains a quarter."""
    rng = np.random.default_rng(bits)
    model = random_network(rng, 6, 8, 2, (1, 2, 0), value_bits=bits, act_bits=bits, head=3)
    head = model.head
    assert head is not None
    # without weights the answers are the biases
    still = replace(head, weight=0 * head.weight)
    model = replace(model, head=still)
    frac = still.weight_format.frac + still.input.frac
    frames = random_frames(rng, model, [4, 3, 5])
    targets = np.tile(np.ldexp(still.bias.astype(float), -frac) + 1, (3, 1))
    found = sf.adapt(model, [(frames, targets)], mode="head", rate=0.25).model.head
    assert found is not None
    assert np.ldexp((found.bias - still.bias).astype(float), -frac) == pytest.approx(0.25, rel=1e-2)
