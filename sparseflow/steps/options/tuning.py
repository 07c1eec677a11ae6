"""Of the commands that study and search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from .said import Said
from .shared import SEED, BoardName, Contexts, Largest, ModelFile, Seed

__all__ = ["StudyOptions", "TuneOptions"]


@dataclass(frozen=True)
class StudyOptions:
    """Of ``sparseflow study``."""

    model: Annotated[
        Path | None, Said("Model that `pack` wrote; by default of the demo's size.", argument=True)
    ] = None
    target: Annotated[str, Said("A board, see `sparseflow boards`, or cpu.")] = "ulx3s"
    pes: Annotated[
        int | None,
        Said("M, with --lanes; by default the array that `build` takes.", least=4, plain=True),
    ] = None
    lanes: Annotated[int | None, Said("N, with --pes.", least=1, plain=True)] = None
    knob: Annotated[list[str] | None, Said("Only this one; may be repeated.")] = None
    rounds: Annotated[int, Said("Turns of each value on cpu.", least=1, most=1000)] = 7
    seed: Seed = SEED
    html: Annotated[Path | None, Said("A page with a plot of every knob.")] = None
    json: Annotated[Path | None, Said("All points and steps, for programs.")] = None


@dataclass(frozen=True)
class TuneOptions:
    """Of ``sparseflow tune``."""

    model: ModelFile
    board: BoardName
    contexts: Contexts = 1
    largest: Largest = None
    html: Annotated[Path | None, Said("A page with the front as a plot.")] = None
    json: Annotated[Path | None, Said("The front, for programs.")] = None
