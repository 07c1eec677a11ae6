"""Synthesis for ECP5 with Yosys: how many cells an accelerator takes, and what it fits on.

``sparseflow synth --pes 4 --lanes 4`` prints the counts for a random model of the demo's size,
``--model FILE`` those for a packed one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from csb_format.extras import install
from csb_format.files.folders import is_plain, temporary_folder
from hdl.verilog import TOP_MODULE, VerilogFiles
from sim.run.errors import Timeout, ToolFailed
from sim.run.processes import tail, watched

from .cells import CellReport, ModuleCells
from .run import watch

__all__ = ["SynthesisError", "reading", "run_yosys", "synthesise_ecp5"]

SCRIPT = Path(__file__).with_name("yosys_process.py")
# Without any names ABC takes other cuts: 254 look-up tables more in 4,553 for the same logic. So
# counts hide no more than they must; bitstreams hide all, as their figures were measured.
IN_BRACKETS = "w:*]"
# leaves where they came from, not hardware
REMARKS = {"$scopeinfo"}
# $paramod\ram\WIDTH=..., or $paramod$<digest>\ram where that would be too long
VARIANT = re.compile(r"\$paramod(?:\$[0-9a-f]+)?\\([^\\]+)")


class SynthesisError(RuntimeError):
    """Verilog that Yosys does not turn into cells."""


def synthesise_ecp5(
    files: VerilogFiles,
    *,
    top: str = TOP_MODULE,
    flatten: bool = True,
    boxes: tuple[str, ...] = (),
    timeout: float,
    note: Callable[[str], None] = lambda text: None,
) -> CellReport:
    """Count the ECP5 cells of an accelerator.

    Yosys runs in a process and a temporary folder of its own; ``files.folder`` is only read.

    Parameters
    ----------
    files : VerilogFiles
        As :func:`hdl.verilog.emit_verilog` returns them.
    top : str
        Module to synthesise.
    flatten : bool
        True: dissolve modules first, as one does before placement. False: synthesise each
        module once and count its instances; the sum is higher, as nothing is shared.
    boxes : tuple of str
        Modules of which nothing is counted, such as memories.
    timeout : float
        Seconds after which Yosys is killed.
    note : callable
        Told what Yosys is about.

    Returns
    -------
    CellReport

    Raises
    ------
    SynthesisError
        If pyosys or a file is missing, or Yosys fails or is killed; the message ends with
        its error.
    """
    _require(files)
    with temporary_folder("synth") as work:
        for name in (*files.sources, *files.images):
            shutil.copy(files.folder / name, work / name)
        look = watch(work / "yosys.log", note)
        run_yosys(work, ecp5_commands(files.sources, top, flatten, boxes), timeout, look)
        modules = _modules((work / "cells.txt").read_text(encoding="utf-8"), top)
        seconds = float((work / "seconds.txt").read_text(encoding="utf-8"))
    return CellReport(modules, flatten, importlib.metadata.version("pyosys"), seconds)


def ecp5_commands(
    sources: tuple[str, ...], top: str, flatten: bool, boxes: tuple[str, ...] = ()
) -> list[str]:
    """Yosys commands that count ECP5 cells into ``cells.txt``."""
    synth = f"synth_ecp5 -top {top}" + ("" if flatten else " -noflatten")
    return [
        *reading(sources, top, IN_BRACKETS, boxes),
        synth,
        f"tee -q -o cells.txt stat -json -top {top}",
    ]


def reading(
    sources: tuple[str, ...], top: str, hidden: str = "w:*", boxes: tuple[str, ...] = ()
) -> list[str]:
    """Yosys commands that read a design, before those of a device.

    Parameters
    ----------
    sources : tuple of str
    top : str
    hidden : str
        Wires that lose their names; those in brackets must.
    boxes : tuple of str
        Modules, each in a file of its own, of which only the ports are read.
    """
    outline = {f"{name}.v" for name in boxes}
    reads = [f"read_verilog {'-lib ' if name in outline else ''}{name}" for name in sources]
    # ABC's results are put back under names such as port[0], which crashes Yosys 0.70 where a wire
    # of that name is there; Amaranth names fields of arrays that way.
    return [*reads, f"hierarchy -top {top}", f"rename -hide {hidden}"]


def _require(files: VerilogFiles) -> None:
    """Refuse before Yosys would, and say how to mend it."""
    if importlib.util.find_spec("pyosys") is None:
        raise SynthesisError(install("pyosys"))
    for name in (*files.sources, *files.images):
        if not (files.folder / name).is_file():
            raise SynthesisError(
                f"{files.folder / name} is missing: emit the Verilog again, into a folder "
                "that nothing else writes to"
            )


def run_yosys(
    work: Path, commands: list[str], timeout: float, look: Callable[[], None] | None = None
) -> None:
    """Run Yosys in a folder; it, and the ABC that it starts, do not outlive this call.

    Parameters
    ----------
    work : Path
    commands : list of str
    timeout : float
        Seconds.
    look : callable, optional
        Called again and again while it runs; its log is ``yosys.log``.

    Raises
    ------
    SynthesisError
        If it fails or takes longer than ``timeout`` seconds.
    """
    if not is_plain(work.resolve()):
        raise SynthesisError(
            f"Yosys cannot work in {work.resolve()}: set TMPDIR to a folder whose path has only "
            "letters, digits and _./+@-"
        )
    (work / "job.json").write_text(json.dumps(commands, allow_nan=False), encoding="utf-8")
    # -P: the script's folder is a package, not a place of top-level modules
    command = [sys.executable, "-P", str(SCRIPT)]
    log, extra = work / "yosys.log", {"TMPDIR": str(work.resolve())}
    try:
        watched("Yosys", command, log, timeout, folder=work, extra=extra, look=look)
    except Timeout:
        raise SynthesisError(
            f"Yosys killed after {timeout:g} s: allow it more by --timeout, or choose fewer --pes "
            "or --lanes"
        ) from None
    except ToolFailed as error:
        raise SynthesisError(f"Yosys failed (exit {error.status}): {_said(log)}") from None
    if not (work / "seconds.txt").exists():
        raise SynthesisError(f"Yosys did not finish: {_said(log)}")


def _said(log: Path) -> str:
    """The error in a log, or its last line: what comes before is only what it has done."""
    lines = [line.strip() for line in tail(log).splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line]
    return (errors[:1] or lines[-1:] or ["it said nothing"])[0]


def _modules(text: str, top: str) -> tuple[ModuleCells, ...]:
    """Counts from the output of ``stat -json``, which has a headline above."""
    found = json.loads(text[text.index("{") :])["modules"]
    counts = {
        name.removeprefix("\\"): {
            kind.removeprefix("\\"): count
            for kind, count in module.get("num_cells_by_type", {}).items()
            if kind not in REMARKS
        }
        for name, module in found.items()
    }
    instances, cells = Counter[str](), dict[str, Counter[str]]()
    _add(counts, top, 1, instances, cells)
    return tuple(ModuleCells(name, instances[name], dict(kinds)) for name, kinds in cells.items())


def _add(
    counts: dict[str, dict[str, int]],
    module: str,
    times: int,
    instances: Counter[str],
    cells: dict[str, Counter[str]],
) -> None:
    """Add a module and all inside it; variants of a parametrised module become one."""
    variant = VARIANT.match(module)
    name = variant[1] if variant else module
    instances[name] += times
    own = cells.setdefault(name, Counter())
    for kind, count in counts[module].items():
        if kind in counts:
            _add(counts, kind, times * count, instances, cells)
        else:
            own[kind] += times * count
