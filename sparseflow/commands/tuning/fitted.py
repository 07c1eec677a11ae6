"""What ``fit`` found, for programs and as a page; streamed designs beside those on chip."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from csb_format.screening.layer import ScreenedLayer

if TYPE_CHECKING:
    from boards.board import Board
    from boards.resources import Choice
    from boards.streamed.choices import Outside, StreamedChoice
    from csb_format import Model

    from ...steps.options import FitOptions

__all__ = ["on_chip", "streamed", "streamed_table", "write"]


def on_chip(given: FitOptions, board: Board, one: Choice) -> dict[str, Any]:
    """A row of an array with its matrices on chip."""
    words = ["build", *_model(given), "--board", given.board, *_size(one)]
    words += ["--contexts", str(given.contexts)] if given.contexts > 1 else []
    words += ["--largest", str(given.largest)] if given.largest is not None else []
    limit, share = one.usage.limit(board.has)
    return {
        **_common(one), "fits": one.fits, "cycles": one.cycles, "microseconds": one.microseconds,
        "limit": limit, "share": share, "command": _command(words),
    }  # fmt: skip


def streamed(given: FitOptions, model: Model, one: StreamedChoice) -> dict[str, Any]:
    """A row of an array whose matrices come from memory; a screened head is the host's."""
    words = ["verilog", *_model(given), *_size(one)]
    for name, value in one.options.items():
        option = f"--{name.replace('_', '-')}"
        if name not in ("pes", "lanes"):
            words += [option] if value is True else [option, str(value)]
    words += ["--largest", "0"] if isinstance(model.head, ScreenedLayer) else []
    return {
        **_common(one), "streams": one.streams, "bus_bits": one.bus_bits, "cycles": one.cycles,
        "frames_a_second": one.frames_a_second, "bytes": one.bytes,
        "bytes_a_frame": one.bytes / one.streams, "floor": one.floor,
        "array_cycles": one.array_cycles, "limit": one.limit, "share": one.share,
        "command": _command([*words, "--base", "0"]),
    }  # fmt: skip


def _model(given: FitOptions) -> list[str]:
    from ...pages.made.typed import as_argument

    return [as_argument(str(given.model))]


def _size(one: Choice | StreamedChoice) -> list[str]:
    pes, lanes, streams = one.design.pes, one.design.lanes, one.design.batch
    out = f"build/{pes}x{lanes}" + f"x{streams}" * (streams > 1)
    return ["--pes", str(pes), "--lanes", str(lanes), "--out", out]


def _command(words: Sequence[str]) -> str:
    return shlex.join(["sparseflow", *words])


def _common(one: Choice | StreamedChoice) -> dict[str, Any]:
    return {
        "pes": one.design.pes,
        "lanes": one.design.lanes,
        "megahertz": one.megahertz,
        "multipliers": one.usage.multipliers,
        "block_rams": one.usage.block_rams,
        "luts": one.usage.luts,
    }


def streamed_table(board: Board, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Of streamed designs, as narrow as that of the others."""
    bits = rows[0]["bus_bits"]
    table = Table(
        title=f"streamed: matrices from memory, a port of {bits} bits",
        caption="Cycles: of a frame of each of B streams, which share what is read; floor:"
        "\nthose in which the port gives these bytes. f/s: frames a second, of all"
        f"\nstreams, at {rows[0]['megahertz']:g} MHz. Cells are estimates, of {board.part}.",
        caption_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    columns = ("M x N", "B", "DSP", "RAM", "LUT", "limit", "cycles", "floor", "B/frame", "f/s")
    for name in columns:
        left = name in ("M x N", "limit")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            f"{row['pes']} x {row['lanes']}", f"{row['streams']}",
            *(f"{row[name]}" for name in ("multipliers", "block_rams", "luts")),
            f"{_short(row['limit'])} {row['share']:.0%}", f"{row['cycles']}", f"{row['floor']}",
            f"{row['bytes_a_frame']:.0f}", f"{row['frames_a_second']:.0f}",
        )  # fmt: skip
    return table


def _short(name: str) -> str:
    from boards.resources import RESOURCES

    return next(resource.short for resource in RESOURCES if resource.name == name)


def write(
    given: FitOptions, model: Model, board: Board, every: Sequence[Choice], outside: Outside | None
) -> None:
    """The files that were asked for."""
    if not given.json and not given.html:
        return
    from csb_format.files.replace import replace_file

    choices = outside.choices if outside else ()
    found = {
        "model": given.model.name, "board": board.name, "title": board.title, "part": board.part,
        "weights": model.shape.real_nonzeros, "contexts": given.contexts,
        "arrays": [on_chip(given, board, one) for one in every],
        "streamed": [streamed(given, model, one) for one in choices],
        "notes": list(outside.notes) if outside else [],
    }  # fmt: skip
    if given.json:
        text = json.dumps(found, indent=1, allow_nan=False) + "\n"
        replace_file(given.json, text.encode())
    if given.html:
        from ...pages.made.typed import typed
        from ...pages.tune.fitted import page

        replace_file(given.html, page(found, typed()).encode())
