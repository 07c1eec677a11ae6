"""Assertions in every cycle that can be reached, decided by ABC.

Property directed reachability (Bradley, VMCAI 2011) finds the inductive invariants by itself, so
nothing has to be said of a block's inner state.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from importlib import util
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Value
from amaranth.lib import wiring

from csb_format.extras import install
from csb_format.files.folders import temporary_folder

from ..run.errors import SimulationError
from .proof import ProofError, run_yosys

__all__ = ["Undecided", "decide", "prove_always"]

TIMEOUT = 600.0  # seconds given to one proof

PREPARE = (
    "hierarchy -check -top spec",
    "proc",
    "{free}",
    "flatten -noscopeinfo",
    "opt_clean",
    "memory -nomap",
    "memory_map",
    "opt -fast",
    "async2sync",
    "chformal -cover -remove",
    "chformal -lower",
    "delete t:$cover t:$scopeinfo",
    "dffunmap",
    "setundef -anyseq -undriven",
    "opt_clean",
    "techmap",
    "opt -fast",
    "dffunmap",
    "simplemap",
    "setundef -anyseq",  # what is x may be anything
    "aigmap",
    "opt_clean",
    "tee -o counts.txt stat",
    "write_aiger -I -B -zinit -no-startoffset spec.aig",
)
PROVE = "read_aiger spec.aig; fold; strash; scorr"


class Undecided(ProofError):
    """No proof and no counterexample within the time."""


def prove_always(spec: wiring.Component, timeout: float = TIMEOUT) -> None:
    """Prove a specification's assertions in every cycle that can be reached from reset.

    Parameters
    ----------
    spec : wiring.Component
        As of :func:`~sim.check.proof.prove_by_induction`.
    timeout : float
        Seconds for each tool.

    Raises
    ------
    ProofError
        If an assertion can fail.
    Undecided
        If neither was shown in time.
    """
    with temporary_folder("proof") as folder:
        text = rtlil.convert(spec, name="inner", emit_src=False)
        (folder / "inner.il").write_text(text)
        (folder / "spec.v").write_text(_never_reset(spec, text))
        decide(["read_rtlil inner.il", "read_verilog spec.v"], folder, timeout)


def _never_reset(spec: wiring.Component, text: str) -> str:
    """A module around a specification whose reset stays low; all other inputs are its own."""
    widths = {
        "__".join(map(str, path)): len(Value.cast(value))
        for path, _, value in spec.signature.flatten(spec)
    }
    reset = ", .rst(1'b0)" if re.search(r"input \d+ +\\rst$", text, re.MULTILINE) else ""
    inputs = "".join(f", input [{width - 1}:0] {name}" for name, width in widths.items() if width)
    joined = "".join(f", .{name}({name})" for name, width in widths.items() if width)
    return f"module spec(input clk{inputs}); inner inner(.clk(clk){reset}{joined}); endmodule\n"


def decide(
    commands: Sequence[str], folder: Path, timeout: float, *, cut: str = "check"
) -> dict[str, int]:
    """Prove all assertions of a module ``spec``.

    Parameters
    ----------
    commands : sequence of str
        Of Yosys, which read it.
    folder : Path
        Where they begin; files of the proof are written there.
    timeout : float
        Seconds for each of the two tools.
    cut : str
        A command of Yosys before the hierarchy is flattened.

    Returns
    -------
    dict
        ``assertions`` and ``assumptions``, how many.

    Raises
    ------
    ProofError
        If an assertion can fail (the message says in which cycle), or Yosys refuses the text.
    Undecided
        If neither was shown in time.
    """
    _yosys([*commands, *(command.format(free=cut) for command in PREPARE)], folder, timeout)
    _prove(folder, timeout)
    counts = {"assertions": 0, "assumptions": 0}
    for number, kind in re.findall(
        r"^\s*(\d+)\s+\$(assert|assume)\s*$", (folder / "counts.txt").read_text(), re.MULTILINE
    ):
        counts[{"assert": "assertions", "assume": "assumptions"}[kind]] = int(number)
    return counts


def _yosys(commands: Sequence[str], folder: Path, timeout: float) -> None:
    if util.find_spec("pyosys") is None:
        raise SimulationError(install("pyosys", "bitstream"))
    done = run_yosys(commands, folder, timeout)
    if done.returncode:
        said = re.findall(r"^.*ERROR.*$", done.stdout + done.stderr, re.MULTILINE)
        raise ProofError(f"Yosys does not read it: {' '.join(said) or done.stderr[-1000:]}")


def _prove(folder: Path, timeout: float) -> None:
    """Let ABC decide every assertion for itself; where one fails, find the first cycle."""
    said = _abc("pdr -a", folder, timeout)
    result = re.search(r"All = (\d+)\. Proved = (\d+)\. Disproved = (\d+)", said)
    count, proved, failed = map(int, result.groups()) if result else (1, 0, 0)
    if failed:
        first = re.search(r"was asserted in frame +(\d+)", _abc("orpos; pdr", folder, timeout))
        when = f", the first {first[1]} cycles after the start" if first else ""
        raise ProofError(f"not proved: {failed} of {count} assertions fail{when}")
    if proved < count:
        raise Undecided(f"{count - proved} of {count} not decided in {timeout:g} s: {said[-1000:]}")


def _abc(how: str, folder: Path, timeout: float) -> str:
    found = util.find_spec("pyosys")
    assert found is not None
    assert found.origin is not None
    command = f"{PROVE}; {how} -T {int(timeout)}"
    return subprocess.run(
        [str(Path(found.origin).with_name("yosys-abc")), "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=2 * timeout,
    ).stdout
