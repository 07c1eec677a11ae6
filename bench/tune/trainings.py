"""Real trainings, once, for searches to be compared on: ``python -m bench.tune.trainings``.

Networks of JapaneseVowels, small enough that pruning costs something, each pruned to every pattern
of a grid, fine-tuned briefly and at length, and scored in integers on utterances that it has not
seen. It stops and goes on at any moment: ``--work`` keeps what is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from sim.jobs.engines import LocalEngine
from sim.jobs.run import run_tasks
from sim.jobs.store import Store
from sim.jobs.task import Outcome, Task
from sparseflow.tune.patterns import DENSITIES, Pattern, Sizes, kept_energy, patterns

from ..record import Smallest, write_record
from .vowels import BITS, INPUTS, SEED

__all__ = ["EPOCHS", "NETWORKS", "main", "sizes_of"]

NETWORKS = {"vowels16": 16, "vowels24": 24}
BANKS = (1, 2, 4, 8)
FINE = (1.0, 0.875, 0.75, 0.625, 0.5, 0.4375, 0.375, 0.3125, 0.25, 0.1875, 0.125, 0.0625)
GRIDS = {"vowels16": FINE, "vowels24": DENSITIES}
EPOCHS = (12, 4)
"""Of a whole fine-tuning and of a brief one."""
RUNS = (("vowels16", 12), ("vowels24", 12), ("vowels16", 4))
DENSE = 40
TOGETHER = 23  # trainings of a task: most of a short one would be the start of its process
JOBS = "bench.tune.vowels"


def main(
    work: Annotated[Path, typer.Option(help="What is done is kept here.")] = Path(
        "build/trainings"
    ),
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Train, and write JSON."""
    rows: list[dict[str, Any]] = []
    for name, epochs in (("smallest", 1),) if smallest else RUNS:
        found = list(_network(work, name, NETWORKS.get(name, 4), epochs))
        seconds = sum(row["cpu_s"] for row in found)
        Console().print(
            f"{name}, {epochs} epochs: {len(found)} trainings, {seconds:.0f} s of a core"
        )
        rows += found
    if json:
        write_record(json, "bench.tune.trainings", SEED, rows, bits=BITS, epochs=EPOCHS)


def sizes_of(hidden: int, inputs: int = INPUTS) -> Sizes:
    """Of one LSTM layer."""
    rows = 4 * hidden
    return Sizes((("weight_ih_l0", rows, inputs), ("weight_hh_l0", rows, hidden)))


def _network(work: Path, name: str, hidden: int, epochs: int) -> Iterator[dict[str, Any]]:
    store, brief = Store(work), name not in GRIDS
    task = Task(name, f"{JOBS}:dense", {"hidden": hidden, "epochs": 1 if brief else DENSE})
    dense = _all_of([task], store)[0]
    inputs = {n: store.put(data) for n, data in dense.files.items()}
    sizes = sizes_of(hidden)
    grid = list(patterns(sizes, (2,) if brief else BANKS, GRIDS.get(name, (0.5,))))
    asked = [{"banks": one.banks, "wishes": one.wishes(sizes)} for one in grid]
    tasks = [
        Task(f"{name} {epochs} {n}", f"{JOBS}:several",
             {"asked": asked[n : n + TOGETHER], "epochs": epochs}, inputs)
        for n in range(0, len(asked), TOGETHER)
    ]  # fmt: skip
    values = [value for found in _all_of(tasks, store) for value in found.value]
    for pattern, value in zip(grid, values, strict=True):
        about = {"network": name, "epochs": epochs, "dense": round(dense.value["loss"], 6)}
        yield about | _plain(pattern, dense.files["checkpoint"]) | value


def _all_of(tasks: list[Task], store: Store) -> list[Outcome]:
    """Results in the order of the tasks."""
    found = {}
    for key, outcome in run_tasks(tasks, store, LocalEngine(1)):
        if outcome.failure:
            raise RuntimeError(f"{key} failed: {outcome.failure['text']}\n{outcome.log}")
        found[key] = outcome
    return [found[task.key] for task in tasks]


def _plain(pattern: Pattern, checkpoint: bytes) -> dict[str, Any]:
    from safetensors.numpy import load

    weights = load(checkpoint)
    energy = [kept_energy(weights[f"lstm.{n}"], pattern.banks, k) for n, k in pattern.keeps]
    return {"banks": pattern.banks, "keeps": dict(pattern.keeps),
            "energy": [round(one, 5) for one in energy]}  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
