"""What ``sparseflow cpu ...`` can be told; see :mod:`sparseflow.steps.options`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..options import ModelFile, Said

__all__ = ["CpuBenchOptions", "CpuPlanOptions", "CpuRunOptions"]

Kernel = Annotated[
    str | None, Said("Instructions to use, a name that `cpu plan` prints. Default: the fastest.")
]
Threads = Annotated[int, Said("That work on one step, each on a core.", least=1, most=64)]
Json = Annotated[Path | None, Said("Where the figures go as JSON.")]


@dataclass(frozen=True)
class CpuRunOptions:
    """Of ``sparseflow cpu run``."""

    model: ModelFile
    data: Annotated[Path, Said("Sequences (.npz) to run; labels or targets give a score.")]
    out: Annotated[
        Path | None, Said("Where outputs of all frames, and the head's answers, go (.npz).")
    ] = None
    kernel: Kernel = None
    threads: Threads = 1
    check: Annotated[
        bool, Said("Compare every bit of every state with the integer model.", name="--check")
    ] = False
    json: Json = None


@dataclass(frozen=True)
class CpuBenchOptions:
    """Of ``sparseflow cpu bench``."""

    model: ModelFile
    steps: Annotated[
        int, Said("Steps of one stream, whose times are sorted.", least=100, most=10**8)
    ] = 20_000
    batch: Annotated[
        list[int] | None, Said("Streams side by side; repeat it. Default: 1 4 16 64.")
    ] = None
    kernel: Kernel = None
    threads: Threads = 1
    seed: Annotated[int, Said("Of the frames, which are random.", least=0, most=2**32 - 1)] = 0
    json: Json = None


@dataclass(frozen=True)
class CpuPlanOptions:
    """Of ``sparseflow cpu plan``."""

    model: ModelFile
    kernel: Kernel = None
    clocks: Annotated[
        bool,
        Said(
            "Try every clock of a core (cpufreq, as root) and tell which is enough.",
            name="--clocks",
        ),
    ] = False
    json: Json = None
