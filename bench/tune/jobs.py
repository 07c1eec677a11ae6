"""What the job layer costs: ``python -m bench.tune.jobs [--json FILE]``.

Tasks that sleep, so that nothing else on the machine counts, on two workers: a task's time from its
submission to its result beside the time in its function, and all of them beside the shortest time
that so many workers could take.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from csb_format.files.folders import temporary_folder
from sim.jobs.engines import DaskEngine, Engine, engine_named
from sim.jobs.run import run_tasks
from sim.jobs.store import Store
from sim.jobs.task import Task

from ..record import Rows, Smallest, check_named, with_others, write_record

__all__ = ["main"]

CALL = "bench.tune.sleep:sleep"
WORKERS = 2
#: The last needs a cluster of Slurm.
ENGINES = ("local", "dask", "slurm")
LIMIT = 0.05  # of the time of tasks over 10 s


def main(
    tasks: Annotated[int, typer.Option(min=1, help="How many.")] = 8,
    seconds: Annotated[float, typer.Option(min=0, help="Of each.")] = 10.0,
    engine: Annotated[
        list[str] | None, typer.Option(help="By name, may repeat: local, dask, slurm.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Run, print a table, write JSON."""
    if smallest:
        tasks, seconds = 2, 0.01
    check_named(engine, ENGINES, "engine")
    rows = list(_rows(tasks, seconds, ENGINES[:1] if smallest else tuple(engine or ENGINES[:2])))
    Console(width=110).print(_table(rows))
    if json:
        kept = rows if smallest else with_others(json, rows, ENGINES, "engine")
        write_record(json, "bench.tune.jobs", 0, kept, limit=LIMIT)


def _rows(count: int, seconds: float, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    with temporary_folder("jobs") as folder:
        for name in names:
            store = Store(folder / name)
            blob = {"blob": store.put(bytes(1 << 20))}
            plain = [{"n": n, "seconds": seconds} for n in range(count)]
            given = [Task(f"t{one['n']}", CALL, one, blob) for one in plain]
            with _engine(name) as engine:
                begun, used = time.monotonic(), _processor()
                found = [outcome for _, outcome in run_tasks(given, store, engine)]
                taken, used = time.monotonic() - begun, _processor() - used
            again = time.monotonic()
            assert len(list(run_tasks(given, store, engine))) == count
            row = _row(name, seconds, found, taken, time.monotonic() - again)
            # workers of a cluster count only when they have ended
            yield row | ({"cpu_s_a_task": round(used / count, 3)} if name == "local" else {})


def _processor() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    mine, theirs = (resource.getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


@contextmanager
def _engine(name: str) -> Iterator[Engine]:
    """An engine at work: the start of a cluster, once a run, is not what a task costs."""
    if name != "dask":
        yield engine_named(name, WORKERS)
        return
    from distributed import LocalCluster

    make: Any = LocalCluster  # untyped
    with make(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster:
        yield DaskEngine(WORKERS, cluster.scheduler_address)


def _row(name: str, seconds: float, found: list[Any], taken: float, again: float) -> dict[str, Any]:
    inside = [outcome.value for outcome in found]
    shortest = -(-len(found) // WORKERS) * max(inside)
    process = [outcome.seconds - outcome.value for outcome in found]
    return {
        "engine": name,
        "tasks": len(found),
        "seconds_each": seconds,
        "seconds": round(taken, 3),
        "shortest": round(shortest, 3),
        "overhead": round(taken / shortest - 1, 4),
        "process_s": round(sum(process) / len(process), 3),
        "resumed_s": round(again, 3),
        "load": round(os.getloadavg()[0], 1),
    }


def _table(rows: Rows) -> Table:
    table = Table(title=f"{WORKERS} workers; overhead of tasks over 10 s: at most {LIMIT:.0%}")
    heads = "engine|tasks|each s|all s|shortest s|overhead|process s|resumed s|CPU s a task|load"
    for head in heads.split("|"):
        table.add_column(head, justify="left" if head == "engine" else "right")
    for row in rows:
        values = [row[n] for n in ("tasks", "seconds_each", "seconds", "shortest")]
        told = [f"{row['overhead']:.1%}", f"{row['process_s']:.2f}", f"{row['resumed_s']:.2f}"]
        told += [str(row.get("cpu_s_a_task", "")), str(row["load"])]
        table.add_row(row["engine"], *map(str, values), *told)
    return table


if __name__ == "__main__":
    typer.run(main)
