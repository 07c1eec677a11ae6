"""What is delivered, through the parsers of others: no file is changed, nothing is set for one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyslang
import pytest
from pyslang import ast, syntax

from boards.link.gateware import LINK_MODULE, LinkTop
from compiler.abi.identity import AXI_MODULE
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format.random_models import random_model
from hdl.bus.accelerator import Accelerator
from hdl.core.core import Core
from hdl.keywords import KEYWORDS
from hdl.verilog import TOP_MODULE, VerilogFiles, emit_verilog
from sim.run.processes import environment

NAMES = re.compile(r"\\\S+|(?<![\w'$`.])[A-Za-z_][\w$]*")
TEXT = re.compile(r'"[^"]*"|//.*|/\*.*?\*/|\(\*.*?\*\)|`\w+')
# what Verilog written by us and by Yosys is made of
USED = {
    *("always", "and", "assign", "begin", "case", "casez", "default", "else", "end", "endcase"),
    *("endfunction", "endgenerate", "endmodule", "for", "function", "generate", "if", "initial"),
    *("input", "integer", "localparam", "module", "negedge", "or", "output", "parameter"),
    *("posedge", "reg", "signed", "wire"),
}
TOPS: dict[str, Any] = {
    "core": (TOP_MODULE, Core, {}),
    "axi": (AXI_MODULE, Accelerator, {}),
    "streamed": (AXI_MODULE, Accelerator, {"streamed": True}),
    "link": (LINK_MODULE, lambda d, i, h: LinkTop(d, i, 100e6, 25_000_000, h), {}),
}


@pytest.fixture(scope="module", params=TOPS)
def delivered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    name, top, options = TOPS[request.param]
    model = random_model(np.random.default_rng(1), 6, 5, banks=2, k_ih=1, k_hh=2)
    image = compile_model(model, design_for(model, 4, 2, **options))
    folder = tmp_path_factory.mktemp(request.param) / "rtl"
    return emit_verilog(image.design, folder, image, top=top, name=name)


def ran(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    given = list(map(str, command))
    return subprocess.run(
        given, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120
    )


def accepted(*command: str | Path, cwd: Path) -> None:
    done = ran(*command, cwd=cwd)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"[-2000:]
    assert "error" not in done.stderr.lower()


def verilator() -> str:
    return str(shutil.which("verilator", path=environment()["PATH"]))


@pytest.mark.quick(2)
def test_icarus_takes_it(delivered: VerilogFiles) -> None:
    accepted("iverilog", "-g2005", "-s", delivered.top, "-o", "out.vvp", *delivered.sources,
             cwd=delivered.folder)  # fmt: skip
    accepted("iverilog", "-g2012", "-s", delivered.top, "-o", "out.vvp", *delivered.sources,
             cwd=delivered.folder)  # fmt: skip
    (delivered.folder / "out.vvp").unlink()


@pytest.mark.parametrize("language", ["1364-2005", "1800-2017"])
def test_verilator_takes_it(delivered: VerilogFiles, language: str) -> None:
    accepted(verilator(), "--lint-only", "-Wall", "--language", language, "--top-module",
             delivered.top, "sparseflow.vlt", *delivered.sources, cwd=delivered.folder)  # fmt: skip


def test_yosys_takes_it(delivered: VerilogFiles) -> None:
    reads = "; ".join(f"read_verilog {name}" for name in delivered.sources)
    script = f"{reads}; hierarchy -check -top {delivered.top}; proc; check -assert"
    code = f"import pyosys.libyosys as y; d = y.Design(); y.run_pass({script!r}, d)"
    accepted(sys.executable, "-c", code, cwd=delivered.folder)


def test_slang_takes_it(delivered: VerilogFiles) -> None:
    compilation = ast.Compilation()
    for path in delivered.paths:
        compilation.addSyntaxTree(syntax.SyntaxTree.fromFile(str(path)))
    errors = [found for found in compilation.getAllDiagnostics() if found.isError()]
    told = pyslang.DiagnosticEngine.reportAll(compilation.sourceManager, errors)
    assert not errors, told[:2000]
    assert len(compilation.getRoot().topInstances) == 1


@pytest.mark.skipif(not shutil.which("verible-verilog-syntax"), reason="Verible is not installed")
def test_verible_takes_it(delivered: VerilogFiles) -> None:
    accepted("verible-verilog-syntax", *delivered.sources, cwd=delivered.folder)


def test_no_identifier_is_a_keyword_anywhere(delivered: VerilogFiles) -> None:
    for path in delivered.paths:
        names = {name.lstrip("\\") for name in NAMES.findall(TEXT.sub(" ", path.read_text()))}
        assert names & KEYWORDS <= USED, path.name
        escaped = {name[1:] for name in re.findall(r"\\\S+", path.read_text())}
        assert not escaped & KEYWORDS, path.name


def test_missing_images_stop_a_simulation_and_a_synthesis(delivered: VerilogFiles) -> None:
    elsewhere = delivered.folder.parent
    program = elsewhere / "out.vvp"
    accepted("iverilog", "-g2005", "-s", delivered.top, "-o", program, *delivered.paths,
             cwd=elsewhere)  # fmt: skip
    stopped = ran("vvp", "-n", program, cwd=elsewhere)
    assert stopped.returncode == 1
    assert "is missing or damaged" in stopped.stdout
    accepted("vvp", "-n", program, cwd=delivered.folder)
    place = f'-DSPARSEFLOW_IMAGES="{delivered.folder}"'
    accepted("iverilog", "-g2005", place, "-s", delivered.top, "-o", program, *delivered.paths,
             cwd=elsewhere)  # fmt: skip
    accepted("vvp", "-n", program, cwd=elsewhere)
    for path in delivered.paths:  # Yosys looks beside the sources too
        shutil.copy(path, elsewhere / path.name)
    reads = "; ".join(f"read_verilog {name}" for name in delivered.sources)
    script = f"{reads}; hierarchy -top {delivered.top}"
    code = f"import pyosys.libyosys as y; d = y.Design(); y.run_pass({script!r}, d)"
    assert ".mem" in (done := ran(sys.executable, "-c", code, cwd=elsewhere)).stdout + done.stderr
    assert done.returncode != 0


def test_a_cut_image_stops_a_simulation(delivered: VerilogFiles, tmp_path: Path) -> None:
    program = tmp_path / "out.vvp"
    accepted("iverilog", "-g2005", "-s", delivered.top, "-o", program, *delivered.paths,
             cwd=tmp_path)  # fmt: skip
    for name in delivered.images:
        shutil.copy(delivered.folder / name, tmp_path / name)
    accepted("vvp", "-n", program, cwd=tmp_path)
    image = tmp_path / "program.mem"
    image.write_text("\n".join(image.read_text().split()[:-1]))
    stopped = ran("vvp", "-n", program, cwd=tmp_path)
    assert stopped.returncode == 1
    assert "program.mem is missing or damaged" in stopped.stdout
