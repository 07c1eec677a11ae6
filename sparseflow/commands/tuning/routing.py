"""What ``sparseflow tune --route`` adds: points placed and routed, told and written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from ...steps.options import TuneOptions

if TYPE_CHECKING:
    from sim.jobs.store import Store

    from ...tune.route import Routed, Site

__all__ = ["check_routes", "clock_words", "place_and_route", "row_of", "table_of"]


def check_routes(given: TuneOptions) -> None:
    """Refuse a board without open tools, or a place to write to, before hours of work."""
    from boards.board import board
    from boards.build.bitstream import KIND
    from csb_format.files.ownership import check_replaceable

    from ...steps.checks import seed_of

    there = board(given.board)
    seed_of(given.placer_seed)
    if there.family.tools is None:
        raise ValueError(
            f"--route: no open tools place and route {there.part}: leave --route out, and give "
            f"the project that `build` writes to {there.family.made_with}"
        )
    if given.out and given.data is None:
        check_replaceable(given.out, KIND)


def place_and_route(given: TuneOptions, sites: Sequence[Site], store: Store) -> list[Routed]:
    """Route points as the options say."""
    from sim.jobs.engines import engine_named

    from ...steps.progress import say
    from ...tune.route import Ordered, routed

    engine = engine_named(given.engine, given.jobs, given.scheduler)
    how = Ordered(given.board, given.placer_seed, given.seeds, given.timeout, given.contexts,
                  given.largest)  # fmt: skip
    say(f"{len(sites)} to place and route, {given.seeds} from seed {given.placer_seed} on each")
    return routed(sites, how, store, engine, say)


def clock_words(one: Routed | None) -> list[str]:
    """What `build` is told beside the array to make the same again."""
    if one is None or not one.built:
        return []
    return ["--clock", f"{one.built['clock_mhz']:g}", "--seed", str(one.built["seed"])]


def row_of(one: Routed) -> dict[str, Any]:
    """A routed point for programs and pages."""
    built, site = one.built, one.site
    row: dict[str, Any] = {"pes": site.pes, "lanes": site.lanes, "cycles": site.cycles}
    if not built:
        return row | {"failure": one.failure}
    kept = ("clock_mhz", "fmax_mhz", "seed", "placer", "estimated", "bitstream_sha256", "tools")
    row |= {name: built[name] for name in kept}
    return row | {
        "microseconds": one.microseconds,
        "counted": {name: built[name] for name in built["estimated"]},
        "runs": [
            {name: run[name] for name in ("seed", "placer", "fmax_mhz", "clock_mhz", "failure")}
            for run in built["attempts"]
        ],
    }


def table_of(rows: Sequence[dict[str, Any]]) -> Table:
    """For people; LUT as they were counted, and as they had been predicted."""
    table = Table(title="placed and routed", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0),
                  pad_edge=False)  # fmt: skip
    for head in ("M x N", "cycles", "MHz", "reached", "seed", "us", "LUT", "predicted"):
        table.add_column(head, justify="right")
    for row in rows:
        array = f"{row['pes']} x {row['lanes']}"
        if "failure" in row:
            table.add_row(array, f"{row['cycles']:g}", "-", "-", "-", "-", "-", "-")
            continue
        table.add_row(
            array, f"{row['cycles']:g}", f"{row['clock_mhz']:g}", f"{row['fmax_mhz']:g}",
            str(row["seed"]), f"{row['microseconds']:.2f}", str(row["counted"]["lut"]),
            str(row["estimated"]["lut"]),
        )  # fmt: skip
    return table
