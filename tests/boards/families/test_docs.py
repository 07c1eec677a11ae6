"""What docs/boards.md says about adding a board and a part, followed to the letter."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from boards.board import OUTSIDE, OWN, Board, board, board_names
from boards.build.open_tools import pack, place, synthesis, tools_of
from boards.build.top_verilog import board_verilog
from boards.tools.synth import run_yosys
from compiler.array.needs import design_for
from csb_format.random_models import random_model
from tests.docs.blocks import one

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "boards.md").read_text("utf-8")


def block(heading: str, language: str) -> str:
    """The block of code below a heading."""
    return one("docs/boards.md", language, heading)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The room of boards, to be changed as the page says."""
    shutil.copytree(ROOT / "boards", tmp_path / "boards")
    return tmp_path


def run(copied: Path, program: str) -> subprocess.CompletedProcess[str]:
    """A program that imports the changed room, and all others as they are."""
    path = os.pathsep.join([str(copied), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": path, "COLUMNS": "120"}
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env=environment, cwd=copied, capture_output=True, text=True, check=False
    )


# from a model to what place and route is started with; the tools themselves take minutes
USE = """
from pathlib import Path
import boards
from boards.board import board
from boards.build.open_tools import synthesis, tools_of
from boards.build.top_verilog import emit_board
from boards.resources import fastest
from compiler.lower.compile import compile_model
from csb_format.random_models import demo_sized
assert Path(boards.__file__).parent == Path("boards").resolve()
given, model = board({name!r}), demo_sized()
best = fastest(model, given)
assert best.fits
files = emit_board(given, best.design, compile_model(model, best.design), Path("verilog"))
assert synthesis(given, best.design, files.sources)[-1].startswith("synth_ecp5")
tools = tools_of(given)
print(given.title, tools.device(given), tools.constraints(given).lines[0])
print(best.design.pes, best.design.lanes, len(files.sources))
"""


@pytest.mark.slow
def test_a_board_that_is_shipped(copied: Path) -> None:
    (copied / "boards/data/mine.toml").write_text(block("A board of your own", "toml"))
    done = run(copied, USE.format(name="mine"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ULX3S-25F, UART on the header ['--25k'] LOCATE COMP \"clk\"")
    listed = run(copied, "from sparseflow.commands.cli import app; app(['boards'])")
    assert "mine_85f" in listed.stdout, listed.stderr


@pytest.mark.slow
def test_a_part_of_a_known_family(copied: Path) -> None:
    text = block("A board of your own", "toml").replace("LFE5U-25F", "LFE5UM-85F")
    (copied / "boards/data/mine.toml").write_text(text)
    refused = run(copied, "from boards.board import board; board('mine')")
    wanted = r"part 'LFE5UM-85F' is not one that ecp5 knows \(LFE5U-12F, .*as docs/boards.md says"
    assert re.search(wanted, refused.stderr)
    family = copied / "boards/families/ecp5.py"
    before, start, after = family.read_text("utf-8").partition("PARTS = {\n")
    family.write_text(before + start + block("Add a part", "python") + after, "utf-8")
    done = run(copied, USE.format(name="mine"))
    assert done.returncode == 0, done.stderr
    assert "['--um-85k']" in done.stdout


def test_every_key_of_a_file_is_on_the_page() -> None:
    section = PAGE.partition("## A board of your own\n")[2].partition("\n## ")[0]
    keys = {field.name for field in fields(Board)} - {*OUTSIDE, "title"} | set(OWN)
    table = " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("|"))
    assert keys <= set(re.findall(r"`(\w+)`", table))


# instead of the accelerator, so that the board's own top is all there is to place
LINK = """module sparseflow_link(
    input clk, input rst, input rx, output reg tx, output reg led
);
    always @(posedge clk) begin tx <= rx; led <= rst; end
endmodule
"""


def made(one: Board, work: Path) -> bytes:
    """The bitstream of a board's top around a line that answers with what it hears."""
    (work / "board.v").write_text(board_verilog(one))
    (work / "link.v").write_text(LINK)
    small = random_model(np.random.default_rng(0), 4, 4, 1, 1, 1, value_bits=8, act_bits=8)
    design = design_for(small, 4, 1, **one.options)
    flat = ["flatten -noscopeinfo", "opt_clean -purge", "write_json netlist.json"]
    run_yosys(work, [*synthesis(one, design, ("board.v", "link.v")), *flat], 300)
    place(one, work, tools_of(one).placers[0], 1, 300, lambda text: None)
    return pack(one, work, 300).read_bytes()


def idcode(bits: bytes) -> int:
    """Which device an ECP5 bitstream is for: the operand of its command VERIFY_ID."""
    return int.from_bytes(bits[(at := bits.index(b"\xe2\0\0\0") + 4) : at + 4], "big")


@pytest.mark.synth
def test_a_board_of_ones_own_is_placed_and_routed(tmp_path: Path) -> None:
    file = tmp_path / "my_board.toml"
    file.write_text(block("A board of your own", "toml"))
    (tmp_path / "work").mkdir()
    assert idcode(made(board(file), tmp_path / "work")) == 0x41111043  # of an LFE5U-25F


OPEN = [name for name in board_names() if board(name).family.tools]
IDCODES = {"ulx3s_12f": 0x21111043, "ulx3s_25f": 0x41111043, "ulx3s_45f": 0x41112043,
           "ulx3s": 0x41113043, "ecpix5": 0x81112043, "ecpix5_85f": 0x81113043}  # fmt: skip


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize("name", OPEN)
def test_every_open_board_is_placed_and_is_for_its_device(name: str, tmp_path: Path) -> None:
    bits = made(board(name), tmp_path)
    assert len(bits) > 1000
    if board(name).family.name == "ecp5":
        assert idcode(bits) == IDCODES[name]
