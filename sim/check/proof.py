"""Proofs about blocks: Amaranth's ``Assert`` and ``Assume``, decided by Yosys' own SAT solver."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from csb_format.files.folders import temporary_folder

__all__ = ["ProofError", "prove_by_induction", "prove_up_to", "run_yosys"]

TIMEOUT = 600.0  # seconds given to one proof
RUN = (
    "import json, sys; from pyosys import libyosys; design = libyosys.Design()\n"
    "for command in json.load(sys.stdin): design.run_pass(command)"
)
READ = (
    "read_rtlil spec.il",
    "hierarchy -check -top spec",
    "proc",
    "flatten -noscopeinfo",
    "opt_clean",
    "memory -nomap",
    "memory_map",
    "opt -fast",
    "chformal -lower",
    "dffunmap",
    "opt_clean",
)


class ProofError(AssertionError):
    """An assertion that can fail, or that could not be proved; the message has a trace."""


def prove_by_induction(spec: wiring.Component, steps: int = 4, timeout: float = TIMEOUT) -> None:
    """Prove a specification's assertions in every cycle that can be reached.

    Parameters
    ----------
    spec : wiring.Component
        Its ports are free inputs; ``Assume`` restricts them, each ``Assert`` is to be proved.
        Synchronous blocks start from reset and are never reset again.
    steps : int
        Longest induction tried.
    timeout : float
        Seconds.

    Raises
    ------
    ProofError
        If an assertion fails, or if no induction of that length proves it.
    """
    _solve(spec, f"-tempinduct -maxsteps {steps}", timeout)


def prove_up_to(spec: wiring.Component, cycles: int, timeout: float = TIMEOUT) -> None:
    """Prove a specification's assertions in the first cycles; see :func:`prove_by_induction`.

    Raises
    ------
    ProofError
        If an assertion fails within ``cycles`` cycles.
    """
    _solve(spec, f"-tempinduct-baseonly -tempinduct -maxsteps {cycles}", timeout)


def _solve(spec: wiring.Component, how: str, timeout: float) -> None:
    commands = [*READ, f"sat {how} -prove-asserts -set-assumes -set rst 0 -verify -show-ports spec"]
    with temporary_folder("proof") as folder:
        text = rtlil.convert(spec, name="spec", emit_src=False)
        (folder / "spec.il").write_text(text)
        done = run_yosys(commands, folder, timeout)
    if done.returncode:
        raise ProofError(f"not proved ({how})\n{(done.stdout + done.stderr)[-6000:]}")


def run_yosys(
    commands: Sequence[str], folder: Path, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Yosys, in a process of its own that begins in a folder.

    Parameters
    ----------
    commands : sequence of str
    folder : path
    timeout : float
        Seconds.

    Raises
    ------
    subprocess.TimeoutExpired
    """
    return subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(commands, allow_nan=False),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
