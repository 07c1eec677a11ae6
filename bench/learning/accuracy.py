"""Scores of trainings in integers beside float training, seed by seed, and their means."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from csb_format import Model
from engine.learn.learner import Settings
from pruning.tasks.data.datasets import SequenceData

from ..record import Rows
from .floating import FloatNetwork
from .integers import IntegerNetwork
from .tasks import TASKS, Task

__all__ = ["ARITHMETICS", "rows_of", "summary"]


class Arithmetic(NamedTuple):
    """Widths of weights and activations, of gradients, and where exponents come from."""

    bits: int
    gradients: int
    exponents: str


ARITHMETICS = {
    "int8": Arithmetic(8, 8, "earlier"),
    "int8, gradients int16": Arithmetic(8, 16, "earlier"),
    "int16": Arithmetic(16, 16, "earlier"),
    "int8, own maxima": Arithmetic(8, 8, "own"),
}


class Network(Protocol):
    """Of floats or of integers."""

    def epoch(self, data: SequenceData, batch: int, seed: int, number: int) -> None:
        """Go through the data once."""

    def score(self, data: SequenceData) -> float:
        """Share of right answers."""


def rows_of(
    name: str, seed: int, arithmetics: list[str], timit: Path | None, smallest: bool
) -> Rows:
    """All trainings of a task and a seed."""
    task, rows = TASKS[name], list[dict[str, Any]]()
    found = task.made(seed, timit, smallest)
    epochs = 1 if smallest else task.epochs
    for mode in task.modes:
        for bits in sorted({ARITHMETICS[each].bits for each in arithmetics}):
            network = FloatNetwork(found.models[bits], mode, task.rate, task.clip)
            rows.append(_row(name, mode, f"float of {bits} bits' weights", seed))
            rows[-1] |= _trained(network, task, found, seed, epochs)
        for each in arithmetics:
            rows.append(_row(name, mode, each, seed))
            rows[-1] |= _integers(found.models, each, mode, task, found, seed, epochs)
            print(rows[-1], flush=True)
    return rows


def _row(name: str, mode: str, arithmetic: str, seed: int) -> dict[str, Any]:
    return {"task": name, "mode": mode, "arithmetic": arithmetic, "seed": seed}


def _integers(
    models: dict[int, Model], name: str, mode: Any, task: Task, found: Any, seed: int, epochs: int
) -> dict[str, Any]:
    how = ARITHMETICS[name]
    exponents: Any = how.exponents
    settings = Settings(mode, task.rate, how.gradients, seed, 0, exponents)
    network = IntegerNetwork(models[how.bits], settings)
    row = _trained(network, task, found, seed, epochs)
    return row | {"clipped": statistics.fmean(network.clipped)}


def _trained(network: Network, task: Task, found: Any, seed: int, epochs: int) -> dict[str, Any]:
    before = after = network.score(found.test)
    number = 0
    for number in range(1, epochs + 1):
        network.epoch(found.data, task.batch, seed, number)
        if task.until or number == epochs:
            after = network.score(found.test)
        if task.until and after >= task.until:
            break
    return {"before": before, "after": after, "epochs": number}


def summary(rows: Rows) -> Rows:
    """Means over the seeds, beside those of float training from the same weights."""
    keys = list(dict.fromkeys((r["task"], r["mode"], r["arithmetic"]) for r in rows))
    return [_mean(rows, *key) for key in keys if not key[2].startswith("float")]


def _mean(rows: Rows, task: str, mode: str, arithmetic: str) -> dict[str, Any]:
    def of(name: str) -> Rows:
        chosen = (r for r in rows if (r["task"], r["mode"], r["arithmetic"]) == (task, mode, name))
        return sorted(chosen, key=lambda row: row["seed"])

    ours = of(arithmetic)
    seeds = [row["seed"] for row in ours]
    bits = ARITHMETICS[arithmetic].bits
    theirs = [row for row in of(f"float of {bits} bits' weights") if row["seed"] in seeds]
    scores = [row["after"] for row in ours]
    return {
        "task": task,
        "mode": mode,
        "arithmetic": arithmetic,
        "seeds": len(ours),
        "before": statistics.fmean(row["before"] for row in ours),
        "score_mean": statistics.fmean(scores),
        "score_sd": statistics.stdev(scores) if len(scores) > 1 else 0.0,
        "float_mean": statistics.fmean(row["after"] for row in theirs),
        "epochs_mean": statistics.fmean(row["epochs"] for row in ours),
        "float_epochs_mean": statistics.fmean(row["epochs"] for row in theirs),
        "clipped": statistics.fmean(row["clipped"] for row in ours),
    }
