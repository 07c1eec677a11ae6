"""iCE40: what synthesis makes of the array computes what the model says; the board's bitstream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyosys
import pytest

from boards.board import Board, board
from boards.build.bitstream import build_bitstream
from boards.resources import estimate
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format.random_models import random_model

ICEBREAKER = board("icebreaker")


def image(hidden: int) -> Image:
    """A layer of the demo's shape with weights of 8 bits, on the board's array."""
    rng = np.random.default_rng(0)
    model = random_model(rng, 12, hidden, 8, 1, 2, value_bits=8, act_bits=12)
    design = design_for(model, 4, 2, **ICEBREAKER.options)
    return compile_model(model, design)


@pytest.mark.slow
@pytest.mark.synth
def test_cells_compute_what_the_model_says(
    cells_of: Callable[[Board, Image, str], dict[str, int]],
) -> None:
    """Every product is in a DSP block, and none was lost on the way there."""
    models = Path(pyosys.__file__).parent / "share" / "ice40" / "cells_sim.v"
    # Icarus 11 knows no defaults of ports; Yosys connects them all
    defaults = "`define NO_ICE40_DEFAULT_ASSIGNMENTS\n"
    cells = cells_of(ICEBREAKER, image(16), defaults + models.read_text("utf-8"))
    assert (cells["SB_MAC16"], cells["SB_SPRAM256KA"]) == (8, 4)


@pytest.mark.slow
@pytest.mark.synth
def test_the_demo_layer_runs_on_all_multipliers_of_an_icebreaker(tmp_path: Path) -> None:
    given = image(128)
    built = build_bitstream(ICEBREAKER, given.design, given, tmp_path / "a", seed=1)
    assert (built.dsp, built.multipliers, built.spram) == (8, 8, 4)
    assert built.fmax_mhz >= 24
    use = estimate(given.design, ICEBREAKER)
    assert use.multipliers == built.dsp
    assert use.block_rams == pytest.approx(built.ram, rel=0.1)
    assert use.luts == pytest.approx(built.lut, rel=0.2)
