"""From a model to a folder: what is refused before any work, projects, the page at the end."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from boards.board import BoardError, board
from boards.build.attempts import Attempt
from boards.build.bitstream import Built
from boards.build.blocks import Block
from boards.build.critical import CriticalPath, Hop
from boards.build.record import SUMMARY_DATA
from boards.resources import RESOURCES, choice
from compiler.array.design import Design
from csb_format import Model
from csb_format.files.ownership import PlaceError
from csb_format.random_models import random_model
from sparseflow.pages.build_picture import pictures
from sparseflow.pages.summary import speeds, summary
from sparseflow.steps.build import SUMMARY, build

PROJECTS = ("arria10_gx", "arty_a7", "de10_nano", "kv260")


@pytest.fixture(scope="module")
def small() -> Model:
    return random_model(np.random.default_rng(0), 4, 8, banks=2, k_ih=1, k_hh=1)


def test_a_project_ends_with_its_summary(small: Model, tmp_path: Path) -> None:
    out, stages = tmp_path / "project", list[str]()
    page = build(small, "arty_a7", out, (4, 2), tell=stages.append)
    assert stages == ["writing the Vivado project"]
    assert (out / SUMMARY).read_text() == page
    assert page.startswith("# Arty A7-100T: 4 x 2 multipliers\n")
    assert "start: `vivado -mode batch -source build.tcl` in this folder" in page
    assert "the clock is a guess" in page
    design = Design(**json.loads((out / "design.json").read_text()))
    best = choice(small, board("arty_a7"), 4, 2)
    assert design == best.design
    data = json.loads((out / SUMMARY_DATA).read_text())
    assert (data["board"], data["part"], data["M"], data["N"]) == ("arty_a7", "xc7a100t", 4, 2)
    assert data["estimated"] == best.usage.counts(board("arty_a7").has)
    assert data["of"]["dsp"] == 240
    assert "ff" not in data  # only the vendor's tool counts
    build(small, "arty_a7", out, (4, 2))  # a folder of ours is replaced
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_page_names_the_pins_that_are_to_be_chosen(small: Model) -> None:
    pages = {
        n: summary(small, board(n), choice(small, board(n), 4, 2), None, 1.0) for n in PROJECTS
    }
    assert "- choose pins for rx, tx, led: the board's file has none\n" in pages["arria10_gx"]
    for name, page in pages.items():
        assert f"- then load: `{board(name).load}`\n" in page
    assert [name for name, page in pages.items() if "choose pins" in page] == ["arria10_gx"]


def test_a_folder_of_others_is_left_alone(small: Model, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(PlaceError, match=r"replaced as a whole but holds thesis\.tex: give a new"):
        build(small, "arty_a7", tmp_path)
    with pytest.raises(NotADirectoryError, match=r"is a file, not a folder.*thesis\.tex"):
        build(small, "arty_a7", tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_surely_does_not_fit_is_not_tried(tmp_path: Path) -> None:
    large = random_model(np.random.default_rng(0), 12, 64, banks=8, k_ih=1, k_hh=2)
    with pytest.raises(
        BoardError, match=r"16 x 8 does not fit ECPIX-5 45F: it takes \d+% of its multipliers; take"
    ) as caught:
        build(large, "ecpix5", tmp_path / "out", (16, 8))
    words = str(caught.value).split()
    pes, lanes = (int(words[words.index(flag) + 1].rstrip(",")) for flag in ("--pes", "--lanes"))
    assert choice(large, board("ecpix5"), pes, lanes).fits
    assert not list(tmp_path.iterdir())


def test_page_of_a_bitstream(small: Model) -> None:
    ulx3s = board("ulx3s")
    best = choice(small, ulx3s, 4, 2)
    built = Built(
        "ulx3s", 4, 2, 8, 90.5, 100.0, 8364, 1, 20, 39, 7, "ab" * 32, {"tool": "1"}, "x.bit"
    )
    page = summary(small, ulx3s, best, built, 61.0)
    assert f"{best.cycles} cycles, {best.cycles / 100:.2f} us at 100 MHz" in page
    assert "clock MISSED: place and route reached 90.5 MHz" in page
    assert "clock met" in summary(
        small, ulx3s, best, Built(**{**built.to_dict(), "fmax_mhz": 101}), 1
    )
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("|")]
    cells = {row[0].strip(): [field.strip() for field in row[1:]] for row in rows}
    assert cells["LUT"][1:] == ["8364", "83640", "10%"]
    assert cells["registers"][1:] == ["1", "83640", "0%"]
    assert cells["multipliers"][0] == str(best.usage.multipliers)
    assert len({len(line) for line in page.splitlines() if line.startswith("|")}) == 1
    assert f"bitstream x.bit, sha256 {'ab' * 32}" in page
    assert "- load: `openFPGALoader --board ulx3s sparseflow.bit` in this folder" in page
    assert "built in 61 s" in page


@pytest.mark.parametrize("name", ["ulx3s", "icebreaker", "tang_primer_20k"])
def test_every_kind_of_cells_of_a_device_stands_on_the_page(small: Model, name: str) -> None:
    one = board(name)
    best = choice(small, one, 4, 2)
    built = Built(name, 4, 2, 8, 90.5, 100.0, 10, 11, 12, 13, 7, "ab" * 32, {}, "x", 14, 15)
    page = summary(small, one, best, built, 1.0)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()
            if line.startswith("|")][2:]  # fmt: skip
    kinds = [kind for kind in RESOURCES if kind.of(one.has)]
    assert [row[0] for row in rows] == [kind.name for kind in kinds]
    assert [int(row[2]) for row in rows] == [getattr(built, kind.count) for kind in kinds]
    assert [int(row[3]) for row in rows] == [kind.of(one.has) for kind in kinds]
    wanted = best.usage.counts(one.has)
    assert {
        kind.count: int(row[1]) for kind, row in zip(kinds, rows, strict=True) if row[1]
    } == wanted
    assert ("large RAM" in page) == (name == "icebreaker")


@pytest.mark.slow
def test_a_board_of_ones_own_is_built_for(small: Model, tmp_path: Path) -> None:
    text = resources.files("boards").joinpath("data", "arty_a7.toml").read_text("utf-8")
    (tmp_path / "mine.toml").write_text(text.replace("H5", "J5"))
    page = build(small, tmp_path / "mine.toml", tmp_path / "out", (4, 2))
    assert page.startswith("# Arty A7-100T: 4 x 2")
    assert "PACKAGE_PIN J5" in (tmp_path / "out" / "board.xdc").read_text()
    build(small, f"{tmp_path / 'mine.toml'}:35t", tmp_path / "out", (4, 2))
    assert "xc7a35t" in (tmp_path / "out" / "build.tcl").read_text()


def test_speeds(small: Model) -> None:
    # 4 x 8 rows: 2 of 4 inputs, 2 of 8 hidden are kept; twice a multiplication and an addition
    real, dense = speeds(small, cycles=64, megahertz=100.0)
    assert real == pytest.approx(2 * 32 * (2 + 2) * 100e6 / 64 / 1e9)
    assert dense == pytest.approx(2 * 32 * (4 + 8) * 100e6 / 64 / 1e9)


def test_page_has_runs_cells_by_block_and_the_critical_path(small: Model) -> None:
    hops = (
        Hop("logic", 0.5, "core.pe.a", "link.accelerator.core.pe0.a_TRELLIS_FF_Q", "Q"),
        Hop("routing", 1.25, "core.pe.b", "link.accelerator.core.pe0.b_LUT4_Z", "A"),
        Hop("logic", 0.25, "core.pe.b", "link.accelerator.core.pe0.b_LUT4_Z", "F"),
    )
    cells = (
        Block("core.pe", 4, {"lut": 1324, "ff": 8, "ram": 16, "dsp": 0}),
        Block("link<b>", 1, {"lut": 7, "ff": 0, "ram": 0, "dsp": 0}),
    )
    built = Built(
        "ecpix5", 4, 2, 8, 90.5, 75.0, 1331, 8, 16, 0, 1, "ab" * 32, {"tool": "1"}, "x.bit",
        placer="heap", blocks=cells, paths=(CriticalPath("clk", "a.Q", "b.F", hops),),
        attempts=(Attempt(1, "static", failure="frozen: x"), Attempt(1, "heap", 90.5)),
    )  # fmt: skip
    ecpix5 = board("ecpix5")
    page = summary(small, ecpix5, choice(small, ecpix5, 4, 2), built, 61.0)
    assert "- seed 1, static: frozen: x\n- seed 1, heap: 90.5 MHz, taken\n" in page
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("|")]
    found = {row[0].strip(): [field.strip() for field in row[1:]] for row in rows}
    assert found["block"] == ["number", "LUT", "FF", "RAM"]  # no multipliers: no column
    assert found["core.pe"] == ["4", "1324", "8", "16"]
    assert found["link<b>"] == ["1", "7", "", ""]
    assert "- 2.00 ns: 0.75 logic, 1.25 routing" in page
    assert found["core.pe.b"] == ["1", "0.25", "1.25"]
    ((name, picture),) = pictures(built).items()
    assert f"]({name})" in page
    texts = [element.text for element in ElementTree.fromstring(picture).iter() if element.text]
    assert {"4 x core.pe", "1,324", "link<b>", "routing, 1.25 ns", "core.pe.b"} <= set(texts)


def test_page_names_the_clocks_that_were_missed(small: Model) -> None:
    runs = (Attempt(1, "heap", 81.91, clock_mhz=100.0), Attempt(1, "heap", 80.5, clock_mhz=79.0))
    built = Built(
        "ulx3s", 4, 2, 8, 80.5, 79.0, 8364, 1, 20, 39, 1, "ab" * 32, {"tool": "1"},
        placer="heap", attempts=runs,
    )  # fmt: skip
    ulx3s = replace(board("ulx3s"), clock_hz=79_000_000)
    page = summary(small, ulx3s, choice(small, ulx3s, 4, 2), built, 61.0)
    reached = "- clock met: place and route reached 80.5 MHz; 100 MHz was missed with 81.91 MHz\n"
    assert reached in page
    assert "- seed 1, heap: 81.91 MHz, asked for 100 MHz\n" in page
    assert "- seed 1, heap: 80.5 MHz, asked for 79 MHz, taken\n" in page


def test_page_without_blocks_has_no_picture(small: Model) -> None:
    built = Built("ulx3s", 4, 2, 8, 90.5, 100.0, 8364, 1, 20, 39, 7, "ab" * 32, {"tool": "1"})
    assert pictures(built) == {}
    best = choice(small, board("ulx3s"), 4, 2)
    assert "![" not in summary(small, board("ulx3s"), best, built, 61.0)


def test_seeds_and_limits_are_checked_before_the_work(small: Model, tmp_path: Path) -> None:
    wrong: dict[str, Any]
    for wrong in ({"seeds": 0}, {"seeds": 101}, {"timeout": 0.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            build(small, "ecpix5", tmp_path / "out", (4, 2), **wrong)
    assert not list(tmp_path.iterdir())
