"""docs/integration.md: its commands and its Python do what it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from boards.build.tops.memory import model_header
from boards.build.tops.tops import TOPS
from compiler.abi.dma import place
from compiler.abi.dma_registers import ENTRY, ENTRY_BYTES
from compiler.abi.register_text import HEADER_FILE, c_header
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format import save_model
from csb_format.random_models import random_model
from tests.docs.blocks import ROOT, blocks, one, reader_shell

PAGE = "docs/integration.md"
MODEL = random_model(np.random.default_rng(1), 6, 8, 2, 1, 1)


def test_its_table_is_that_of_the_tops() -> None:
    text = (ROOT / PAGE).read_text("utf-8")
    assert dict(re.findall(r"^\| `(\w+)` \| `(sparseflow\w*)` \|", text, re.M)) == TOPS
    assert all(f"\n## {top}\n" in text for top in TOPS)


def test_an_entry_is_as_it_says() -> None:
    words = re.sub(r"\s+", " ", (ROOT / PAGE).read_text("utf-8"))
    assert f"An entry of a list is {ENTRY_BYTES} bytes: the seven registers in the order" in words
    assert [register.address for register in ENTRY] == [*range(0x80, 0x98, 4), 0xA4]


def test_its_commands_and_its_python_run(tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors", MODEL)
    for block in blocks(PAGE, "sh"):
        if block.mark != "skip":
            done = reader_shell(block.text, tmp_path)
            assert done.returncode == 0, done.stderr
    there = {path.name for path in (tmp_path / "rtl").iterdir()}
    assert {"README.md", "sparseflow.core", "sparseflow_registers.h", "component.xml"} <= there
    image = compile_model(MODEL, design_for(MODEL, 4, 2))
    space: dict[str, Any] = {"image": image}
    exec(one(PAGE, "python", "dram"), space)
    assert space["placed"].data == (tmp_path / "rtl" / "sparseflow_model.bin").read_bytes()


def test_its_c_compiles(tmp_path: Path) -> None:
    (tmp_path / "job.c").write_text(one(PAGE, "c", "In C"))
    (tmp_path / HEADER_FILE).write_text(c_header())
    image = compile_model(MODEL, design_for(MODEL, 4, 2))
    placed = place([image], 0x1000_0000, 128)
    (tmp_path / "sparseflow_model.h").write_text(model_header([image], placed, "sparseflow"))
    strict = ["-std=c99", "-ffreestanding", "-Wall", "-Wextra", "-Werror"]
    command = ["gcc", "-c", *strict, "-Wno-int-to-pointer-cast", "-I.", f"-I{ROOT}/boards/c"]
    subprocess.run([*command, "job.c"], cwd=tmp_path, check=True)
