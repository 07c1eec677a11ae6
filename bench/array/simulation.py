"""Simulated cycles a second on a full network, against Verilator's bare C++ loop.

``python -m bench.array.simulation --json bench/results/simulation.json`` prints and writes the
table. The bare loop only clocks the same compiled model, with a frame on offer and all states
taken: no bench can be faster. Runs take turns, as other work on the machine slows them all;
each row has the fastest of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from compiler.abi.frames import Stimulus
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import IntArray, Model
from csb_format.files.folders import temporary_folder
from csb_format.random_models import random_frames, random_network
from engine.reference import IntegerModel
from hdl.verilog import VerilogFiles, emit_verilog
from sim.check.verify import verify
from sim.run.free_running import bare_speed, simulate_free_running
from sim.run.scenario import Job
from sim.run.verilog import simulate_verilog

from ..record import write_record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pes", type=int, default=16)
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--frames", type=int, default=4000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--cocotb", type=int, default=50, help="frames for cocotb; 0: leave out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    model = random_network(rng, 64, 256, 16, (1, 2, 1))
    image = compile_model(model, design_for(model, given.pes, given.lanes))
    sequences = random_frames(rng, model, [given.frames])
    with temporary_folder("bench") as folder:
        files = emit_verilog(image.design, Path(folder) / "v", image)
        exact = check(model, image, files, sequences, Path(folder))
        rows = speeds(image, files, sequences, given, Path(folder))
    show(rows, f"{given.pes} x {given.lanes}, {given.frames} frames, {exact} values bit-exact")
    if given.json:
        what = {"array": [given.pes, given.lanes], "network": "LSTM 64 -> 256, 16 banks, k 1 and 2"}
        write_record(given.json, "bench.array.simulation", given.seed, rows, **what, values=exact)


def check(
    model: Model, image: Image, files: VerilogFiles, sequences: list[IntArray], work: Path
) -> int:
    """The whole run against the integer model, to the bit and to the cycle."""
    found = verify(
        IntegerModel(model), image, files, sequences, work, simulate=simulate_free_running
    )
    if not found.exact:
        raise SystemExit(f"not exact: {found.first or found.cycle_mismatch}")
    return found.comparison.values


def speeds(
    image: Image,
    files: VerilogFiles,
    sequences: list[IntArray],
    given: argparse.Namespace,
    work: Path,
) -> list[dict[str, object]]:
    """Cycles a second of each way to run, the fastest of all turns."""
    job = Job.of(image, Stimulus.of(image, sequences))
    short = Job.of(image, Stimulus.of(image, [sequences[0][: given.cocotb or 1]]))
    best: dict[str, float] = {}
    cycles = 0
    for _ in range(given.turns):
        run = simulate_free_running(files, job, work)
        cycles = run.outcome.total
        found = {
            "bare C++ loop": bare_speed(files, job, cycles, work),
            "free-running": run.cycles_per_second,
        }
        for name, speed in found.items():
            best[name] = max(best.get(name, 0.0), speed)
    if given.cocotb:
        best["cocotb"] = simulate_verilog(files, short, work).cycles_per_second
    bare = best["bare C++ loop"]
    return [
        {"way": name, "cycles_per_second": round(speed), "share": round(speed / bare, 3)}
        | ({"cycles": cycles} if name != "cocotb" else {"cycles": None})
        for name, speed in best.items()
    ]


def show(rows: list[dict[str, object]], title: str) -> None:
    table = Table("way", "cycles a second", "of bare", title=title)
    for row in rows:
        table.add_row(str(row["way"]), f"{row['cycles_per_second']:,}", f"{row['share']:.0%}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
