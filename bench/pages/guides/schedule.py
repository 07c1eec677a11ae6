"""What the guides on schedule and architecture say of measurements."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from compiler.array.latency import Latencies
from compiler.array.needs import design_for
from compiler.array.program import Sink
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format.cells.piecewise import Piecewise
from csb_format.fixed import Fixed

from ...array.lone import ARRAYS, lone_table
from ...array.shapes import SHAPES, cliffs_table
from ...array.utilisation import SEED, WORKLOADS
from ...boards.bitstreams import DEPTHS
from ..page import Page
from ..results import ROOT, case, record, table

__all__ = ["ARCHITECTURE", "SCHEDULE"]


@lru_cache
def _image(name: str) -> Image:
    (row,) = (row for row in WORKLOADS if row.name == name)
    model = row.model(np.random.default_rng(SEED))
    return compile_model(model, design_for(model, row.pes, row.lanes, **row.options))


def _passes(name: str) -> list[tuple[int, int]]:
    """Slots and cycles of products of all passes of a frame, in their order."""
    passes = (found.instruction for found in _image(name).parts[0].passes)
    return [(one.slots, one.slots * one.groups) for one in passes]


def _schedule() -> Page:
    finish, first, project, second = _passes("timit-64x16")
    wide, next_input, last = _passes("timit-256x16")
    layers = _passes("ptb-small-32x16")
    rows = {row["workload"]: row for row in record("utilisation")["rows"]}
    slow = rows["timit-256x16"]
    waits = slow["rtl_cycles"] - slow["floor"]
    late = Latencies(_image("timit-64x16").design)
    lone = [row["simulated"] for row in record("lone")["rows"]]
    shapes = (row for row in record("utilisation")["shapes"] if row["M"] == 256)
    faster = sum(row["shallow"]["cycles"] < row["cycles"]["1"] for row in shapes)
    pairs = record("utilisation")["pairs"]
    return Page(
        ROOT / "docs/schedule.md",
        (cliffs_table(record("utilisation")["shapes"]), _depths(), _lone()),
        (
            f"Of {pairs['count']:,} pairs of arrays side by side ({len(SHAPES)} shapes,",
            f"the larger is slower in {len(pairs['slower'])} (`pairs`",
            f"h (and c), E of a beat | row + {late.lane(Sink.UNITS)} |",
            f"exact logits, Q of a beat | row + {late.lane(Sink.PROJECT)} |",
            f"multiplier, tree and accumulator: {late.row} cycles at 16 lanes",
            f"finish ({finish[1]} cycles), {first[0]} slots of the next input, project "
            f"({project[1]}), {second[0]} slots of the next input: "
            f"{rows['timit-64x16']['rtl_cycles']} cycles, no gap",
            f"finish 0 ({layers[0][1]}), park 1 ({layers[1][1] + layers[2][1]}), finish 1 "
            f"({layers[3][1]})",
            f"{rows['ptb-small-32x16']['rtl_cycles']} cycles, no gap",
            f"finish ({wide[1]}), all {next_input[0]} slots of the next input, project",
            f"({last[1]}): {slow['floor']} cycles of products",
            f"cycles of products, and {waits} of waits that nothing is left to fill",
            f"none is slower, and on 256 x 16 {faster} are faster",
            f"was simulated: {lone[0]}, {lone[1]}, {lone[2]} and {lone[3]} cycles",
        ),
        ("3,808 designs",),  # by hand
    )


def _depths() -> str:
    """One array with most registers, some, and fewest."""
    heads = "registers|LUT|registers of it|cycles of a step|reached|a step at that clock"
    lines = [heads.split("|")]
    for depth in DEPTHS:
        row = case("depths", case=f"ecpix5_{depth}")
        lines.append([
            depth,
            *(f"{row[name]:,}" for name in ("lut", "ff", "cycles")),
            f"{row['fmax_mhz']:.1f} MHz",
            f"{row['cycles'] / row['fmax_mhz']:.2f} us",
        ])  # fmt: skip
    return table(lines)


def _lone() -> str:
    return lone_table([(array.name, array.plan()) for array in ARRAYS])


def _architecture() -> Page:
    found = Piecewise(Fixed(18, 13), Fixed(16, 15))
    return Page(
        ROOT / "docs/architecture.md",
        (),
        (
            f"At 16 bits tanh is within {_up(found.tanh_bound)} and sigmoid within "
            f"{_up(found.sigmoid_bound)} of the true function",
        ),
    )


def _up(bound: float) -> str:
    """Two digits of a bound of 1e-5 and more, rounded up so that it stays one."""
    return f"{math.ceil(bound * 1e6) / 10:g}e-5"


SCHEDULE = _schedule()
ARCHITECTURE = _architecture()
