"""One small accelerator for all tests of this room, and a run of what synthesis makes of any."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from boards.board import Board
from boards.build.open_tools import synthesis
from boards.link.c_header import write_headers
from boards.tools.synth import run_yosys
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import Model
from csb_format.random_models import random_frames, random_model
from engine.reference import IntegerModel
from hdl.verilog import TOP_MODULE, VerilogFiles, emit_verilog
from sim.check.verify import verify


@pytest.fixture(scope="session")
def model() -> Model:
    """8 inputs, 64 units: the smallest whose matrix memories are worth block RAM."""
    return random_model(np.random.default_rng(3), 8, 64, banks=4, k_ih=1, k_hh=4)


@pytest.fixture(scope="session")
def design(model: Model) -> Design:
    return design_for(model, pes=4, lanes=4)


@pytest.fixture(scope="session")
def files(model: Model, design: Design, tmp_path_factory: pytest.TempPathFactory) -> VerilogFiles:
    folder: Path = tmp_path_factory.mktemp("boards") / "verilog"
    return emit_verilog(design, folder, compile_model(model, design))


@pytest.fixture
def cells_of(tmp_path: Path) -> Callable[[Board, Image, str], dict[str, int]]:
    """Counts the cells of a core, once their simulation has given what the model says.

    The last argument is Verilog of the family's cells.
    """

    def cells_of(board: Board, image: Image, cells: str) -> dict[str, int]:
        files = emit_verilog(image.design, tmp_path / "verilog")
        for name in files.sources:
            shutil.copy(files.folder / name, tmp_path / name)
        commands = synthesis(board, image.design, files.sources, TOP_MODULE)
        out = tmp_path / "netlist"
        out.mkdir()
        write = f"write_verilog -noattr netlist/{TOP_MODULE}.v"
        run_yosys(tmp_path, [*commands, "tee -q -o cells.txt stat -json", write], 1200)
        (out / "cells.v").write_text(cells, "utf-8")
        netlist = VerilogFiles(out, (f"{TOP_MODULE}.v", "cells.v"), ())
        sequences = random_frames(np.random.default_rng(2), image.model, [3, 2])
        model = IntegerModel(image.model)
        found = verify(model, image, netlist, sequences, tmp_path, simulator="icarus", load=True)
        assert found.exact, found.first
        assert found.cycle_mismatch is None
        text = (tmp_path / "cells.txt").read_text("utf-8")
        counts: dict[str, int] = json.loads(text[text.index("{") :])["design"]["num_cells_by_type"]
        return {kind.removeprefix("\\"): n for kind, n in counts.items()}

    return cells_of


@pytest.fixture(scope="session")
def c_host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C driver, first as it is on a bare processor, then with a program around it."""
    folder = tmp_path_factory.mktemp("c")
    write_headers(folder)
    with resources.as_file(resources.files("boards") / "c") as sources:
        strict = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
        strict += [f"-I{folder}", f"-I{sources}"]
        for part in ("sparseflow", "sparseflow_input"):
            bare = [*strict, "-Wconversion", "-ffreestanding", "-c", str(sources / f"{part}.c")]
            subprocess.run([*bare, "-o", str(folder / f"{part}.o")], check=True)
        names = sorted(str(path) for path in sources.glob("*.c"))
        subprocess.run([*strict, "-Wconversion", *names, "-o", str(folder / "host")], check=True)
    objects = [folder / "sparseflow.o", folder / "sparseflow_input.o"]
    undefined = subprocess.run(["nm", "-u", "-A", *objects], capture_output=True, check=True)
    assert undefined.stdout.split() == []  # no C library
    return folder / "host"
