"""What a run is held against: the same array with a dense network, and boards."""

from __future__ import annotations

import numpy as np
import pytest

from boards.board import BoardError, board_names
from compiler.array.needs import design_for
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import step_cycles
from csb_format import Model
from csb_format.random_models import random_network
from sparseflow.pages.hardware.beside import dense_cycles, on_boards, shown


def network(ih: int, hh: int) -> Model:
    """Four banks of four columns in both matrices."""
    return random_network(np.random.default_rng(0), 16, 16, 4, (ih, hh, 1))


def test_the_dense_network_takes_what_one_with_all_weights_takes() -> None:
    pruned, whole = network(1, 1), network(4, 4)
    design = design_for(pruned, 4, 4)
    cycles = step_cycles(schedule(whole, design_for(whole, 4, 4)))
    assert dense_cycles(pruned, design) == cycles
    assert step_cycles(schedule(pruned, design)) < cycles
    assert dense_cycles(whole, design_for(whole, 4, 4)) == cycles


def test_the_board_that_is_meant_comes_first_and_others_by_what_they_reach() -> None:
    model = network(1, 1)
    design = design_for(model, 4, 4)
    rows = on_boards(model, design, None)
    assert {row["board"] for row in rows} <= set(board_names())
    assert rows == sorted(rows, key=lambda row: (not row["fits"], row["microseconds"]))
    assert all(row["microseconds"] == row["cycles"] / row["megahertz"] for row in rows)
    slowest = rows[-1]["board"]
    mine = on_boards(model, design, slowest)
    assert [row["board"] for row in mine if row["chosen"]] == [mine[0]["board"]] == [slowest]
    assert len(mine) == len(rows)
    assert shown(mine) is mine[0]
    with pytest.raises(BoardError, match="no_such_board"):
        on_boards(model, design, "no_such_board")


def test_a_measured_clock_goes_before_a_guess_and_what_does_not_fit_is_not_shown() -> None:
    row = {"chosen": False, "fits": True, "guessed": True, "microseconds": 1.0}
    known = row | {"guessed": False, "microseconds": 2.0}
    small = known | {"fits": False, "microseconds": 0.5}
    assert shown([row, known, small]) is known
    assert shown([small]) is None
    assert shown([]) is None
