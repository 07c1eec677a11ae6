"""A folder as it is delivered: what every top must pass, whatever is in it."""

from __future__ import annotations

import shutil
import subprocess

from hdl.verilog import VerilogFiles
from sim.run.processes import environment

__all__ = ["check_delivered"]


def check_delivered(files: VerilogFiles) -> None:
    """No warning of Verilator's lint; plain Verilog-2005 for Icarus; its own test bench passes."""
    tools = environment()
    lint = [str(shutil.which("verilator", path=tools["PATH"])), "--lint-only", "-Wall"]
    lint += ["--top-module", files.top, "sparseflow.vlt", *files.sources]
    done = subprocess.run(lint, cwd=files.folder, capture_output=True, text=True, env=tools)
    assert (done.returncode, "Warning" in done.stderr) == (0, False), done.stderr[-2000:]
    command = ["iverilog", "-g2005", "-o", "tb", "-s", "sparseflow_tb"]
    subprocess.run([*command, *files.sources, "sparseflow_tb.v"], cwd=files.folder, check=True)
    done = subprocess.run(["vvp", "tb"], cwd=files.folder, capture_output=True, text=True)
    assert "PASS" in done.stdout.splitlines()
