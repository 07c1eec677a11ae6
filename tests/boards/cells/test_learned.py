"""Counts that are learned beside structural ones; clocks as distributions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.board import board
from boards.cells.clocks import Clocks, kind_of
from boards.cells.learned import BOUNDS, LearnedError, Residual, covered, parse, shares, shipped
from boards.cells.structure import counted, estimate
from boards.memories import working_pes
from boards.resources import choices
from compiler.array.needs import design_for
from csb_format.random_models import random_model, random_network

BOARD = board("ecpix5")
LEVEL = {"weights": {"trees": 0.5, "link": -0.1}, "low": 0.9, "high": 1.2, "samples": 7,
         "multipliers": [2, 64]}  # fmt: skip


def table(**more: Any) -> str:
    clocks = {"LFE5UM5G 8": {"median": 120.0, "deviation": 0.05, "designs": 4}}
    found = {"families": {"ecp5": {"lut": LEVEL, "ff": LEVEL}}, "clocks": clocks}
    return json.dumps(found | more)


def test_a_count_is_the_structural_one_times_what_its_parts_were_worth() -> None:
    model = random_model(np.random.default_rng(0), 12, 32, 8, 1, 2)
    design = design_for(model, 8, 4, **BOARD.options)
    count = counted(design, BOARD)
    assert count.usage == estimate(design, BOARD)
    total = sum(count.sites.values())
    part = shares(design, count, "lut")
    assert part["trees"] == count.sites["trees"] / total
    assert sum(part[name] for name in count.sites) == pytest.approx(1)
    learned = parse(table())
    ratio = 1 + 0.5 * part["trees"] - 0.1 * part["link"]
    likely, one = learned.likely(design, BOARD), learned.expected(design, BOARD)["lut"]
    assert likely.luts == one.median == round(count.usage.luts * ratio)
    assert (one.low, one.high) == (round(count.usage.luts * ratio * 0.9),
                                   round(count.usage.luts * ratio * 1.2))  # fmt: skip
    assert (one.formula, one.samples) == (count.usage.luts, 7)
    assert (likely.multipliers, likely.block_rams) == (
        count.usage.multipliers, count.usage.block_rams,
    )  # fmt: skip


def test_a_table_that_is_no_good_here_is_held_back() -> None:
    far = Residual({"link": 9.0}, 0.9, 1.1, 5, (4, 8))
    assert far.ratio({"link": 1.0}) == BOUNDS[1]
    assert far.ratio({"link": -1.0}) == BOUNDS[0]
    assert far.ratio({}) == 1


def test_what_nobody_counted_keeps_its_structural_count() -> None:
    model = random_model(np.random.default_rng(0), 12, 32, 8, 1, 2)
    learned = parse(table())
    for design in (
        design_for(model, 8, 4, contexts=2),
        design_for(model, 8, 4, checked=True),
        design_for(model, 8, 4, streamed=True),
    ):
        assert not covered(design)
        assert learned.likely(design, BOARD) == estimate(design, BOARD)
        assert learned.expected(design, BOARD) == {}
    large = design_for(model, 32, 8, **BOARD.options)  # larger than any that was counted
    assert learned.likely(large, BOARD) == estimate(large, BOARD)
    elsewhere = board("arty_a7")
    design = design_for(model, 8, 4, **elsewhere.options)
    assert learned.likely(design, elsewhere) == estimate(design, elsewhere)


def test_pes_without_rows_take_nothing() -> None:
    # `predict build` counted it: 16 multipliers and 30 blocks, though it has nine PEs
    model = random_network(np.random.default_rng(0), 87, 29, 2, (6, 3, 1), value_bits=8,
                           act_bits=16, cell="gru")  # fmt: skip
    nine, eight = (design_for(model, pes, 1, units=2, deep=True) for pes in (9, 8))
    assert (working_pes(nine), working_pes(eight)) == (8, 8)
    assert estimate(nine, BOARD).multipliers == estimate(eight, BOARD).multipliers == 16


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "nothing learned"),
        ("{}", r"KeyError: 'families'"),
        (table(clocks={"x": {"median": -1, "deviation": 1, "designs": 1}}), "clocks about -1,"),
        (table(families={"ecp5": {"lut": LEVEL | {"low": 0}, "ff": LEVEL}}), "interval of 0 to"),
        (table(families={"ecp5": {"lut": {}}}), "'weights'"),
        (table(families={"ecp5": {"lut": LEVEL | {"weights": {"a": math.nan}}, "ff": LEVEL}}),
         "interval"),
    ],
)  # fmt: skip
def test_files_that_are_no_tables_are_refused(text: str, told: str) -> None:
    with pytest.raises(LearnedError, match=told):
        parse(text, "mine.json")


def test_a_clock_is_a_distribution() -> None:
    clocks = parse(table()).clock(BOARD)
    assert clocks == Clocks(120.0, 0.05, 4)
    assert kind_of(BOARD) == "LFE5UM5G 8"
    low, high = clocks.interval
    assert low * high == pytest.approx(120.0**2)
    assert clocks.met(120) == pytest.approx(0.5)
    assert clocks.met(low) == pytest.approx(0.9)
    assert clocks.met(high) == pytest.approx(0.1)
    assert parse(table()).clock(board("icebreaker")) is None


def test_arrays_are_chosen_by_what_is_likely() -> None:
    model = random_model(np.random.default_rng(0), 12, 32, 8, 1, 2)
    (found, *_) = choices(model, BOARD)
    assert found.usage == shipped().likely(found.design, BOARD)
    assert shipped().families.keys() >= {"ice40"}


def test_counted_designs_take_the_multipliers_and_blocks_that_are_said() -> None:
    from sparseflow.tune.prediction.samples import read

    samples = read(Path(__file__).parents[3] / "bench" / "results" / "counted.json")
    blocks = 0
    for sample in samples:
        usage = estimate(sample.design, sample.there)
        assert usage.multipliers == sample.counted["dsp"]
        blocks += usage.block_rams == sample.counted["ram"]
        assert usage.block_rams == pytest.approx(sample.counted["ram"], rel=0.04, abs=1)
    assert blocks >= 0.95 * len(samples)
