"""``python -m bench.learning``: scores and speed of training in integers.

``--part accuracy`` trains every task with ten seeds, in float and in integers; ``--part speed``
times a training step beside PyTorch. What a file has already is kept and not trained again, so that
a call that was ended goes on; ``--anew`` trains it again.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from ..record import Rows, Smallest, write_record
from .accuracy import ARITHMETICS, rows_of, summary
from .tasks import TASKS

__all__ = ["main"]


class Part(StrEnum):
    """What is measured."""

    accuracy = "accuracy"
    speed = "speed"


def main(
    part: Annotated[Part, typer.Option(help="Which.")] = Part.accuracy,
    task: Annotated[list[str] | None, typer.Option(help="Only this one; repeat it.")] = None,
    arithmetic: Annotated[list[str] | None, typer.Option(help="Only this; repeat it.")] = None,
    seeds: Annotated[int, typer.Option(help="How many.", min=1)] = 10,
    first: Annotated[int, typer.Option(help="The first of them.", min=0)] = 0,
    timit: Annotated[
        Path | None, typer.Option(help="NLTK's sample of TIMIT, nltk_timit.tar.xz.")
    ] = None,
    anew: Annotated[bool, typer.Option(help="Train again what the file has.")] = False,
    smallest: Smallest = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Where the rows go as JSON.")
    ] = None,
) -> None:
    """Train, or time, and write down."""
    torch.set_num_threads(1)
    record = _kept(json_file)
    if part is Part.speed:
        from .speed import measured

        record["speed"] = measured(smallest)
        _write(json_file, record)
        return
    for seed in range(first, first + seeds):
        for name in _chosen(task, timit, smallest):
            wanted = _wanted(arithmetic, [] if anew else record["rows"], name, seed)
            if not wanted:
                continue
            new = rows_of(name, seed, wanted, timit, smallest)
            record["rows"] = _joined(record["rows"], new)
            _write(json_file, record)


def _wanted(arithmetic: list[str] | None, rows: Rows, task: str, seed: int) -> list[str]:
    """Arithmetics that have no rows of all modes yet."""
    known = {(r["mode"], r["arithmetic"]) for r in rows if (r["task"], r["seed"]) == (task, seed)}
    return [
        name
        for name in arithmetic or list(ARITHMETICS)[:3]
        if not all((mode, name) in known for mode in TASKS[task].modes)
    ]


def _chosen(task: list[str] | None, timit: Path | None, smallest: bool) -> list[str]:
    if unknown := [name for name in task or [] if name not in TASKS]:
        raise SystemExit(f"error: no task {unknown[0]}: choose from {', '.join(TASKS)}")
    chosen = list(task or TASKS)
    if "speakers" in chosen and timit is None and not smallest:
        raise SystemExit("error: give --timit nltk_timit.tar.xz, or --task without speakers")
    return chosen


def _kept(path: Path | None) -> dict[str, Any]:
    if path is None or not path.exists():
        return {"rows": [], "speed": []}
    found = json.loads(path.read_text("utf-8"))
    return {name: found.get(name, []) for name in ("rows", "speed")}


def _joined(rows: Rows, new: Rows) -> Rows:
    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return list(TASKS).index(row["task"]), row["mode"], row["arithmetic"], row["seed"]

    known = {key(row) for row in new}
    return sorted([row for row in rows if key(row) not in known] + new, key=key)


def _write(path: Path | None, record: dict[str, Any]) -> None:
    if path is None:
        return
    seeds = sorted({row["seed"] for row in record["rows"]})
    command = (
        "python -m bench.learning --timit nltk_timit.tar.xz --json bench/results/learning.json"
    )
    write_record(
        path, "bench.learning", seeds, record["rows"], command=command, speed=record["speed"],
        summary=summary(record["rows"]),
    )  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
