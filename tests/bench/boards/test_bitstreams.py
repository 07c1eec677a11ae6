"""Speeds of the rows of boards.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.boards.bitstreams import CASES, speed_of
from boards.board import board
from boards.resources import estimate
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.timing.cycle_model import CycleModel
from csb_format.random_models import random_network
from sparseflow.pages.summary import speeds

RESULTS = Path(__file__).parents[3] / "bench" / "results"
ROWS = json.loads((RESULTS / "boards.json").read_text("utf-8"))["rows"]


def test_the_projection_is_counted() -> None:
    """2,048 weights of the gates and 256 of the projection; without these it were 0.4096."""
    model = random_network(np.random.default_rng(0), 8, 64, 4, (1, 1, 2), projection=32)
    assert sum(m.matrix.real_nonzeros for m in model.layers[0].matrices) == 2048 + 256
    real, dense = speeds(model, cycles=1000, megahertz=100.0)
    assert real == pytest.approx(0.4608)
    assert dense == pytest.approx(2 * (256 * (8 + 32) + 32 * 64) / 10_000)


def test_a_row_has_the_speed_of_its_cycles() -> None:
    model = random_network(np.random.default_rng(0), 8, 64, 4, (1, 1, 2), projection=32)
    image = compile_model(model, design_for(model, 4, 4))
    cycles = int(CycleModel(image).run(6).steps[-1])
    found = speed_of(model, image, cycles / 10)
    assert found == {
        "cycles": cycles,
        "step_us": 10.0,
        "gops": 0.461,
        "dense_equivalent_gops": 2.458,
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["case"])
def test_committed_rows_have_the_speeds_of_their_models(row: dict[str, Any]) -> None:
    case = CASES[row["case"]]
    model = case.model()
    image = compile_model(model, case.design(model))
    found = speed_of(model, image, min(row["fmax_mhz"], row["clock_mhz"]))
    assert found == {key: row[key] for key in found}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["case"])
def test_committed_rows_have_the_estimate_of_this_checkout(row: dict[str, Any]) -> None:
    case = CASES[row["case"]]
    of = board(case.board)
    assert row["estimated"] == estimate(case.design(case.model()), of).counts(of.has)
