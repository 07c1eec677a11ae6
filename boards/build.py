"""From a model and a board's name to a bitstream or a vendor's project, and a summary."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from csb_format.design import Design
from csb_format.model import Model
from hdl.compiler import compile_model

from .bitstream import Built, build_bitstream, open_flow
from .board import Board, board
from .fit import Choice, choice, fastest
from .vendor import write_project

__all__ = ["build"]


def build(
    model: Model,
    name: str,
    out: Path,
    array: tuple[int, int] | None = None,
    clock_mhz: float | None = None,
    seed: int = 1,
    *,
    tell: Callable[[str], None] = lambda text: None,
) -> list[str]:
    """Build for a board.

    Parameters
    ----------
    model : Model
    name : str
        Of the board.
    out : Path
        Folder, replaced as a whole.
    array : (int, int), optional
        M and N; by default the fastest that fits.
    clock_mhz : float, optional
        Instead of the board's.
    seed : int
    tell : callable
        Told of every stage.

    Returns
    -------
    list of str
        The summary.

    Raises
    ------
    BoardError
        If the board is not known or holds no array for the model.
    BitstreamError
        If the design does not fit or misses its clock.
    """
    chosen = board(name)
    if clock_mhz:
        chosen = replace(chosen, clock_hz=round(clock_mhz * 1e6))
    best = choice(model, chosen, *array) if array else fastest(model, chosen)
    image = compile_model(model, best.design)
    begin = time.monotonic()

    def stage(text: str) -> None:
        tell(f"{time.monotonic() - begin:7.1f} s  {text}")

    if not open_flow(chosen):
        stage("writing the project")
        files = write_project(chosen, best.design, image, out)
        return [
            _head(chosen, best),
            f"project of {len(files)} files in {out}",
            f"start: {files[0]}",
        ]
    built = build_bitstream(chosen, best.design, image, out, seed=seed, tell=stage)
    return [_head(chosen, best), *_summary(chosen, best, built, out)]


def _head(board: Board, best: Choice) -> str:
    design: Design = best.design
    return f"{board.title}: {design.pes} x {design.lanes} multipliers, {best.cycles} cycles a step"


def _summary(board: Board, best: Choice, built: Built, out: Path) -> list[str]:
    step = best.cycles / built.clock_mhz
    return [
        f"clock {built.clock_mhz:g} MHz of at most {built.fmax_mhz:g} MHz; a step {step:.2f} us",
        f"LUT {built.lut} (estimated {best.usage.luts}), block RAM {built.ram} "
        f"({best.usage.block_rams}), DSP {built.dsp} ({best.usage.multipliers})",
        f"bitstream {out}, sha256 {built.bitstream_sha256}",
        f"seed {built.seed}, " + ", ".join(f"{k} {v}" for k, v in built.tools.items()),
    ]
