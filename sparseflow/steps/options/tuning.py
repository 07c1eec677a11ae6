"""Of the commands that study and search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from boards.tools.limits import TIMEOUT

from .preparing import PruneOptions
from .said import Said
from .shared import (
    PLACER_SEED,
    SEED,
    BoardName,
    Contexts,
    Engine,
    Largest,
    ModelFile,
    Scheduler,
    Seed,
)
from .words import EngineName

__all__ = [
    "PredictBuildOptions",
    "PredictCheckOptions",
    "PredictOptions",
    "StudyOptions",
    "TuneOptions",
]


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

    model: Annotated[
        Path,
        Said("Model that `pack` wrote; with --data a trained checkpoint, as for `prune`.",
             argument=True),
    ]  # fmt: skip
    board: BoardName
    contexts: Contexts = 1
    largest: Largest = None
    data: Annotated[
        Path | None,
        Said("Labelled sequences (.npz) to fine-tune on: search patterns and bits too."),
    ] = None
    val: Annotated[
        Path | None, Said("Others, to score on. Default: --data, which says little.")
    ] = None
    target: Annotated[
        str, Said("Loss that is allowed above the dense network's, such as 'loss<=0.5%'.")
    ] = "loss<=0.5%"
    budget: Annotated[str, Said("Time of all trainings together: 2h, 30m, 90s.")] = "1h"
    trainings: Annotated[int | None, Said("At most so many.", least=1)] = None
    bits: Annotated[
        list[str] | None,
        Said("Bits of weights and activations, such as 8/8; repeat it. Default: 8/8 and 16/16."),
    ] = None
    epochs: Annotated[int, Said("Of the fine-tuning of a pattern.", least=1)] = PruneOptions.epochs
    seed: Seed = SEED
    work: Annotated[Path, Said("Where results are kept: the same search goes on with them.")] = (
        Path("build/tune")
    )
    engine: Engine = EngineName.local
    jobs: Annotated[int, Said("Trainings, or places and routes, at a time.", least=1)] = 1
    scheduler: Scheduler = ""
    route: Annotated[
        int,
        Said("So many of the fastest points are placed and routed, at the fastest clock that each "
             "is found to reach.", least=0, most=100),
    ] = 0  # fmt: skip
    placer_seed: Annotated[int, Said("With --route: of place and route.")] = PLACER_SEED
    seeds: Annotated[
        int, Said("With --route: tried from --placer-seed on, of every point.", least=1, most=100)
    ] = 1
    timeout: Annotated[
        float, Said("With --route: seconds given to each run of a tool.", least=1)
    ] = TIMEOUT
    prior: Annotated[
        list[Path] | None,
        Said("What --json wrote of an earlier search, which this one begins with; repeat it."),
    ] = None
    out: Annotated[
        Path | None,
        Said("Folder for the best point: pruned, packed and built for the board; of a packed "
             "model the build alone, with --route."),
    ] = None  # fmt: skip
    html: Annotated[Path | None, Said("A page with the front as a plot.")] = None
    json: Annotated[Path | None, Said("The front, for programs.")] = None


@dataclass(frozen=True)
class PredictOptions:
    """Of ``sparseflow predict MODEL``."""

    model: ModelFile
    board: Annotated[
        str,
        Said(
            "See `sparseflow boards`; a file of yours, my_board.toml; or cpu, this processor.",
            name="--board",
        ),
    ]
    pes: Annotated[
        int | None,
        Said("M, with --lanes; by default the array that `build` takes.", least=1, plain=True),
    ] = None
    lanes: Annotated[int | None, Said("N, with --pes.", least=1, plain=True)] = None
    contexts: Contexts = 1
    largest: Largest = None
    clock: Annotated[
        float | None,
        Said("MHz to be reached; by default those of `fit` and `build`.", least=1, plain=True),
    ] = None
    learned: Annotated[
        Path | None, Said("What `predict build` wrote; by default what comes with the package.")
    ] = None
    json: Annotated[Path | None, Said("The prediction, for programs.")] = None


@dataclass(frozen=True)
class _Counting:
    """Of what counts designs, as jobs."""

    board: Annotated[
        list[str] | None, Said("Whose designs are counted; repeat it. Or cpu: networks are timed.")
    ] = None
    designs: Annotated[
        int | None,
        Said("Drawn for each board, default 40; on cpu 160 networks.", least=1, most=10_000),
    ] = None
    multipliers: Annotated[int, Said("M x N of an array, at most.", least=4, most=4096)] = 64
    seed: Seed = SEED
    work: Annotated[Path, Said("Where counts are kept: the same command goes on with them.")] = (
        Path("build/predict")
    )
    engine: Engine = EngineName.local
    jobs: Annotated[int, Said("Designs at a time.", least=1)] = 1
    scheduler: Scheduler = ""


@dataclass(frozen=True)
class PredictBuildOptions(_Counting):
    """Of ``sparseflow predict build``."""

    data: Annotated[
        Path, Said("All counted designs (JSON); those of other boards in it are learned from too.")
    ] = Path("counted.json")
    routed: Annotated[
        list[Path] | None,
        Said("Rows with `board` and `fmax_mhz` (JSON) that clocks are learned from; repeat it."),
    ] = None
    route: Annotated[
        int,
        Said("So many of the drawn designs of every board are placed and routed too: clocks are "
             "learned from them.", least=0, most=10_000),
    ] = 0  # fmt: skip
    seeds: Annotated[int, Said("With --route: of the placer, from 1 on.", least=1, most=100)] = 3
    placed: Annotated[
        Path, Said("With --route: all placed designs (JSON); those of other boards stay in it.")
    ] = Path("placed.json")
    rounds: Annotated[
        int, Said("Of counting more about designs that are predicted badly.", least=0, most=20)
    ] = 2
    prior: Annotated[
        Path | None,
        Said("On cpu: --out of another processor. Some 10 designs then say how this one differs."),
    ] = None
    out: Annotated[Path, Said("Where the table goes, for --learned.")] = Path("learned.json")


@dataclass(frozen=True)
class PredictCheckOptions(_Counting):
    """Of ``sparseflow predict check``."""

    learned: Annotated[
        Path | None, Said("What `predict build` wrote; by default what comes with the package.")
    ] = None
    data: Annotated[
        Path | None, Said("Add them to the counted designs there (JSON); nothing learns from them.")
    ] = None
