"""Of ``sparseflow regress``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from .said import Said
from .shared import Engine, Scheduler
from .words import EngineName, Replayer

__all__ = ["RegressOptions"]


@dataclass(frozen=True)
class RegressOptions:
    """Of ``sparseflow regress``."""

    suite: Annotated[Path, Said("Suite of cases (.toml).", argument=True)] = Path(
        "examples/regress/default.toml"
    )
    out: Annotated[Path | None, Said("Folder for results. Default: build/regress/SUITE.")] = None
    cache: Annotated[
        Path | None, Said("Where hardware is kept between runs. Default: the user's cache.")
    ] = None
    baseline: Annotated[Path | None, Said("Figures to hold. Default: SUITE.baseline.json.")] = None
    history: Annotated[Path | None, Said("All runs, a line each. Default: OUT/history.jsonl.")] = (
        None
    )
    jobs: Annotated[int | None, Said("Cases at a time. Default: the cores.", least=1)] = None
    only: Annotated[
        list[str] | None, Said("Run only cases whose name contains this; repeat it.")
    ] = None
    accept: Annotated[bool, Said("Make the figures of this run the baseline.", name="--accept")] = (
        False
    )
    uncommitted: Annotated[
        bool,
        Said("Let --accept keep figures of sources that are in no commit.", name="--uncommitted"),
    ] = False
    fresh: Annotated[bool, Said("Do not go on with an interrupted run.", name="--fresh")] = False
    engine: Engine = EngineName.local
    scheduler: Scheduler = ""
    lines: Annotated[
        bool, Said("Report which lines of Python the cases have run.", name="--lines")
    ] = False
    shard: Annotated[
        str, Said("Run only this part of the suite, such as 2/4; each machine runs another.")
    ] = ""
    merge: Annotated[
        list[Path] | None,
        Said("Run nothing: one result of these shards' folders, or of all in this one; repeat it."),
    ] = None
    repeat: Annotated[
        int, Said("Run each case so often, with seeds of their own.", least=1, most=1000)
    ] = 1
    artifacts: Annotated[
        Path | None,
        Said("Folder for what red cases need, waveforms too, and nothing else; replaced."),
    ] = None
    badge: Annotated[Path | None, Said("Where a badge with the verdict goes (.svg).")] = None
    replay: Annotated[str, Said("Run only this case, with waveforms, and keep everything.")] = ""
    simulator: Annotated[
        Replayer,
        Said("What writes waveforms; Verilator needs liblz4-dev and zlib1g-dev."),
    ] = Replayer.icarus
