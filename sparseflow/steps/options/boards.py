"""Of the commands for boards: what fits, builds, loads and is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from boards.tools.limits import TIMEOUT

from .said import Said
from .shared import PLACER_SEED, SEED, BoardName, Contexts, Lanes, Largest, ModelFile, Pes

__all__ = [
    "BoardsOptions",
    "BuildOptions",
    "CHeaderOptions",
    "FitOptions",
    "JobOptions",
    "LoadOptions",
    "SynthOptions",
    "TimingOptions",
]


@dataclass(frozen=True)
class BoardsOptions:
    """Of ``sparseflow boards``."""

    model: Annotated[
        Path | None, Said("Model that `pack` wrote; by default of the demo's size.", argument=True)
    ] = None
    board: Annotated[str | None, Said("Only this one, or a file of yours.", name="--board")] = None


@dataclass(frozen=True)
class FitOptions:
    """Of ``sparseflow fit``."""

    model: ModelFile
    board: BoardName
    contexts: Contexts = 1
    largest: Largest = None
    html: Annotated[Path | None, Said("The same as a page.")] = None
    json: Annotated[Path | None, Said("The same, for programs.")] = None


@dataclass(frozen=True)
class BuildOptions:
    """Of ``sparseflow build``."""

    model: ModelFile
    board: BoardName
    out: Annotated[Path, Said("Folder, replaced as a whole.")]
    pes: Annotated[int | None, Said("Default: the fastest that fits.", least=4, plain=True)] = None
    lanes: Annotated[int | None, Said("With --pes.", least=1, plain=True)] = None
    contexts: Contexts = 1
    largest: Largest = None
    clock: Annotated[
        float | None,
        Said(
            "MHz; by default the board's, or if that is missed one that is reached.",
            least=1,
            plain=True,
        ),
    ] = None
    seed: Annotated[int, Said("Of place and route.")] = PLACER_SEED
    seeds: Annotated[
        int,
        Said(
            "Tried from --seed on; the fastest clock is kept.",
            least=1,
            most=100,
            plain=True,
        ),
    ] = 1
    timeout: Annotated[float, Said("Seconds given to each run of a tool.", least=1, plain=True)] = (
        TIMEOUT
    )
    keep: Annotated[
        bool,
        Said("Keep all files of a build that fails or is ended, in OUT.failed.", name="--keep"),
    ] = False


@dataclass(frozen=True)
class LoadOptions:
    """Of ``sparseflow load``."""

    board: Annotated[str, Said("See `sparseflow boards`.", argument=True)]
    folder: Annotated[Path, Said("Folder of its `build`.", argument=True)]
    loader: Annotated[
        str | None, Said("What openFPGALoader calls this revision of the board; it says which.")
    ] = None


@dataclass(frozen=True)
class JobOptions:
    """Of ``sparseflow job``."""

    model: ModelFile
    folder: Annotated[Path, Said("Folder of a `build`, or its design.json.", argument=True)]
    data: Annotated[Path, Said("Sequences (.npz) to run.")]
    out: Annotated[Path, Said("Where the job goes, a text.")]
    words: Annotated[Path | None, Said("Where the words go that the board must answer.")] = None
    utterances: Annotated[
        int | None,
        Said("Run only so many, spread over classes and lengths; all by default.", least=1),
    ] = None
    seed: Annotated[int, Said("Of the choice of --utterances.", least=0, most=2**32 - 1)] = SEED
    baud: Annotated[int | None, Said("Of the line, instead of the board's.", least=1)] = None
    together: Annotated[
        bool,
        Said("Sequences side by side, a frame of each in turn.", name="--together"),
    ] = False


@dataclass(frozen=True)
class CHeaderOptions:
    """Of ``sparseflow c-header``."""

    model: ModelFile
    folder: Annotated[Path, Said("Folder of a `build`, or its design.json.", argument=True)]
    out: Annotated[Path, Said("Where the header goes (.h).")]
    name: Annotated[str, Said("What its identifiers begin with.")] = "sparseflow_model"


@dataclass(frozen=True)
class SynthOptions:
    """Of ``sparseflow synth``."""

    pes: Pes = 4
    lanes: Lanes = 4
    model: Annotated[
        Path | None, Said("Packed model; a random one of the demo's size by default.")
    ] = None
    contexts: Contexts = 1
    json_file: Annotated[Path | None, Said("Counts for programs.", name="--json")] = None
    largest: Largest = None
    by_module: Annotated[
        bool, Said("Each module by itself; sums get higher.", name="--by-module")
    ] = False
    timeout: Annotated[float, Said("Seconds given to Yosys.", least=1, plain=True)] = 1800


@dataclass(frozen=True)
class TimingOptions:
    """Of ``sparseflow timing``."""

    json_file: Annotated[Path, Said("The figures.", name="--json")]
    board: BoardName = "ecpix5"
    pes: Pes = 4
    lanes: Lanes = 1
    model: Annotated[Path | None, Said("Packed model; by default of 4 units and 4 inputs.")] = None
    contexts: Contexts = 1
    largest: Largest = None
    seed: Annotated[int, Said("Of the placer: the same seed, the same figures.")] = PLACER_SEED
