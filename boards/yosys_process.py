"""Runs Yosys on the job in the current folder; started as a script by :mod:`boards.synth`.

Yosys aborts its process when an internal check fails, so it has one of its own. It reads
``job.json`` and leaves the counts in ``cells.txt``; it finds Verilog and memory images by
name, so no path of the machine enters the netlist.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from pyosys import libyosys

__all__ = ["commands", "main"]


def commands(job: dict[str, object]) -> list[str]:
    """Yosys commands for a job: ``sources`` (names), ``top``, ``flatten``."""
    top = job["top"]
    reads = [f"read_verilog -sv {name}" for name in job["sources"]]  # type: ignore[attr-defined]
    synth = [f"synth_ecp5 -top {top}"]
    if not job["flatten"]:
        # ABC's results are put back under names such as port[0], which crashes Yosys 0.70
        # where a wire of that name is there; Amaranth names fields of arrays that way.
        synth = [f"hierarchy -check -top {top}", "rename -hide w:*", f"{synth[0]} -noflatten"]
    return [*reads, *synth, f"tee -q -o cells.txt stat -json -top {top}"]


def main() -> None:
    """Run the job; leaves the process through Yosys' own error exit if it fails."""
    design = libyosys.Design()
    begin = time.perf_counter()
    for command in commands(json.loads(Path("job.json").read_text(encoding="utf-8"))):
        design.run_pass(command)
    Path("seconds.txt").write_text(f"{time.perf_counter() - begin}", encoding="utf-8")


if __name__ == "__main__":
    main()
