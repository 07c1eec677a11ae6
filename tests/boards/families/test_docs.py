"""What docs/boards.md says about adding a board and a part, followed to the letter."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "boards.md").read_text("utf-8")


def block(heading: str, language: str) -> str:
    """The first block of code below a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found, f"{heading} has no block of {language}"
    return found[1]


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


def test_a_board_of_a_known_part(copied: Path) -> None:
    path = re.search(r"`(boards/data/\w+\.toml)`:", PAGE)
    assert path is not None
    (copied / path[1]).write_text(block("Add a board", "toml"))
    done = run(copied, USE.format(name=Path(path[1]).stem))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('ULX3S-25F [\'--25k\'] LOCATE COMP "clk" SITE "G2";')
    listed = run(copied, "from sparseflow.commands.cli import app; app(['boards'])")
    assert "ulx3s_25f" in listed.stdout, listed.stderr


def test_a_part_of_a_known_family(copied: Path) -> None:
    text = block("Add a board", "toml").replace("25F", "12F")
    (copied / "boards/data/ulx3s_12f.toml").write_text(text)
    refused = run(copied, "from boards.board import board; board('ulx3s_12f')")
    wanted = r"part 'LFE5U-12F' is not one that ecp5 knows \(LFE5U-25F, .*as docs/boards.md says"
    assert re.search(wanted, refused.stderr)
    family = copied / "boards/families/ecp5.py"
    before, start, after = family.read_text("utf-8").partition("PARTS = {\n")
    family.write_text(before + start + block("Add a part", "python") + after, "utf-8")
    done = run(copied, USE.format(name="ulx3s_12f"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ULX3S-12F ['--12k']")
