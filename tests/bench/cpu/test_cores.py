"""Rows of threads and of forms: run once, and what is counted in them."""

from __future__ import annotations

import os

import numpy as np
import pytest

from bench.cpu import cores, forms, native
from csb_format.random_models import random_frames, random_network

DEMO = {"input_size": 12, "hidden_size": 128, "banks": 8, "k": (1, 2, 0)}


@pytest.mark.slow
def test_unequal_cores_compute_the_same() -> None:
    """The rows stop where a thread that works twice changes a bit."""
    if (os.cpu_count() or 1) < 2:
        pytest.skip("two cores are compared")
    rng = np.random.default_rng(1)
    model = random_network(rng, 256, 512, 8, (16, 16, 0), value_bits=8, act_bits=8)
    found = list(cores.rows(model, "step", random_frames(rng, model, [4])[0], 1, every=True))
    names = [row["what"].removeprefix("step, ") for row in found]
    assert names[0] == "two cores"
    assert names[-1] == "one core half as fast"
    assert set(found[-1]["times_as_fast"]) == {"one thread", "an equal split"}
    assert all(ratio > 0 for row in found for ratio in row["times_as_fast"].values())


def test_shares_of_a_mean_and_of_the_fastest() -> None:
    ours, theirs = [np.array([1.0, 3.0])] * 2, [np.array([2.0, 6.0]), np.array([4.0, 4.0])]
    row = cores._row("x", {"one thread": theirs, "ours": list(ours)})
    assert (row["us"], row["times_as_fast"]["one thread"]) == (2.0, 2.0)
    steps = np.arange(1.0, 102.0)
    assert cores._ratio([2 * steps], [steps], least=True) == 2.0


def test_runs_are_one_by_their_medians() -> None:
    runs = [
        [{"what": "x", "batch": 1, "us": us, "times_as_fast": {"y": 2 * us}}]
        for us in (1.0, 9.0, 2.0)
    ]
    want = {"what": "x", "batch": 1, "us": 2.0, "times_as_fast": {"y": 4.0}}
    assert native.medians(runs) == [want]


@pytest.mark.slow
def test_forms_of_a_product() -> None:
    found = list(forms.rows(DEMO, 1, 2000))
    limits = [row for row in found if row["what"].endswith("its limit")]
    assert all(row["us"] == max(row["arithmetic_us"], row["reading_us"]) for row in limits)
    last = found[-1]
    assert last["what"].startswith("200 steps, 12 -> 128")
    assert last["us"] == last["p50"] <= last["p99"] <= last["p99.9"]
