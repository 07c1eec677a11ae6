"""Cells and clock after place and route, as figures for regressions.

A suite's case of kind ``command`` runs ``sparseflow timing``; docs/regress.md has the lines. The
smallest array of a board takes minutes, so it belongs into a suite of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format import Model
from csb_format.files.folders import temporary_folder

from ..board import board
from ..tools.run import Note
from .bitstream import BitstreamError, build_bitstream

__all__ = ["measured"]

FIGURES = ("lut", "ff", "ram", "dsp", "fmax_mhz")


def measured(
    name: str | Path,
    model: Model,
    pes: int,
    lanes: int,
    seed: int,
    note: Note = lambda text: None,
    largest: int | None = None,
    contexts: int = 1,
) -> dict[str, Any]:
    """Place and route a model's array for a board.

    Parameters
    ----------
    name : str or path
        Of the board; see ``sparseflow boards``.
    model : Model
    pes, lanes : int
        M, N.
    seed : int
        Of the placer: the same seed gives the same figures.
    note : callable
        Told what the tools are about.
    largest : int, optional
        Of a screened head: logits that the unit behind the array finds; 0 for no unit.
    contexts : int
        Streams whose states the array keeps.

    Returns
    -------
    dict
        ``lut``, ``ff``, ``ram``, ``dsp`` and ``fmax_mhz``.
    """
    chosen = board(name)
    more: dict[str, Any] = dict(chosen.options)
    design = design_for(model, pes, lanes, contexts=contexts, largest=largest, **more)
    image = compile_model(model, design)
    with temporary_folder("timing") as folder:
        out = folder / "bitstream"
        try:
            build_bitstream(chosen, design, image, out, seed=seed, tell=_say, note=note)
        except BitstreamError:  # a clock that is missed is a figure too
            if not (out / "summary.json").exists():
                raise
        found = json.loads((out / "summary.json").read_text("utf-8"))
    return {figure: found[figure] for figure in FIGURES}


def _say(text: str) -> None:
    print(text, flush=True)
