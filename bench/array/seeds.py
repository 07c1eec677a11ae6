"""Accuracy at the four stages over several seeds: dense, pruned, integers, Verilog.

``python -m bench.array.seeds [--seeds 5] [--json FILE]`` runs the demo's steps for each seed on
all of JapaneseVowels, Verilog included. Nothing was chosen by looking at test data.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from sparseflow.pages.report import read_report
from sparseflow.steps import pipeline

from ..record import write_record

STAGES = ("dense", "pruned", "fixed", "rtl")


def main(
    seeds: Annotated[int, typer.Option(min=2, help="Seeds 0 .. this - 1.")] = 5,
    work: Annotated[Path, typer.Option(help="Folder for all runs.")] = Path("build/seeds"),
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
) -> None:
    """Measure, print a table, write JSON."""
    rows = [_run(work, seed) for seed in range(seeds)]
    spread = {stage: _spread([row[stage] for row in rows]) for stage in STAGES}
    Console(width=120).print(_table(rows, spread))
    if json:
        write_record(json, "bench.array.seeds", list(range(seeds)), rows, summary=spread)


def _run(work: Path, seed: int) -> dict[str, Any]:
    # One folder: the hardware is the same for every seed, so it is compiled once.
    pipeline.demo(out=work, seed=seed, icarus=0)
    found = read_report(work)
    return {stage: found["accuracy"][stage] for stage in STAGES} | {
        "seed": seed,
        "mismatches": found["mismatches"],
        "frames": found["frames"],
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "mean": statistics.mean(values),
        "stdev": statistics.stdev(values),
        "min": min(values),
        "max": max(values),
    }


def _table(rows: list[dict[str, Any]], spread: dict[str, dict[str, float]]) -> Table:
    table = Table(title="JapaneseVowels, 370 test utterances, LSTM(12, 128), 87.5 % asked")
    for name in ("seed", *STAGES, "mismatches"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(str(row["seed"]), *(f"{row[s]:.2%}" for s in STAGES), str(row["mismatches"]))
    table.add_section()
    table.add_row("mean", *(f"{spread[s]['mean']:.2%}" for s in STAGES), "")
    table.add_row("st. dev.", *(f"{spread[s]['stdev']:.2%}" for s in STAGES), "")
    return table


if __name__ == "__main__":
    typer.run(main)
