"""The command ``sparseflow tune``."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from ...steps.options import TuneOptions
from ..derived import derived
from .routing import check_routes, clock_words, place_and_route, row_of, table_of

if TYPE_CHECKING:
    from boards.board import Board
    from boards.resources import Choice
    from csb_format import Model

    from ...tune.hardware import Candidate
    from ...tune.route import Routed

__all__ = ["tune"]

ROUTING = ("placer_seed", "seeds", "timeout")  # options that go with --route alone


@derived(TuneOptions)
def tune(given: TuneOptions) -> None:
    """Look at every array of a board for a packed model, and keep the front of speed and cells.

    **In:** a packed model and a board. **Out:** the arrays of which no other is faster and takes
    as little of the device, each with the command that builds it. Cycles are exact, cells are
    estimates, and nothing is compiled or synthesised. `fit` looks at usual sizes alone; here M is
    any that the cell allows.

    With `--data` the model is a trained checkpoint, as `prune` takes it: then banks, k of every
    matrix and bits are searched too, by real trainings, and the fastest array is named whose loss
    is allowed. It stops when the budget is spent; the same command goes on where it stopped.

    With `--route` the fastest points are placed and routed too, each at the fastest clock that it
    is found to reach: cells are counted then, and the best is the one that stands.

    **Next:** the command of the point that you choose
    """
    if given.data is not None:
        from .accuracy import search

        return search(given)
    _check_alone(given)
    from boards.board import board
    from boards.resources import fastest
    from csb_format import load_model

    from ...steps.checks import check_written
    from ...tune.hardware import candidates, front

    if given.html:
        check_written("--html", given.html, given.model)
    if given.json:
        check_written("--json", given.json, given.model, given.html)
    if given.route:
        check_routes(given)
    model, named = load_model(given.model), board(given.board)
    # an error that says what to do if nothing fits
    usual = fastest(model, named, given.contexts, given.largest)
    begun = time.process_time()
    every = list(candidates(model, named, given.contexts, largest=given.largest))
    kept = front(every)
    rows = [_row(given, one) for one in kept]
    Console().print(_table(named, rows))
    done = _routed(given, kept[: given.route], rows)
    for row in rows:
        Console().print(row["command"], highlight=False, markup=False, soft_wrap=True)
    Console().print(_told(every, kept, usual, time.process_time() - begun), highlight=False)
    _write(given, model, named, every, rows, usual, [row_of(one) for one in done])


def _routed(
    given: TuneOptions, kept: Sequence[Candidate], rows: Sequence[dict[str, Any]]
) -> list[Routed]:
    """Place and route the first of the front; their commands say clock and seed from then on."""
    if not kept:
        return []
    from sim.jobs.store import Store

    from ...steps.progress import say
    from ...tune.route import Site, best_of, unpack

    store = Store(given.work)
    digest = store.put(given.model.read_bytes())
    sites = [Site.of(digest, one) for one in kept]
    done = place_and_route(given, sites, store)
    for row, one in zip(rows, done, strict=False):
        row["command"] = " ".join([row["command"], *clock_words(one)])
    Console().print(table_of([row_of(one) for one in done]))
    best = best_of(done)
    if given.out and best:
        unpack(best, given.out)
        say(f"{best.site.pes} x {best.site.lanes}, all of it in {given.out}")
    elif given.out:
        say(f"nothing is built in {given.out}: no point came to a bitstream")
    return done


def _check_alone(given: TuneOptions) -> None:
    """Refuse what only a search over accuracy would do."""
    plain = TuneOptions(given.model, given.board)
    mine = ["model", "board", "contexts", "largest", "html", "json", "data", "route"]
    if given.route:
        mine += [*ROUTING, "out", "work", "engine", "jobs", "scheduler"]
    for field in fields(given):
        if field.name not in mine and getattr(given, field.name) != getattr(plain, field.name):
            option = f"--{field.name.replace('_', '-')}"
            if field.name in ROUTING:
                raise ValueError(f"{option} is of points that are routed: give --route too")
            raise ValueError(f"{option} is of a search with trainings: give --data, or no {option}")


def _row(given: TuneOptions, one: Candidate) -> dict[str, Any]:
    """A point of the front, for people and programs."""
    from ...pages.made.typed import as_argument

    pes, lanes = one.design.pes, one.design.lanes
    words = ["sparseflow", "build", as_argument(str(given.model)), "--board", given.board,
             "--pes", str(pes), "--lanes", str(lanes)]  # fmt: skip
    words += ["--contexts", str(given.contexts)] if given.contexts > 1 else []
    words += ["--largest", str(given.largest)] if given.largest is not None else []
    words += ["--out", f"build/{pes}x{lanes}"]
    return {
        "pes": pes,
        "lanes": lanes,
        "cycles": one.cycles,
        "megahertz": one.megahertz,
        "microseconds": one.microseconds,
        "limit": one.limit,
        "share": one.share,
        "multipliers": one.usage.multipliers,
        "block_rams": one.usage.block_rams,
        "luts": one.usage.luts,
        "command": shlex.join(words),
    }


def _table(board: Board, rows: Sequence[dict[str, Any]]) -> Table:
    title = f"{board.title}: nothing is faster and takes as little"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for head in ("M x N", "cycles", "us", "takes", "of", "DSP", "RAM", "LUT"):
        table.add_column(head, justify="left" if head in ("M x N", "of") else "right")
    for row in rows:
        table.add_row(
            f"{row['pes']} x {row['lanes']}", f"{row['cycles']:g}", f"{row['microseconds']:.2f}",
            f"{row['share']:.0%}", row["limit"],
            *(str(row[name]) for name in ("multipliers", "block_rams", "luts")),
        )  # fmt: skip
    return table


def _told(
    every: Sequence[Candidate], kept: Sequence[Candidate], usual: Choice, seconds: float
) -> str:
    """How many were looked at, and the best beside the one that `fit` takes."""
    fitting = sum(one.fits for one in every)
    text = f"{len(every)} arrays in {seconds:.1f} s of a core, {fitting} fit, {len(kept)} kept"
    if not kept:
        return text
    gain = usual.microseconds / kept[0].microseconds - 1
    size = f"{usual.design.pes} x {usual.design.lanes}, {usual.microseconds:.2f} us"
    if gain <= 0:
        return f"{text}; the array that `fit` names, {size}, is as fast"
    return f"{text}; the first is {gain:.0%} faster than the one that `fit` names, {size}"


def _write(
    given: TuneOptions,
    model: Model,
    board: Board,
    every: Sequence[Candidate],
    rows: list[dict[str, Any]],
    usual: Choice,
    routed: list[dict[str, Any]],
) -> None:
    from csb_format.files.replace import replace_file

    points = [[one.microseconds, one.share] for one in every if one.fits]
    best = {
        "pes": usual.design.pes,
        "lanes": usual.design.lanes,
        "cycles": usual.cycles,
        "microseconds": usual.microseconds,
        "share": usual.usage.limit(board.has)[1],
    }
    found = {"model": given.model.name, "board": board.name, "title": board.title,
             "part": board.part, "weights": model.shape.real_nonzeros, "arrays": len(every),
             "front": rows, "points": points, "usual": best, "routed": routed}  # fmt: skip
    if given.json:
        text = json.dumps(found, indent=1, allow_nan=False) + "\n"
        replace_file(given.json, text.encode())
    if given.html:
        from ...pages.made.typed import typed
        from ...pages.tune.front import page

        replace_file(given.html, page(found, typed()).encode())
