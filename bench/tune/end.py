"""``sparseflow tune`` beside people's arrays: ``python -m bench.tune.end [--json FILE]``.

The demo's network and PTB-200 on ULX3S and ECPIX-5. By hand: the fastest for a network among the
arrays of ``bench/results/boards.json``, placed and routed on that board or one with a smaller
device, and among all that :mod:`bench.boards.bitstreams` lists for it. An array changes no bit of
a result: the score of a packed model is the same on all of them. PTB-200 has patterns to choose
too on ULX3S, those of :mod:`bench.tune.tables`: the fastest with at most the loss of the pattern
by hand, and the fastest with a little more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from json import loads
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from boards.board import Board, board
from boards.cells.learned import shipped
from csb_format.random_models import demo_sized
from sparseflow.tune.hardware import Candidate, candidates, front
from sparseflow.tune.network import Network

from ..boards.bitstreams import CASES
from ..record import Smallest, write_record
from .tables import BOARD as TABLE
from .tables import table

__all__ = ["BY_HAND", "MORE", "main"]

RESULTS = Path(__file__).resolve().parents[1] / "results"
SEED = 0
BOARDS = ("ulx3s", "ecpix5")
BY_HAND = "banks of 25@0.8"  # of PTB-200: the shape of `ptb200` in `bitstreams.CASES`
MORE = 0.005  # of the loss of the pattern by hand
PTB = "ptb200"
NETWORKS = {
    "demo": Network.of(demo_sized()),
    PTB: Network(200, 200, 8, 5, 5, 2, value_bits=8, act_bits=8),
}

Sizes = set[tuple[int, int]]


def main(
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Enumerate, print a table, write JSON."""
    names = ("demo",) if smallest else NETWORKS
    targets = BOARDS[1:] if smallest else BOARDS
    rows = [row for name in names for target in targets for row in _rows(name, board(target))]
    Console(width=120).print(_table(rows))
    if json:
        write_record(json, "bench.tune.end", SEED, rows)


def _rows(name: str, there: Board) -> Iterator[dict[str, Any]]:
    """Of one network on a board: arrays alone, then patterns too where there are any."""
    every = list(candidates(NETWORKS[name].shape, there))
    row: dict[str, Any] = {"network": name, "board": there.name}
    if not (kept := front(every)):
        least = min(every, key=lambda one: one.share)
        yield row | {"chosen": "array", "fits": False, "least": _told(least, there)}
        return
    routed, listed = (_fastest(_at(every, of(there))) for of in (_routed, _listed))
    row |= {"fits": True, "routed": _told(routed, there), "listed": _told(listed, there)}
    yield row | {
        "chosen": "array", "tuned": _told(kept[0], there), "faster": _faster(routed, kept[0]),
        "faster_than_listed": _faster(listed, kept[0]),
    }  # fmt: skip
    if name == PTB and there.name == TABLE:
        yield from (row | found for found in _patterns(routed, listed))


def _routed(there: Board) -> Sizes:
    """M and N of what was placed and routed on the board, on any of its devices."""
    rows = loads((RESULTS / "boards.json").read_text("utf-8"))["rows"]
    mine = (row for row in rows if _of(row["board"], there) and row["bitstream"])
    return {(row["M"], row["N"]) for row in mine}


def _listed(there: Board) -> Sizes:
    mine = (case for case in CASES.values() if _of(case.board, there))
    return {(case.pes, case.lanes) for case in mine}


def _of(name: str, there: Board) -> bool:
    return name.split("_")[0] == there.name


def _at(every: Iterable[Candidate], sizes: Sizes) -> list[Candidate]:
    return [c for c in every if (c.design.pes, c.design.lanes) in sizes]


def _fastest(some: Sequence[Candidate]) -> Candidate:
    """Of those that fit; some array by hand does."""
    return min((c for c in some if c.fits), key=lambda c: (c.microseconds, c.share))


def _told(one: Candidate, there: Board) -> dict[str, Any]:
    clocks = shipped().clock(there)
    return {
        "array": f"{one.design.pes} x {one.design.lanes}",
        "cycles": one.cycles,
        "microseconds": round(one.microseconds, 3),
        "megahertz": one.megahertz,
        "met": round(clocks.met(one.megahertz), 3) if clocks else None,
        "share": round(one.share, 4),
        "of": one.limit,
    }


def _faster(hand: Candidate, tuned: Candidate) -> float:
    return round(hand.microseconds / tuned.microseconds - 1, 4)


def _patterns(routed: Candidate, listed: Candidate) -> Iterator[dict[str, Any]]:
    """Patterns whose loss is at most that of the one by hand, then at most a little more."""
    found = table(PTB)
    (hand,) = found.losses[BY_HAND]
    for title, most in (("array, pattern", hand), ("array, pattern, more loss", hand * (1 + MORE))):
        us, loss, share, key = min(
            (*one.fronts[0][0][:1], found.losses[one.key][0], one.fronts[0][0][1], one.key)
            for one in found.choices
            if one.fronts[0] and found.losses[one.key][0] <= most
        )
        yield {
            "chosen": title, "pattern": key, "loss": round(loss, 4), "pattern_by_hand": BY_HAND,
            "loss_by_hand": round(hand, 4), "tuned": {"microseconds": us, "share": share},
            "faster": round(routed.microseconds / us - 1, 4),
            "faster_than_listed": round(listed.microseconds / us - 1, 4),
        }  # fmt: skip


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    shown = Table(title="tune beside arrays by hand, at an equal score unless more loss is said")
    for head in ("network", "board", "chosen", "routed", "us", "listed", "us", "tuned", "us",
                 "faster", "than listed"):  # fmt: skip
        shown.add_column(head)
    for row in (row for row in rows if row["fits"]):
        arrays = [row[name] for name in ("routed", "listed", "tuned")]
        told = [
            text for one in arrays for text in (one.get("array", ""), f"{one['microseconds']:.2f}")
        ]
        shown.add_row(row["network"], row["board"], row["chosen"], *told, f"{row['faster']:.0%}",
                      f"{row['faster_than_listed']:.0%}")  # fmt: skip
    return shown


if __name__ == "__main__":
    typer.run(main)
