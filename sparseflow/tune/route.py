"""The best points of a search placed and routed, over seeds and clocks, as jobs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from json import loads
from pathlib import Path
from typing import Any

from boards.board import Board, board, reachable
from boards.build.bitstream import KIND
from csb_format.files.folders import replaced_folder
from sim.jobs.engines import Engine
from sim.jobs.run import run_tasks
from sim.jobs.store import Store
from sim.jobs.task import Outcome, Task

from .hardware import Candidate

__all__ = ["CALL", "Ordered", "Routed", "Site", "best_of", "route", "routed", "unpack"]

CALL = f"{__name__}:route"
VERSION = "1"
"""Of the hardware that is routed: one more when its cells or paths change."""
BUILT = "board"  # folder of a build
# Of what was reached, the clock that is asked for next: at another clock everything lies elsewhere
SHARES = (1.0, 0.93)
RUNS = 16  # of tools, each with its own limit, before a job is taken for stuck
Told = Callable[[str], None]


@dataclass(frozen=True)
class Ordered:
    """How points are placed and routed.

    Parameters
    ----------
    board : str
        Its name, or a file of one's own.
    seed, seeds : int
        Of place and route: from the first on, so many; the fastest clock is kept.
    timeout : float
        Seconds of each run of a tool.
    contexts : int
    largest : int, optional
        Of a screened head: logits that the unit behind the array finds.
    """

    board: str
    seed: int
    seeds: int
    timeout: float
    contexts: int = 1
    largest: int | None = None


@dataclass(frozen=True)
class Site:
    """A packed model on an array.

    Parameters
    ----------
    key : str
        Unique among those that are routed together.
    model : str
        Digest of the packed model in the store.
    pes, lanes : int
    cycles : float
        From step to step, exact.
    """

    key: str
    model: str
    pes: int
    lanes: int
    cycles: float

    @classmethod
    def of(cls, model: str, array: Candidate, name: str = "") -> Site:
        """Of an array that a search has found; the name tells networks apart."""
        pes, lanes = array.design.pes, array.design.lanes
        return cls(f"{name}{pes}x{lanes}", model, pes, lanes, array.cycles)


@dataclass(frozen=True)
class Routed:
    """What came of a point.

    Parameters
    ----------
    site : Site
    built : dict
        What ``summary.json`` of the build has; empty if it came to nothing.
    failure : str
        Why it came to nothing.
    files : dict of str to bytes
        The folder of the build.
    """

    site: Site
    built: Mapping[str, Any] = field(default_factory=dict)
    failure: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def microseconds(self) -> float | None:
        """Of a step at the clock that it was built for, which place and route has reached."""
        return self.site.cycles / self.built["clock_mhz"] if self.built else None


def route(arguments: dict[str, Any], inputs: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """Build a point at the board's clock, or a slower one that is reached, then at faster ones.

    Parameters
    ----------
    arguments : dict
        ``board``, empty for the input; ``variant`` of that; ``pes``, ``lanes``, ``seed``,
        ``seeds``, ``timeout``, ``contexts``, ``largest``.
    inputs : mapping of str to Path
        ``model``, and ``board`` for a file of one's own.
    folder : Path
        Empty.

    Returns
    -------
    dict
        ``built``, what ``summary.json`` has of the fastest, or ``failure``, why there is none.
    """
    from boards.tools.errors import BitstreamError
    from csb_format import load_model

    name = _board_in(arguments, inputs, folder)
    shutil.copyfile(inputs["model"], folder / "model.safetensors")
    builds = _Builds(load_model(folder / "model.safetensors"), name, arguments, folder)
    try:
        found = builds.at(None)
    except BitstreamError as error:
        return {"failure": str(error)}
    found = _faster(builds, board(name), found)
    (folder / BUILT).rename(folder / "kept")
    return {"built": found}


def _board_in(arguments: Mapping[str, Any], inputs: Mapping[str, Path], folder: Path) -> str:
    """The board's name; a file of one's own is read under its own name."""
    if "board" not in inputs:
        return str(arguments["board"])
    file = folder / arguments["board"]
    shutil.copyfile(inputs["board"], file)
    return f"{file}:{arguments['variant']}" if arguments["variant"] else str(file)


@dataclass(frozen=True)
class _Builds:
    model: Any
    board: str
    arguments: Mapping[str, Any]
    folder: Path

    def at(self, clock: int | None) -> dict[str, Any]:
        """Build; the folder of an earlier one stays if this one fails."""
        from boards.build.record import SUMMARY_DATA

        from ..steps.build import build

        told = self.arguments
        build(
            self.model, self.board, self.folder / BUILT, (told["pes"], told["lanes"]), clock,
            told["seed"], seeds=told["seeds"], timeout=told["timeout"],
            contexts=told["contexts"], largest=told["largest"], tell=print,
        )  # fmt: skip
        found: dict[str, Any] = loads((self.folder / BUILT / SUMMARY_DATA).read_text("utf-8"))
        return found


def _faster(builds: _Builds, there: Board, found: dict[str, Any]) -> dict[str, Any]:
    """The same at clocks that were reached, while the loop makes them and they are met."""
    from boards.tools.errors import BitstreamError

    asked = set()
    for share in SHARES:
        clock = reachable(there, found["fmax_mhz"] * share)
        if clock is None or clock <= found["clock_mhz"] or clock in asked:
            continue
        asked.add(clock)
        with suppress(BitstreamError):
            return builds.at(clock)
    return found


def routed(
    sites: Sequence[Site], how: Ordered, store: Store, engine: Engine, tell: Told
) -> list[Routed]:
    """Place and route points; what the store has is not routed again.

    Parameters
    ----------
    sites : sequence of Site
        Their models are in the store.
    how : Ordered
    store : Store
    engine : Engine
    tell : callable
        Told of every point, a line each.

    Returns
    -------
    list of Routed
        In the order of the points.

    Raises
    ------
    ValueError
        If a job fails for another reason than that the design is too large or too slow.
    """
    inputs, named = _board_of(how.board, store)
    tasks = [_task(site, how, named, inputs) for site in sites]
    found: dict[str, Routed] = {}
    by_key = {site.key: site for site in sites}
    for key, outcome in run_tasks(tasks, store, engine):
        found[key] = _result(by_key[key], outcome)
        tell(f"{len(found)} of {len(sites)} routed: {_said(found[key])} ({outcome.seconds:.0f} s)")
    return [found[site.key] for site in sites]


def _board_of(name: str, store: Store) -> tuple[dict[str, str], dict[str, str]]:
    """Inputs and arguments that name a board; a file of one's own goes along."""
    there = board(name)
    if not there.file:
        return {}, {"board": name, "variant": ""}
    path, _, variant = name.partition(".toml:")
    file = Path(f"{path}.toml") if variant else Path(name)
    digest = store.put(file.read_bytes())
    return {"board": digest}, {"board": file.name, "variant": variant}


def _task(site: Site, how: Ordered, named: Mapping[str, str], inputs: Mapping[str, str]) -> Task:
    arguments = {
        **named, "pes": site.pes, "lanes": site.lanes, "seed": how.seed, "seeds": how.seeds,
        "timeout": how.timeout, "contexts": how.contexts, "largest": how.largest,
    }  # fmt: skip
    limit = RUNS * how.seeds * how.timeout
    return Task(site.key, CALL, arguments, {"model": site.model, **inputs}, limit=limit,
                version=VERSION)  # fmt: skip


def _result(site: Site, outcome: Outcome) -> Routed:
    if outcome.failure:
        text = f"{outcome.failure['text']}\n{outcome.log}".strip()
        raise ValueError(f"place and route of {site.key} failed: {text}")
    value = outcome.value
    if "failure" in value:
        return Routed(site, failure=value["failure"])
    return Routed(site, value["built"], files=outcome.files)


def _said(one: Routed) -> str:
    array = f"{one.site.pes} x {one.site.lanes}"
    if not one.built:
        return f"{array}: {one.failure}"
    built = one.built
    return (
        f"{array}: {built['clock_mhz']:g} MHz ({built['fmax_mhz']:g} reached, seed "
        f"{built['seed']}), {one.microseconds:.2f} us"
    )


def best_of(found: Sequence[Routed]) -> Routed | None:
    """The fastest that stands; of equals the first."""
    return min(
        (one for one in found if one.built),
        key=lambda one: one.microseconds or 0.0,
        default=None,
    )


def unpack(one: Routed, out: Path) -> None:
    """Write the folder of a build where ``build --out`` would have.

    Raises
    ------
    PlaceError
        If the folder holds anything that is not ours.
    """
    with replaced_folder(out, KIND) as new:
        for name, data in one.files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(data)
