"""From a model and a board's name to a bitstream or a vendor's project, and a summary."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from boards.board import Board, BoardError, board
from boards.build.bitstream import DESIGN, KIND, SUMMARY, Built, build_bitstream
from boards.build.vendor import write_project
from boards.resources import SCREEN_MEND, Choice, choice, choices, fastest
from boards.tools.run import Note
from compiler.lower.compile import compile_model
from csb_format.arguments import number, whole
from csb_format.files.ownership import check_replaceable
from csb_format.model import Model

from ..pages.build_picture import pictures
from ..pages.summary import summary
from .checks import MOST_SEEDS, array_of, check_clock, seed_of
from .options import BuildOptions

__all__ = ["SUMMARY", "build"]

# what is more than this over the device is not worth an hour of place and route
SURELY_TOO_MUCH = 1.25


def build(
    model: Model,
    name: str | Path,
    out: Path,
    array: tuple[int, int] | None = None,
    clock_mhz: float | None = None,
    seed: int = BuildOptions.seed,
    *,
    seeds: int = BuildOptions.seeds,
    timeout: float = BuildOptions.timeout,
    keep: bool = BuildOptions.keep,
    contexts: int = BuildOptions.contexts,
    largest: int | None = BuildOptions.largest,
    tell: Callable[[str], None] = lambda text: None,
    note: Note = lambda text: None,
) -> str:
    """Build for a board.

    Parameters
    ----------
    model : Model
    name : str or path
        Of the board, or of a file of one's own.
    out : Path
        Folder, replaced as a whole; all in it must come from an earlier build.
    array : (int, int), optional
        M and N; by default the fastest that fits.
    clock_mhz : float, optional
        Instead of the board's; by default the board's, or where that is missed one that place
        and route has reached.
    seed : int
    seeds : int
        How many from ``seed`` on are tried; the fastest clock is kept.
    timeout : float
        Seconds for each run of a tool.
    keep : bool
        Keep all files of a build that fails or is ended, in a folder beside ``out``.
    contexts : int
        Streams whose states are kept.
    largest : int, optional
        Of a screened head: logits that the unit behind the array finds; 0 for no unit.
    tell : callable
        Told of every stage.
    note : callable
        Told what a stage is about.

    Returns
    -------
    str
        The summary, a page of Markdown that lies in the folder too.

    Raises
    ------
    PlaceError
        If the folder holds anything that no build has made.
    BoardError
        If the board is not known, cannot make the clock, or holds no array for the model.
    BitstreamError
        If the design does not fit or misses its clock.
    """
    begin = time.monotonic()
    array, seed, chosen = array_of(array), seed_of(seed), board(name)
    seeds = whole("seeds", seeds, 1, MOST_SEEDS)
    timeout = number("timeout", timeout, 1, math.inf)
    chosen = replace(chosen, clock_hz=check_clock(chosen, clock_mhz))
    check_replaceable(out, KIND)
    best = (
        choice(model, chosen, *array, contexts, largest)
        if array
        else fastest(model, chosen, contexts, largest)
    )
    _check_size(model, chosen, best)
    image = compile_model(model, best.design)
    if chosen.family.tools:

        def pages(built: Built) -> dict[str, str]:
            took = time.monotonic() - begin
            at = replace(chosen, clock_hz=round(built.clock_mhz * 1e6))  # that was reached
            page = summary(model, at, best, built, took)
            return {SUMMARY: page} | pictures(built)

        build_bitstream(
            chosen, best.design, image, out, seed=seed, seeds=seeds, slower=clock_mhz is None,
            timeout=timeout, keep=keep, tell=tell, note=note, pages=pages,
        )  # fmt: skip
        return (out / SUMMARY).read_text("utf-8")
    tell(f"writing the {chosen.family.made_with}")
    found = {DESIGN: json.dumps(asdict(best.design), indent=2, allow_nan=False) + "\n"}

    def more() -> dict[str, str]:
        found[SUMMARY] = summary(model, chosen, best, None, time.monotonic() - begin)
        return found

    write_project(chosen, best.design, image, out, more)
    return found[SUMMARY]


def _check_size(model: Model, board: Board, best: Choice) -> None:
    """Refuse what surely does not fit before hours are spent on it."""
    name, share = best.usage.limit(board.has)
    if share <= SURELY_TOO_MUCH:
        return
    every = choices(model, board, best.design.contexts, best.largest)
    fitting = [c.design for c in every if c.fits]
    mend = (
        f"take --pes {fitting[0].pes} --lanes {fitting[0].lanes}, the fastest that fits"
        if fitting
        else "no array of this board holds the model: prune more, or take a larger board"
        + SCREEN_MEND * bool(best.design.screen)
    )
    raise BoardError(
        f"{best.design.pes} x {best.design.lanes} does not fit {board.title}: it takes "
        f"{share:.0%} of its {name}; {mend}"
    )
