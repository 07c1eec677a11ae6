"""Cycles, utilisation and simulation speed of the demo model on several arrays.

``python -m bench.array.arrays [--demo build/demo] [--json FILE]`` takes the model and the test
set that ``make demo`` left, runs every utterance on Verilator and a few on the other
simulators, and compares all states and cycles with the models. ``--array 4x4`` picks arrays,
``--simulator icarus`` lets Icarus run every utterance, and Verilator none.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.timing.cycle_model import CycleModel
from csb_format import IntArray, load_model
from engine.reference import IntegerModel
from hdl.verilog import VerilogFiles, emit_verilog
from pruning.tasks.data.datasets import load_sequences
from sim.check.verify import Verification, verify
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job
from sparseflow.pages.figures import floor
from sparseflow.steps.progress import counted

from ..record import write_record

ARRAYS = ("4x4", "8x8", "16x8")
FEW = {"icarus": 10, "amaranth": 2}  # utterances on the slow simulators


@dataclass(frozen=True)
class _Workload:
    model: IntegerModel
    sequences: list[IntArray]
    work: Path


def main(
    demo: Annotated[Path, typer.Option(help="Folder of a finished demo.")] = Path("build/demo"),
    work: Annotated[Path, typer.Option(help="Folder for the simulators.")] = Path("build/bench"),
    array: Annotated[list[str] | None, typer.Option(help="M x N, as 4x4; may repeat.")] = None,
    simulator: Annotated[
        Literal["verilator", "icarus"], typer.Option(help="Runs every utterance.")
    ] = "verilator",
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
) -> None:
    """Measure, print a table, write JSON."""
    sizes = [_size(text) for text in array or ARRAYS]
    workload = _workload(demo, work)
    rows = [_measure(workload, pes, lanes, simulator) for pes, lanes in sizes]
    Console(width=120).print(_table(rows))
    if json:
        write_record(json, "bench.array.arrays", 0, rows)


def _size(text: str) -> tuple[int, int]:
    """M and N of ``MxN``."""
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None:
        raise typer.BadParameter(f"--array {text}: give M and N as 16x8")
    return int(found[1]), int(found[2])


def _workload(demo: Path, work: Path) -> _Workload:
    missing = [name for name in ("model.safetensors", "test.npz") if not (demo / name).exists()]
    if missing:
        raise SystemExit(f"error: {demo} has no {missing[0]}: run `sparseflow demo --out {demo}`")
    model = IntegerModel(load_model(demo / "model.safetensors"))
    frames = model.quantise(load_sequences(demo / "test.npz").sequences)
    return _Workload(model, frames, work)


def _measure(load: _Workload, pes: int, lanes: int, main: str) -> dict[str, Any]:
    """One array; ``main`` runs every utterance, the slower ones a few."""
    design = design_for(load.model.model, pes, lanes)
    image = compile_model(load.model.model, design)
    files = emit_verilog(design, load.work / f"{pes}x{lanes}", image)
    least = floor(load.model.model, design)
    whole = _verified(load, image, files, main, load.sequences)
    row: dict[str, Any] = {"M": pes, "N": lanes, "E": design.units, "floor": least}
    row |= {"frames": whole.frames, "mismatches": whole.mismatches}
    row |= {"rtl_cycles": int(whole.steps.max()), "rtl_cycles_min": int(whole.steps.min())}
    row |= {f"{main}_cycles_per_second": whole.run.cycles_per_second}
    if main != "icarus":
        part = _verified(load, image, files, "icarus", load.sequences[: FEW["icarus"]])
        row["icarus_cycles_per_second"] = part.run.cycles_per_second
    row["model_cycles"] = int(CycleModel(image).run(whole.frames).steps.max())
    row["utilisation"] = least / row["rtl_cycles"]
    row["amaranth_cycles_per_second"] = _amaranth(load, image)
    return row


def _verified(
    load: _Workload, image: Image, files: VerilogFiles, simulator: str, frames: list[IntArray]
) -> Verification:
    """A run in which every state and every cycle is as predicted; ends the program if not."""
    title, total = f"{image.design.pes}x{image.design.lanes} {simulator}", sum(map(len, frames))
    with counted(title, total, image.parts[0].beats_out) as tell:
        result = verify(
            load.model, image, files, frames, load.work, simulator=simulator, progress=tell
        )
    if not result.exact:
        raise SystemExit(f"error: {title}: {result.first or result.cycle_mismatch}")
    return result


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
            *(_speed(row.get(f"{name}_cycles_per_second")) for name in ("verilator", *FEW)),
        )
    return table


def _speed(cycles_per_second: float | None) -> str:
    return "" if cycles_per_second is None else f"{cycles_per_second:,.0f}"


if __name__ == "__main__":
    typer.run(main)
