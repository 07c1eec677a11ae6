"""Designs placed and routed over seeds, as jobs: what clocks are learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from boards.board import Board
from sim.jobs.engines import Engine
from sim.jobs.run import run_tasks
from sim.jobs.store import Store
from sim.jobs.task import Task, canonical

from .count import LIMIT, VERSION, count
from .draw import Drawn
from .samples import named

__all__ = ["CALL", "place", "placed"]

CALL = f"{__name__}:place"
TOLD = ("board", "network", "pes", "lanes", "seed", "seeds", "hardware")
"""What tells one placing from another."""
PLACERS = 2  # that a family has, at most: each may be at it until its limit


def place(arguments: dict[str, Any], inputs: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """Synthesise a drawn design, then place and route it with every seed at the board's clock.

    Parameters
    ----------
    arguments : dict
        As of :func:`~sparseflow.tune.prediction.count.count`, and ``seeds``, those of the placer.
    inputs : mapping
        None.
    folder : Path
        Empty.

    Returns
    -------
    dict
        ``counted``, cells after packing; ``attempts``, all runs of place and route with the clock
        that they reached or why they came to nothing; ``failure``, why there is no result at all.
    """
    from boards.board import board
    from boards.build.attempts import best_of
    from boards.tools.errors import BitstreamError

    counted = count(arguments, inputs, folder)  # leaves the netlist there
    b = board(arguments["board"])
    try:
        _, tried = best_of(b, folder, arguments["seeds"], LIMIT, print, lambda text: None)
    except BitstreamError as error:
        return {"counted": counted, "attempts": [], "failure": str(error)}
    return {"counted": counted, "attempts": [asdict(one) for one in tried], "failure": ""}


def placed(
    asked: Sequence[tuple[Board, Drawn]],
    seeds: Sequence[int],
    store: Store,
    engine: Engine,
    tell: Callable[[str], None],
    before: Iterable[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Place and route designs, each in a process of its own; in the order they were given.

    Parameters
    ----------
    asked : sequence of (Board, Drawn)
    seeds : sequence of int
        Of the placer.
    store : Store
    engine : Engine
    tell : callable
        Told of every design, a line each.
    before : iterable of mapping
        Rows of an earlier call: what was placed of the same hardware with these seeds stays.

    Returns
    -------
    list of dict
        Rows as :func:`~sparseflow.tune.prediction.routed.routed` reads them, those that came to
        nothing among them.

    Raises
    ------
    ValueError
        If a job fails otherwise, with the end of its log.
    """
    had = {canonical({name: row.get(name) for name in TOLD}): dict(row) for row in before}
    known = [canonical({"board": b.name, **drawn.plain, **_made(seeds)}) for b, drawn in asked]
    limit = (2 + PLACERS * (len(seeds) + 1)) * LIMIT
    tasks = [
        Task(str(n), CALL, {"board": b.name, "seeds": list(seeds), **drawn.plain}, limit=limit,
             version=VERSION)
        for n, (b, drawn) in enumerate(asked)
        if known[n] not in had
    ]  # fmt: skip
    found = {str(n): had[one] for n, one in enumerate(known) if one in had}
    for key, outcome in run_tasks(tasks, store, engine):
        b, drawn = asked[int(key)]
        if outcome.failure:
            raise ValueError(f"{named(b, drawn)}: {outcome.failure['text']}\n{outcome.log}")
        found[key] = _row(b, drawn, seeds, outcome.value)
        tell(f"{len(found)} of {len(asked)} placed: {named(b, drawn)}, {_said(outcome.value)}")
    return [found[str(n)] for n in range(len(asked))]


def _made(seeds: Sequence[int]) -> dict[str, Any]:
    return {"seeds": list(seeds), "hardware": VERSION}


def _row(b: Board, drawn: Drawn, seeds: Sequence[int], value: Mapping[str, Any]) -> dict[str, Any]:
    network = drawn.network
    layers = " -> ".join(map(str, [network.inputs] + [network.hidden] * network.layers))
    return {
        "board": b.name, "M": drawn.pes, "N": drawn.lanes, "layer": layers,
        "value_bits": network.value_bits, "act_bits": network.act_bits,
        "model": f"drawn, seed {drawn.seed}", "clock_mhz": b.clock_hz / 1e6,
        **drawn.plain, **_made(seeds), **value,
    }  # fmt: skip


def _said(value: Mapping[str, Any]) -> str:
    reached = [one["fmax_mhz"] for one in value["attempts"] if one["fmax_mhz"]]
    return ", ".join(f"{one:g}" for one in reached) + " MHz" if reached else value["failure"]
