"""Bitstreams: what the tools are told, what their failures say, the smallest one whole."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.board import BoardError, board
from boards.build.bitstream import BitstreamError, Built, build_bitstream
from boards.build.clocks import check_met
from boards.build.open_tools import check_pins, count_cells, synthesis
from boards.resources import estimate
from boards.tools.run import why
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format.random_models import random_model


def image(hidden: int = 8, pes: int = 4, lanes: int = 1) -> Image:
    rng = np.random.default_rng(0)
    model = random_model(rng, 4, hidden, lanes, 1, 1, value_bits=8, act_bits=8)
    return compile_model(model, design_for(model, pes, lanes, deep=True))


def test_clock_that_is_missed_says_what_to_change() -> None:
    ulx3s = board("ulx3s")
    check_met(ulx3s, 100.0)
    with pytest.raises(
        BitstreamError, match=r"99\.5 MHz reached, 100 MHz .* Take --clock 95, more --seeds, or"
    ):
        check_met(ulx3s, 99.5)


def test_design_that_does_not_fit_says_what_to_change() -> None:
    log = "Info: x\nERROR: Unable to place cell 'a', no BELs remaining to implement cell type 'B'\n"
    message = str(why(board("ulx3s"), "nextpnr-ecp5", log))
    assert message.startswith("the design does not fit ULX3S-85F: ERROR: Unable to place cell 'a'")
    assert "sparseflow fit MODEL --board ulx3s" in message
    assert str(why(board("ulx3s"), "ecppack", "ERROR: no\n")) == "ecppack failed: ERROR: no"


def test_the_first_error_of_a_tool_is_the_one_that_is_told() -> None:
    log = "Info: x\nERROR: IO pin 'rx' at Z9\nERROR: Packing design failed.\n0 warnings, 2 errors\n"
    said = str(why(board("ulx3s"), "nextpnr-ecp5", log))
    assert said == "nextpnr-ecp5 failed: ERROR: IO pin 'rx' at Z9"


@pytest.mark.parametrize(
    ("name", "there", "message"),
    [
        ("ulx3s_12f", {"package": "CABGA999"}, r"Unsupported package 'CABGA999'"),
        ("ulx3s_12f", {"speed": 16}, r"Unsupported speed grade '16'"),
        ("icebreaker", {"package": "sg49"}, r"Unsupported package 'sg49'"),
    ],
)
def test_what_no_device_has_is_told_before_any_synthesis(
    name: str, there: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(BoardError, match=rf"{message}.*: mend package, speed or pins in its file"):
        check_pins(replace(board(name), **there), tmp_path, 100)


@pytest.mark.parametrize("name", ["ulx3s_12f", "icebreaker", "tang_primer_20k"])
def test_a_ball_that_is_not_there_is_told_before_any_synthesis(name: str, tmp_path: Path) -> None:
    found = board(name)
    check_pins(found, tmp_path, 100)
    assert not list(tmp_path.glob("*.log"))
    pins = found.pins | {"rx": replace(found.pins["rx"], pin="Z99")}
    with pytest.raises(
        BoardError,
        match=r"nextpnr-\S* failed: [^E].*Z99.*[^.]: mend package, speed or pins in its file",
    ):
        check_pins(replace(found, pins=pins), tmp_path, 100)


def test_lanes_leave_the_dsps_of_a_small_device_to_the_array() -> None:
    design = image(8, 4, 1).design
    small = synthesis(board("icebreaker"), design, ("a.v",))
    assert "chtype -set $__soft_mul sparseflow_lane*/t:$mul" in small
    assert not any("soft" in line for line in synthesis(board("ulx3s"), design, ("a.v",)))


def test_cells_are_counted_by_what_results_call_them() -> None:
    used = {"LUT4": 9, "DFF": 8, "BSRAM": 7, "MULT18X18": 1, "MULT9X9": 67, "RAM16SDP4": 5}
    tang = count_cells(board("tang_primer_20k"), used)
    assert tang == {"lut": 9, "ff": 8, "ram": 7, "dsp": 35, "distributed": 5}
    log = "Info:       2 LCs used as LUT4 and DFF\nInfo:        1 LCs used as DFF only\n"
    small = count_cells(board("icebreaker"), {"ICESTORM_LC": 3, "ICESTORM_DSP": 2}, log)
    assert small == {"lut": 3, "ff": 3, "ram": 0, "dsp": 2, "spram": 0}


def test_vendors_boards_have_no_bitstream(tmp_path: Path) -> None:
    given = image()
    with pytest.raises(BoardError, match=r"board arty_a7: no open tools for xc7a100t"):
        build_bitstream(board("arty_a7"), given.design, given, tmp_path / "out", seed=1)
    assert not list(tmp_path.iterdir())


SMALL = replace(board("ecpix5"), clock_hz=50_000_000)


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Built, list[str]]:
    """What every run of the tests builds, in a path that tools cannot take: over two minutes."""
    given, stages, out = image(), list[str](), tmp_path_factory.mktemp("bitstream") / "é b" / "a"
    built = build_bitstream(SMALL, given.design, given, out, seed=1, tell=stages.append)
    return out, built, stages


@pytest.mark.slow
@pytest.mark.synth
def test_smallest_bitstream(smallest: tuple[Path, Built, list[str]]) -> None:
    out, first, stages = smallest
    assert stages == ["writing Verilog", "synthesis", "place and route", "packing"]
    assert first.fmax_mhz >= 50
    bits = (out / first.bitstream).read_bytes()
    assert hashlib.sha256(bits).hexdigest() == first.bitstream_sha256
    assert Design(**json.loads((out / "design.json").read_text())) == image().design
    use = estimate(image().design, SMALL)
    assert use.multipliers == pytest.approx(first.dsp, rel=0.1)
    assert use.block_rams == pytest.approx(first.ram, rel=0.1)
    assert use.luts == pytest.approx(first.lut, rel=0.2)
    assert [path.name for path in out.parent.iterdir()] == ["a"]
    assert [attempt.fmax_mhz for attempt in first.attempts] == [first.fmax_mhz]
    # every cell is in a block, the array's in its PEs, and the path's time is that of the clock
    for kind in ("lut", "ff", "ram", "dsp"):
        assert sum(block.cells[kind] for block in first.blocks) == getattr(first, kind)
    assert next(block.instances for block in first.blocks if block.name == "core.pe") == 4
    path = first.paths[0]
    assert 1000 / (path.ns("logic") + path.ns("routing")) == pytest.approx(first.fmax_mhz, rel=0.01)


@pytest.mark.slow
@pytest.mark.synth
def test_same_seed_gives_the_same_bitstream(
    smallest: tuple[Path, Built, list[str]], tmp_path: Path
) -> None:
    given, news = image(), set[str]()
    again = build_bitstream(SMALL, given.design, given, tmp_path / "b", seed=1, note=news.add)
    assert again == smallest[1]
    assert any(text.startswith("placing, overlap COMB=") for text in news)


# kept of 8 and 32 weights of a bank, so that four fifths of the block RAM are taken, and a clock in
# MHz that such memories reach: their words are chosen from several blocks
FULL = {"ecpix5": (1, 4, 75), "ulx3s": (2, 10, 50)}


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize("name", FULL)
def test_a_network_that_fills_the_memory_is_placed_and_routed(name: str, tmp_path: Path) -> None:
    """The static placer goes round for ever on the first, as with the Shakespeare network."""
    *k, megahertz = FULL[name]
    given = replace(board(name), clock_hz=megahertz * 1_000_000)
    model = random_model(np.random.default_rng(0), 64, 256, banks=8, k_ih=k[0], k_hh=k[1])
    design = design_for(model, 4, 2, **given.options)
    built = build_bitstream(given, design, compile_model(model, design), tmp_path / "a", seed=1)
    assert built.ram >= 0.8 * given.has.block_rams
    assert built.fmax_mhz >= built.clock_mhz
    frozen = [attempt for attempt in built.attempts if attempt.failure.startswith("frozen")]
    assert frozen or name != "ecpix5"
    assert len(built.attempts) == len(frozen) + 1
