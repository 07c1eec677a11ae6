"""Switching activity of a run, for power tools: SAIF or VCD, and changes block by block."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.lower.image import Image
from csb_format import IntArray
from csb_format.files.folders import private_folder, put
from engine.reference import IntegerModel

from ..progress import say
from .parts import Parts

if TYPE_CHECKING:
    from hdl.verilog import VerilogFiles
    from sim.check.activity import Activity
    from sim.run.scenario import Job
    from sim.run.verilog import VerilogRun

__all__ = ["FOLDER", "forget", "recorded"]

FOLDER = "activity"  # in the folder of a run
BLOCKS = "blocks.json"


def forget(build: Path) -> None:
    """Remove what a run before, of another model it may be, has left in its folder."""
    shutil.rmtree(build / FOLDER, ignore_errors=True)


def recorded(
    parts: Parts,
    form: str,
    image: Image,
    files: VerilogFiles,
    frames: Sequence[IntArray],
    build: Path,
) -> None:
    """Run frames once more, with all signals looked at.

    Parameters
    ----------
    parts : Parts
    form : {"saif", "vcd"}
    image, files, frames
        As they were simulated.
    build : Path
        Gets ``activity/``: a file for each program, and with SAIF ``blocks.json``.

    Raises
    ------
    Mismatched
        If a state or a cycle of this run differs; what was counted is not kept.
    """
    from sim.check.verify import verify
    from sim.run.errors import Mismatched
    from sim.run.free_running import record_activity

    parts.begin("activity")
    with private_folder(build, FOLDER) as beside:
        new = beside / FOLDER
        new.mkdir()
        made: list[Path] = []

        def simulate(files: VerilogFiles, job: Job, work: Path, **more: Any) -> VerilogRun:
            made.append(new / f"program{len(made)}.{form}")
            return record_activity(files, job, work, made[-1], form, progress=more["progress"])

        result = verify(
            IntegerModel(image.model), image, files, frames, build,
            contexts=image.design.contexts, simulate=simulate,
        )  # fmt: skip
        if not result.exact:
            first = result.comparison.first or result.cycle_mismatch
            raise Mismatched(f"with all signals looked at: {first}")
        if form == "saif":
            _sum_up(new, made)
        put(new, build / FOLDER)
    say(f"switching activity in {build / FOLDER}: {len(made)} .{form}")


def _sum_up(folder: Path, made: Sequence[Path]) -> None:
    from sim.check.activity import read_saif

    found: list[Activity] = []
    for path in made:
        with path.open(encoding="utf-8") as lines:
            found.append(read_saif(lines))
    text = json.dumps([asdict(each) for each in found], indent=1, allow_nan=False)
    (folder / BLOCKS).write_text(text + "\n", encoding="utf-8")
    for each in found:
        say(f"{each.changes} changes of bits in {each.cycles} cycles")
