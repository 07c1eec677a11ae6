"""What ``sparseflow adapt`` can be told; see :mod:`sparseflow.steps.options`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from engine.learn.learner import Settings

from ..options import SEED, ModelFile, Said, Seed
from ..options.shared import Lanes, Pes

__all__ = ["AdaptOptions", "ModeName", "TargetName", "bytes_of"]

EPOCHS = 12  # few: what has learnt much already is adapted


class ModeName(StrEnum):
    """What moves; the words of ``engine.learn.learner.MODES``."""

    head = "head"
    recurrent = "recurrent"
    all = "all"


class TargetName(StrEnum):
    """Who computes."""

    cpu = "cpu"
    sim = "sim"
    board = "board"


@dataclass(frozen=True)
class AdaptOptions:
    """Of ``sparseflow adapt``."""

    model: ModelFile
    data: Annotated[Path, Said("Sequences (.npz) with labels or targets, to learn from.")]
    out: Annotated[Path, Said("Where the adapted model goes (.safetensors).")]
    mode: Annotated[ModeName, Said("What moves: the head, the recurrent layers, or all.")] = (
        ModeName.all
    )
    target: Annotated[
        TargetName,
        Said("Who computes: this processor, or an array on a simulated board, or on a real one."),
    ] = TargetName.cpu
    port: Annotated[str, Said("Of a board whose array trains: serial:/dev/ttyUSB0.")] = ""
    pes: Pes = 4
    lanes: Lanes = 4
    val: Annotated[
        Path | None,
        Said("Sequences (.npz) that are not learnt from, to judge by. Default: a part of --data."),
    ] = None
    hold: Annotated[
        float,
        Said("Share of --data, of every class, that is held out where --val is not given.",
             least=0.01, most=0.9),
    ] = 0.25  # fmt: skip
    epochs: Annotated[int, Said("Times that the data is gone through.", least=1)] = EPOCHS
    batch: Annotated[int, Said("Sequences a step.", least=1)] = 32
    rate: Annotated[
        float, Said("Of the descent, on a batch's mean gradient.", least=1e-6, most=1000)
    ] = 0.25
    gradient_bits: Annotated[
        int, Said("Of gradients that are multiplied: 8 or 16.", least=8, most=16, multiple=8)
    ] = Settings.gradient_bits
    memory: Annotated[
        str, Said("That what a step keeps may take: 4MiB; the result is the same. Default: all.")
    ] = "0"
    threads: Annotated[int, Said("That share a step, each on a core.", least=1, most=64)] = 1
    seed: Seed = SEED
    resume: Annotated[
        bool, Said("Go on where an earlier call with these options was ended.", name="--resume")
    ] = False
    page: Annotated[Path | None, Said("Where the page about it goes (.html).")] = None
    json: Annotated[Path | None, Said("Where the figures go as JSON.")] = None

    @property
    def settings(self) -> Settings:
        """What the learner takes."""
        return Settings(
            mode=self.mode.value,
            rate=self.rate,
            gradient_bits=self.gradient_bits,
            seed=self.seed,
            memory=bytes_of(self.memory),
        )


_UNITS = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "GB": 10**9, "MB": 10**6, "kB": 1000}


def bytes_of(text: str) -> int:
    """Bytes of ``4MiB``, ``512KiB``, ``4000000``; 0 for no limit.

    Raises
    ------
    ValueError
        For anything else.
    """
    unit = next((unit for unit in _UNITS if text.endswith(unit)), "")
    try:
        found = float(text.removesuffix(unit)) * _UNITS.get(unit, 1)
        if not 0 <= found < 1 << 50:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"--memory {text}: give bytes, such as 4MiB, 512KiB or 4000000; 0 for no limit"
        ) from None
    return int(found)
