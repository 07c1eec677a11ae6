"""Verilog of an LSTM with a screened head is its model, bit for bit and cycle for cycle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compiler.array.needs import design_for
from compiler.lower.screened import ScreenedImage, compile_screened
from csb_format.random_models import random_model
from csb_format.scales import DesignError
from csb_format.screening.layer import ScreenedLayer
from hdl.core.screen.core import ScreenedCore
from hdl.verilog import VerilogFiles, emit_verilog
from sim.check.screened import verify_screened
from sim.run.streams import Pauses

INPUTS = 8
#: Units, words, M, N, k, lanes of the screen; in one no size divides another.
CASES = {
    "one": (8, 20, 4, 2, 1, 3, 1),
    "even": (16, 60, 8, 4, 3, 16, 4),
    "odd": (13, 67, 8, 4, 5, 7, 2),
}


def made(case: str, folder: Path) -> tuple[ScreenedImage, VerilogFiles]:
    hidden, words, pes, lanes, top, digits, refined = CASES[case]
    model = random_model(np.random.default_rng(3), INPUTS, hidden, lanes, 2, 1, head=words)
    assert model.head is not None
    model = replace(model, head=ScreenedLayer.of(model.head))
    design = design_for(replace(model, head=None), pes, lanes)
    image = compile_screened(model, design, top=top, digits=digits, lanes=refined * design.units)
    files = emit_verilog(design, folder, image, top=lambda d, _, h: ScreenedCore(d, image, h))
    return image, files


def sequences(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.integers(-120, 120, (2 + n, INPUTS)) for n in range(count)]


@pytest.mark.quick(1)
@pytest.mark.parametrize("case", CASES)
def test_verilog_is_its_model(case: str, tmp_path: Path) -> None:
    image, files = made(case, tmp_path / "v")
    found = verify_screened(image, files, sequences(2), tmp_path / "w", simulator="icarus")
    assert found.frames == 5
    assert found.exact, found


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_pauses_change_no_result(case: str, tmp_path: Path) -> None:
    image, files = made(case, tmp_path / "v")
    pauses = Pauses(0.4, 1), Pauses(0.6, 2)
    found = verify_screened(
        image, files, sequences(3), tmp_path / "w", simulator="icarus",
        idle=pauses[0], stall=pauses[1],
    )  # fmt: skip
    assert found.exact, found


def test_a_head_that_is_not_screened_is_refused() -> None:
    model = random_model(np.random.default_rng(0), INPUTS, 8, 2, 2, 1, head=20)
    design = design_for(replace(model, head=None), 4, 2)
    with pytest.raises(DesignError, match="no screened head: pack it with --screen"):
        compile_screened(model, design, top=1)
