"""Cycles, utilisation and simulation speed of the demo model on several arrays.

``python -m bench.array.arrays [--demo build/demo] [--json FILE]`` takes the model and the test
set that ``make demo`` left, runs every utterance on Verilator and a few on the other
simulators, and compares all states and cycles with the models.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.timing.cycle_model import CycleModel
from csb_format import IntArray, load_model
from engine.reference import IntegerModel
from hdl.verilog import emit_verilog
from pruning.tasks.data.datasets import load_sequences
from sim.check.verify import verify
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job
from sparseflow.pages.figures import floor
from sparseflow.steps.progress import counted

from ..record import write_record

ARRAYS = ((4, 4), (8, 8), (16, 8))
FEW = {"icarus": 10, "amaranth": 2}  # utterances on the slow simulators


@dataclass(frozen=True)
class _Workload:
    model: IntegerModel
    sequences: list[IntArray]
    work: Path


def main(
    demo: Annotated[Path, typer.Option(help="Folder of a finished demo.")] = Path("build/demo"),
    work: Annotated[Path, typer.Option(help="Folder for the simulators.")] = Path("build/bench"),
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
) -> None:
    """Measure, print a table, write JSON."""
    model = IntegerModel(load_model(demo / "model.safetensors"))
    frames = model.quantise(load_sequences(demo / "test.npz").sequences)
    workload = _Workload(model, frames, work)
    rows = [_measure(workload, pes, lanes) for pes, lanes in ARRAYS]
    Console(width=120).print(_table(rows))
    if json:
        write_record(json, "bench.array.arrays", 0, rows)


def _measure(load: _Workload, pes: int, lanes: int) -> dict[str, Any]:
    design = design_for(load.model.model, pes, lanes)
    image = compile_model(load.model.model, design)
    files = emit_verilog(design, load.work / f"{pes}x{lanes}", image)
    least = floor(load.model.model, design)
    row: dict[str, Any] = {"M": pes, "N": lanes, "E": design.units, "floor": least}
    for simulator, count in (("verilator", None), ("icarus", FEW["icarus"])):
        frames = load.sequences[:count]
        total = sum(map(len, frames))
        with counted(f"{pes}x{lanes} {simulator}", total, image.parts[0].beats_out) as tell:
            result = verify(
                load.model, image, files, frames, load.work, simulator=simulator, progress=tell
            )
        if not result.exact:
            raise SystemExit(f"error: {result.first or result.cycle_mismatch}")
        row[f"{simulator}_cycles_per_second"] = result.run.cycles_per_second
        if simulator == "verilator":
            row |= {"frames": result.frames, "mismatches": result.comparison.mismatches}
            row["rtl_cycles"] = int(result.steps.max())
            row["rtl_cycles_min"] = int(result.steps.min())
    row["model_cycles"] = int(CycleModel(image).run(result.frames).steps.max())
    row["utilisation"] = least / row["rtl_cycles"]
    row["amaranth_cycles_per_second"] = _amaranth(load, image)
    return row


def _amaranth(load: _Workload, image: Image) -> float:
    job = Job.of(image, load.sequences[: FEW["amaranth"]])
    started = time.perf_counter()
    outcome = simulate_amaranth(image, job)
    return outcome.total / (time.perf_counter() - started)


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="LSTM(12, 128) of the demo, whole steps, steady state, batch 1")
    names = ["M x N", "E", "floor", "model", "Verilog", "utilisation", "frames", "mismatches"]
    for name in [*names, "Verilator cyc/s", "Icarus cyc/s", "Amaranth cyc/s"]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row['M']} x {row['N']}",
            *(f"{row[k]:g}" for k in ("E", "floor", "model_cycles", "rtl_cycles")),
            f"{row['utilisation']:.1%}",
            *(f"{row[k]:,}" for k in ("frames", "mismatches")),
            *(f"{row[f'{s}_cycles_per_second']:,.0f}" for s in ("verilator", "icarus", "amaranth")),
        )
    return table


if __name__ == "__main__":
    typer.run(main)
