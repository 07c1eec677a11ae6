"""iCE40: what synthesis makes of the array computes what the model says; the board's bitstream."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyosys
import pytest

from boards.bitstream import build_bitstream, ice40_commands
from boards.board import board
from boards.fit import estimate
from boards.synth import run_yosys
from csb_format.design import Design
from hdl.compiler import Image, compile_model
from hdl.verilog import TOP_MODULE, VerilogFiles, emit_verilog
from sim.integer_model import IntegerModel
from sim.random_models import random_frames, random_model
from sim.verify import verify

ICEBREAKER = board("icebreaker")


def image(hidden: int) -> Image:
    """A layer of the demo's shape with weights of 8 bits, on the board's array."""
    rng = np.random.default_rng(0)
    model = random_model(rng, 12, hidden, 8, 1, 2, value_bits=8, act_bits=12)
    design = Design.for_model(model, 4, 2, **ICEBREAKER.options)
    return compile_model(model, design)


def netlist(given: Image, work: Path) -> VerilogFiles:
    """Verilog of the cells that the core becomes, with Yosys' models of them."""
    files = emit_verilog(given.design, work / "verilog")
    for name in files.sources:
        shutil.copy(files.folder / name, work / name)
    reads = [f"read_verilog -sv {name}" for name in files.sources]
    reads += [f"hierarchy -top {TOP_MODULE}", "rename -hide w:*"]
    synth = ice40_commands(ICEBREAKER, given.design, TOP_MODULE)
    out = work / "netlist"
    out.mkdir()
    write = f"write_verilog -noattr netlist/{TOP_MODULE}.v"
    run_yosys(work, [*reads, *synth, "tee -o cells.txt stat", write], 1200)
    models = Path(pyosys.__file__).parent / "share" / "ice40" / "cells_sim.v"
    # Icarus 11 knows no defaults of ports; Yosys connects them all
    defaults = "`define NO_ICE40_DEFAULT_ASSIGNMENTS\n"
    (out / "cells_sim.v").write_text(defaults + models.read_text())
    return VerilogFiles(out, (f"{TOP_MODULE}.v", "cells_sim.v"), ())


@pytest.mark.slow
@pytest.mark.synth
def test_cells_compute_what_the_model_says(tmp_path: Path) -> None:
    """Every product is in a DSP block, and none was lost on the way there."""
    given = image(16)
    files = netlist(given, tmp_path)
    cells = dict(
        line.split()[::-1] for line in (tmp_path / "cells.txt").read_text().splitlines()
        if len(line.split()) == 2 and line.split()[1].startswith("SB_")
    )  # fmt: skip
    assert (cells["SB_MAC16"], cells["SB_SPRAM256KA"]) == ("8", "4")
    model = IntegerModel(given.model)
    sequences = random_frames(np.random.default_rng(2), given.model, [3, 2])
    found = verify(model, given, files, sequences, tmp_path, simulator="icarus", load=True)
    assert found.exact, found.first
    assert found.cycle_mismatch is None


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
