"""Projects of vendor tools need nothing outside their folder."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from boards.board import BoardError, board
from boards.vendor import write_project
from csb_format.design import Design
from hdl.compiler import Image, compile_model
from sim.random_models import random_model

pytestmark = pytest.mark.vendor
WORDS = re.compile(r"[\w./]+\.(?:v|mem|xdc|sdc)\b")


@pytest.fixture(scope="module")
def image() -> Image:
    model = random_model(np.random.default_rng(0), 4, 8, banks=2, k_ih=1, k_hh=1)
    return compile_model(model, Design.for_model(model, 4, 2))


@pytest.mark.parametrize(
    ("name", "first", "known"),
    [
        ("arty_a7", "build.tcl", ["xc7a100tcsg324-1", "PACKAGE_PIN E3", "-period 10 "]),
        ("kv260", "build.tcl", ["xck26-sfvc784-2LV-c", "sparseflow:user:sparseflow_axi"]),
        ("de10_nano", "sparseflow.qpf", ["Cyclone V", "5CSEBA6U23I7", "PIN_V11 -to clk"]),
        ("arria10_gx", "sparseflow.qpf", ["Arria 10", "10AX115S2F45I1SG", "PIN_AU33 -to clk"]),
    ],
)
def test_project(image: Image, tmp_path: Path, name: str, first: str, known: list[str]) -> None:
    out = tmp_path / "project"
    files = write_project(board(name), image.design, image, out)
    assert files[0] == first
    assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} == set(files)
    scripts = [p for p in files if p.endswith((".tcl", ".qsf", ".xdc", ".sdc"))]
    text = "\n".join((out / p).read_text() for p in scripts)
    assert [word for word in known if word not in text] == []
    assert [word for word in WORDS.findall(text) if not (out / word).exists()] == []
    assert str(tmp_path) not in text
    sources = "\n".join((out / p).read_text() for p in files if p.endswith(".v"))
    named = set(re.findall(r"\w+\.mem", sources))
    assert named == {Path(p).name for p in files if p.endswith(".mem")}


def test_project_replaces_the_folder_as_a_whole(image: Image, tmp_path: Path) -> None:
    out = tmp_path / "project"
    out.mkdir()
    (out / "old").touch()
    write_project(board("arty_a7"), image.design, image, out)
    assert not (out / "old").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["project"]


def test_boards_of_open_tools_have_no_project(image: Image, tmp_path: Path) -> None:
    with pytest.raises(BoardError, match=r"board ulx3s: no vendor project"):
        write_project(board("ulx3s"), image.design, image, tmp_path / "project")
    assert not list(tmp_path.iterdir())
