"""``sparseflow tune`` of a trained network: patterns, bits and arrays, by real trainings."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from ...steps.options import TuneOptions
from .routing import check_routes, clock_words, place_and_route, row_of, table_of

if TYPE_CHECKING:
    from sim.jobs.store import Store

    from ...tune.accuracy import Asked, Dense, Found, Point
    from ...tune.route import Routed

__all__ = ["search"]

BITS = ((8, 8), (16, 16))
SHOWN = 12  # points of the front
PRUNED, PACKED, BOARD = "pruned.safetensors", "model.safetensors", "board"  # of a point


def search(given: TuneOptions) -> None:
    """Search, print the front, write what was asked for."""
    from sim.jobs.engines import engine_named
    from sim.jobs.store import Store

    from ...steps.checks import check_written
    from ...steps.progress import say
    from ...tune.accuracy import tuned
    from ...tune.dense import dense_of
    from ...tune.route import best_of

    if given.data is None:
        raise ValueError("give --data, labelled sequences to fine-tune on")
    if given.largest is not None or given.contexts != TuneOptions.contexts:
        raise ValueError("--largest and --contexts are of a packed model: leave --data out")
    for name, place in (("--html", given.html), ("--json", given.json)):
        if place:
            check_written(name, place, given.model)
    if given.out:
        _check_out(given.out, given.model, given.data)
    if given.route:
        check_routes(given)
    asked = _asked(given)
    dense = dense_of(given.model, given.data, given.val)
    say(f"dense: loss {dense.loss:.4g}; allowed {dense.allowed(asked.target):.4g}")
    if given.val is None:
        say("note: scored on what is trained on; --val takes sequences that are not")
    engine = engine_named(given.engine, given.jobs, given.scheduler)
    store = Store(given.work)
    found = tuned(asked, dense, store, engine, say)
    best = found.best(dense.allowed(asked.target))
    stands = _routed(given, asked, dense, found, store)
    made = best_of(list(stands.values()))
    best = next((point for point, one in stands.items() if one is made), best)
    record = _record(given, asked, dense, found, best, stands)
    Console().print(_table(record))
    if given.route:
        Console().print(table_of(record["routed"]))
    for row in record["front"][:SHOWN] if best is None else [record["best"]]:
        for line in row["commands"]:
            Console().print(line, highlight=False, markup=False, soft_wrap=True)
    _write(given, record)
    if given.out and stands and made is None:
        say(f"nothing is built in {given.out}: none of these points came to a bitstream")
    elif given.out and best:
        _build(given, best, dense, made)
    elif given.out:
        say(f"nothing is built in {given.out}: no point loses as little as --target allows")


def _routed(
    given: TuneOptions, asked: Asked, dense: Dense, found: Found, store: Store
) -> dict[Point, Routed]:
    """The fastest points that lose no more than is allowed, placed and routed."""
    from ...tune.route import Site

    points = found.allowed(dense.allowed(asked.target))[: given.route]
    if not points:
        return {}
    sites = [
        Site.of(
            found.models[one.pattern, one.bits],
            one.array,
            f"{one.pattern.key}-{one.bits[0]}x{one.bits[1]}-",
        )
        for one in points
    ]
    return dict(zip(points, place_and_route(given, sites, store), strict=True))


def _check_out(out: Path, *read: Path) -> None:
    """Refuse a place before hours of trainings, not after them."""
    from boards.build.bitstream import KIND
    from csb_format.files.ownership import check_file, check_folder, check_replaceable

    check_folder(out)
    check_replaceable(out / BOARD, KIND)
    for name in (PRUNED, PACKED):
        check_file(out / name, *read)


def _asked(given: TuneOptions) -> Asked:
    from boards.board import board

    from ...tune.accuracy import Asked, seconds_of, target_of

    files = {"checkpoint": given.model, "data": given.data, "val": given.val}
    prior = [_earlier(path) for path in given.prior or ()]
    return Asked(
        {name: path for name, path in files.items() if path}, board(given.board),
        [_bits(text) for text in given.bits] if given.bits else BITS, given.epochs, given.seed,
        target_of(given.target), seconds_of(given.budget), given.trainings, prior,
    )  # fmt: skip


def _bits(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not (4 <= int(found[1]) <= 18 and 6 <= int(found[2]) <= 18):
        raise ValueError(f"--bits {text!r}: write 8/8, weights of 4 to 18, activations of 6 to 18")
    return int(found[1]), int(found[2])


def _earlier(path: Path) -> Mapping[str, Any]:
    try:
        record: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        if all(len(one["features"]) == 6 and one["loss"] >= 0 for one in record["samples"]):
            return record
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"--prior {path}: give what --json wrote of a search with --data")


def _record(
    given: TuneOptions,
    asked: Asked,
    dense: Dense,
    found: Found,
    best: Point | None,
    stands: Mapping[Point, Routed],
) -> dict[str, Any]:
    """The search for programs, and for its page."""
    allowed = dense.allowed(asked.target)
    return {
        "model": given.model.name,
        "board": asked.board.name,
        "title": asked.board.title,
        "part": asked.board.part,
        "dense": dense.loss,
        "allowed": allowed,
        "counted": dense.counted,
        "choices": found.choices,
        "trainings": len(found.trainings),
        "seconds": round(found.seconds, 1),
        "seed": asked.seed,
        "front": [_row(given, one, dense, stands.get(one)) for one in found.front],
        "best": _row(given, best, dense, stands.get(best)) if best else None,
        "routed": [
            {
                "banks": one.pattern.banks,
                "keeps": dict(one.pattern.keeps),
                "loss": one.loss,
                "value_bits": one.bits[0],
                "act_bits": one.bits[1],
            }
            | row_of(made)
            for one, made in stands.items()
        ],
        "points": [[p.array.microseconds, p.loss, p.array.share] for p in found.points],
        "samples": found.samples,
    }


def _row(
    given: TuneOptions, one: Point, dense: Dense, made: Routed | None = None
) -> dict[str, Any]:
    array = one.array
    return {
        "banks": one.pattern.banks,
        "keeps": dict(one.pattern.keeps),
        "value_bits": one.bits[0],
        "act_bits": one.bits[1],
        "loss": one.loss,
        "pes": array.design.pes,
        "lanes": array.design.lanes,
        "cycles": array.cycles,
        "microseconds": array.microseconds,
        "limit": array.limit,
        "share": array.share,
        "multipliers": array.usage.multipliers,
        "block_rams": array.usage.block_rams,
        "luts": array.usage.luts,
        "commands": _commands(given, one, dense, made),
    }


def _commands(given: TuneOptions, one: Point, dense: Dense, made: Routed | None) -> list[str]:
    """What makes a point again: the search does the same."""
    from ...pages.made.typed import as_argument

    name = f"{one.pattern.key}-{one.bits[0]}x{one.bits[1]}"
    folder = f"build/{name}"
    checkpoint, data = (as_argument(str(path)) for path in (given.model, given.data))
    judged = ["--data", as_argument(str(given.val or given.data))]
    wishes = [word for wish in one.pattern.wishes(dense.sizes) for word in ("--for", wish)]
    pruned, packed = f"{folder}/{PRUNED}", f"{folder}/{PACKED}"
    words = [
        ["prune", checkpoint, "--data", data, "--banks", str(one.pattern.banks), *wishes,
         "--epochs", str(given.epochs), "--seed", str(given.seed), "--out", pruned],
        ["pack", pruned, "--calibration", data, "--value-bits", str(one.bits[0]), "--act-bits",
         str(one.bits[1]), *judged, "--out", packed],
        ["build", packed, "--board", given.board, "--pes", str(one.array.design.pes), "--lanes",
         str(one.array.design.lanes), "--out", f"{folder}/{BOARD}", *clock_words(made)],
    ]  # fmt: skip
    return [shlex.join(["sparseflow", *line]) for line in words]


def _table(record: Mapping[str, Any]) -> Table:
    best = record["best"]
    title = f"{record['trainings']} trainings of {record['choices']} patterns: " + (
        "the front; * the fastest that loses no more than is allowed"
        if best
        else "the front; none loses as little as is allowed"
    )
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for head in ("", "banks", "k", "bits", "loss", "M x N", "us", "takes", "of"):
        table.add_column(head, justify="left" if head in ("k", "of") else "right")
    for row in _shown(record["front"], best):
        keeps = " ".join(map(str, row["keeps"].values()))
        table.add_row(
            "*" if row == best else "", str(row["banks"]), keeps,
            f"{row['value_bits']}/{row['act_bits']}", f"{row['loss']:.4g}",
            f"{row['pes']} x {row['lanes']}", f"{row['microseconds']:.2f}",
            f"{row['share']:.0%}", row["limit"],
        )  # fmt: skip
    return table


def _shown(
    front: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None
) -> list[Mapping[str, Any]]:
    """Some of a long front, evenly, and the best."""
    step = -(-len(front) // SHOWN)
    kept = [row for n, row in enumerate(front) if n % step == 0 or row == best]
    return kept


def _write(given: TuneOptions, record: Mapping[str, Any]) -> None:
    from csb_format.files.replace import replace_file

    if given.json:
        text = json.dumps(record, indent=1, allow_nan=False) + "\n"
        replace_file(given.json, text.encode())
    if given.html:
        from ...pages.made.typed import typed
        from ...pages.tune.searched import page

        replace_file(given.html, page(record, typed()).encode())


def _build(given: TuneOptions, best: Point, dense: Dense, made: Routed | None) -> None:
    """Prune, pack and build it as its commands do; what was routed is built already."""
    from ...steps.build import SUMMARY, build
    from ...steps.pipeline import pack, prune_checkpoint
    from ...tune.route import unpack

    assert given.out is not None
    assert given.data is not None
    pruned = given.out / PRUNED
    prune_checkpoint(
        checkpoint=given.model, data=given.data, out=pruned, banks=best.pattern.banks,
        wishes=best.pattern.wishes(dense.sizes), epochs=given.epochs, seed=given.seed,
    )  # fmt: skip
    model = pack(
        pruned=pruned, calibration=given.data, out=given.out / PACKED,
        value_bits=best.bits[0], act_bits=best.bits[1], data=given.val or given.data,
    )  # fmt: skip
    if made:
        unpack(made, given.out / BOARD)
        page = made.files[SUMMARY].decode()
    else:
        array = (best.array.design.pes, best.array.design.lanes)
        page = build(model, given.board, given.out / BOARD, array)
    for text in (page, f"all of it in {given.out}"):
        Console().print(text, highlight=False, markup=False, soft_wrap=True)
