"""Runs Yosys on the job in the current folder; started as a script by :mod:`boards.tools.synth`.

Yosys aborts its process when an internal check fails, so it has one of its own. It reads
``job.json``, a list of commands; it finds Verilog and memory images by
name, so no path of the machine enters the netlist.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from pyosys import libyosys

__all__ = ["main"]


def main() -> None:
    """Run the job; leaves the process through Yosys' own error exit if it fails."""
    design = libyosys.Design()
    begin = time.perf_counter()
    for command in json.loads(Path("job.json").read_text(encoding="utf-8")):
        design.run_pass(command)
    Path("seconds.txt").write_text(f"{time.perf_counter() - begin}", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run Yosys on job.json in the current folder.")
    parser.parse_args()
    if not Path("job.json").is_file():
        parser.error("there is no job.json in this folder: sparseflow synth writes and runs it")
    main()
