"""What the front door and the command line are given, looked at before any work is done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.array.design import Design
from compiler.lower.image import Image
from csb_format.arguments import number, place, shown, whole
from csb_format.files.matrixfile import PackedMatrix
from csb_format.files.ownership import PlaceError, check_file
from csb_format.model import Model
from csb_format.shape import ModelShape

if TYPE_CHECKING:
    from boards.board import Board

__all__ = [
    "array_of",
    "check_clock",
    "check_written",
    "design_of",
    "image_of",
    "matrices_of",
    "model_of",
    "seed_of",
    "shape_of",
]

SLOWEST_MHZ = 1.0
MOST_SEED = (1 << 31) - 1  # what nextpnr takes
MOST_SEEDS = 100  # runs of place and route, each of minutes


def model_of(function: str, given: object) -> Model:
    """A model.

    Raises
    ------
    TypeError
        For anything else, with the way from there to a model.
    """
    if not isinstance(given, Model):
        raise TypeError(f"{function} takes a model, not {shown(given)}: {_to_model(given)}")
    return given


def shape_of(function: str, given: object) -> Model | ModelShape:
    """A model or its shape; errors as :func:`model_of`."""
    return given if isinstance(given, ModelShape) else model_of(function, given)


def _to_model(given: object) -> str:
    if isinstance(given, str | bytes | Path):
        return "read the file first, sf.load(path)"
    if isinstance(getattr(given, "model", None), Model):
        return "give its .model"
    if isinstance(given, dict | PackedMatrix):
        return "matrices that are packed alone run on no array; give sf.quantise(...).model"
    if isinstance(given, ModelShape):
        return "a shape has no weights; give the model itself"
    return "give sf.quantise(...).model, or sf.load(path)"


def image_of(function: str, given: object) -> Image:
    """What :func:`sparseflow.compile` makes.

    Raises
    ------
    TypeError
        For anything else.
    """
    if isinstance(given, Image):
        return given
    mend = "compile it first, sf.compile(model)"
    if not isinstance(given, Model):
        mend = "give what sf.compile(model) returns"
    raise TypeError(f"{function} takes a compiled image, not {shown(given)}: {mend}")


def design_of(function: str, given: object) -> Image | Design:
    """An image or a design alone; errors as :func:`image_of`."""
    return given if isinstance(given, Design) else image_of(function, given)


def matrices_of(given: object) -> dict[str, PackedMatrix]:
    """Packed matrices by name; one alone has the empty name.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        If there is none.
    """
    found: dict[Any, Any] = dict(given) if isinstance(given, dict) else {"": given}
    mend = "give sf.quantise(...).model or what sf.pack returned"
    if not found:
        raise ValueError(f"sf.save got no matrices: {mend}")
    for name, one in found.items():
        if not isinstance(one, PackedMatrix):
            raise TypeError(f"sf.save takes a model or packed matrices, not {shown(one)}: {mend}")
        if not isinstance(name, str):
            raise TypeError(f"sf.save: a matrix is called {shown(name)}: give it a text as name")
    return found


def array_of(given: object) -> tuple[int, int] | None:
    """M and N, whole numbers.

    Raises
    ------
    TypeError
        If they are no two whole numbers.
    ValueError
        If one is below 1.
    """
    if given is None:
        return None
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        raise TypeError(f"array = {shown(given)}: give M and N, such as (16, 8)")
    return whole("array: M", given[0], 1), whole("array: N", given[1], 1)


def seed_of(given: object) -> int:
    """A seed of place and route; errors name it."""
    return whole("seed", given, 0, MOST_SEED)


def check_clock(board: Board, clock_mhz: float | None) -> int:
    """The clock in Hz that a board is to run at; its own where none is asked.

    Raises
    ------
    TypeError, ValueError
        If it is no number of at least 1.
    BoardError
        If nothing on the board makes it; nothing has been written then.
    """
    from dataclasses import replace

    from boards.board import clock_verilog

    if clock_mhz is None:
        return board.clock_hz
    hertz = round(number("clock_mhz", clock_mhz, SLOWEST_MHZ, math.inf) * 1e6)
    clock_verilog(replace(board, clock_hz=hertz))
    return hertz


def check_written(name: str, path: object, *inputs: Path | None) -> Path:
    """A file that is written at the end of the work, refused before it where that must fail.

    Parameters
    ----------
    name : str
        Of the argument.
    path : path
    *inputs : Path
        What the same command reads.

    Raises
    ------
    PlaceError
        If its folder is not there.
    OSError
        As :func:`csb_format.files.ownership.check_file`.
    """
    file = place(name, path)
    check_file(file, *inputs)
    if not file.parent.is_dir():
        raise PlaceError(f"{name} {file}: there is no folder {file.parent}: make it first")
    return file
