"""Bitstreams: what the tools are told, what their failures say, the smallest one whole."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boards.bitstream import BitstreamError, Built, _check_clock, _why, build_bitstream, synthesis
from boards.board import BoardError, board
from csb_format.design import Design
from hdl.compiler import Image, compile_model
from sim.random_models import random_model


def image(hidden: int = 8, pes: int = 4, lanes: int = 1) -> Image:
    rng = np.random.default_rng(0)
    model = random_model(rng, 4, hidden, lanes, 1, 1, value_bits=8, act_bits=8)
    return compile_model(model, Design.for_model(model, pes, lanes, deep=True))


def built(fmax: float) -> Built:
    return Built("ulx3s", 4, 1, 4, fmax, 100.0, 1, 1, 1, 1, 1, "00", {})


def test_clock_that_is_missed_says_what_to_change() -> None:
    _check_clock(built(100.0))
    with pytest.raises(BitstreamError, match=r"99\.5 MHz reached, 100 MHz .* lower --clock"):
        _check_clock(built(99.5))


def test_design_that_does_not_fit_says_what_to_change() -> None:
    log = "Info: x\nERROR: Unable to place cell 'a', no BELs remaining to implement cell type 'B'\n"
    message = _why(board("ulx3s"), "nextpnr-ecp5", log)
    assert message.startswith("the design does not fit ULX3S-85F: ERROR: Unable to place cell 'a'")
    assert "sparseflow fit MODEL --board ulx3s" in message
    assert _why(board("ulx3s"), "ecppack", "ERROR: no\n") == "ecppack failed: ERROR: no"


def test_lanes_leave_the_dsps_of_a_small_device_to_the_array() -> None:
    design = image(8, 4, 1).design
    small = synthesis(board("icebreaker"), design, ("a.v",))
    assert "alumacc sparseflow_lane" in small
    assert small[-1] == "synth_ice40 -device u -dsp -noflatten -top sparseflow_board"
    assert not any("alumacc" in line for line in synthesis(board("ulx3s"), design, ("a.v",)))


def test_vendors_boards_have_no_bitstream(tmp_path: Path) -> None:
    given = image()
    with pytest.raises(BoardError, match=r"board arty_a7: no open tools for xc7a100t"):
        build_bitstream(board("arty_a7"), given.design, given, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.synth
def test_smallest_bitstream(tmp_path: Path) -> None:
    given, stages = image(), list[str]()
    small = replace(board("ecpix5"), clock_hz=50_000_000)
    first = build_bitstream(small, given.design, given, tmp_path / "a", tell=stages.append)
    assert stages == ["writing Verilog", "synthesis", "place and route", "packing"]
    assert first.fmax_mhz >= 50
    bits = (tmp_path / "a" / "sparseflow.bit").read_bytes()
    assert hashlib.sha256(bits).hexdigest() == first.bitstream_sha256
    again = build_bitstream(small, given.design, given, tmp_path / "b")
    assert again == first  # same seed, same bitstream
