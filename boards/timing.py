"""Cells and clock after place and route, as figures for regressions: ``python -m boards.timing``.

A suite's case of kind ``command`` runs it; docs/regress.md has the lines. The smallest array of
a board takes minutes, so it belongs into a suite of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from csb_format import Model, load_model
from csb_format.design import Design
from csb_format.replace import replace_file
from hdl.compiler import compile_model
from sim.random_models import random_model

from .bitstream import BitstreamError, build_bitstream
from .board import board

__all__ = ["main", "measured"]

FIGURES = ("lut", "ff", "ram", "dsp", "fmax_mhz")


def measured(name: str, model: Model, pes: int, lanes: int, seed: int) -> dict[str, Any]:
    """Place and route a model's array for a board.

    Parameters
    ----------
    name : str
        Of the board; see ``sparseflow boards``.
    model : Model
    pes, lanes : int
        M, N.
    seed : int
        Of the placer: the same seed gives the same figures.

    Returns
    -------
    dict
        ``lut``, ``ff``, ``ram``, ``dsp`` and ``fmax_mhz``.
    """
    chosen = board(name)
    design = Design.for_model(model, pes, lanes, **chosen.options)
    image = compile_model(model, design)
    with tempfile.TemporaryDirectory(prefix="sparseflow-timing.") as folder:
        out = Path(folder) / "bitstream"
        try:
            build_bitstream(chosen, design, image, out, seed=seed, tell=_say)
        except BitstreamError:  # a clock that is missed is a figure too
            if not (out / "summary.json").exists():
                raise
        found = json.loads((out / "summary.json").read_text("utf-8"))
    return {figure: found[figure] for figure in FIGURES}


def _say(text: str) -> None:
    print(text, flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Parse, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--board", default="ecpix5")
    parser.add_argument("--pes", type=int, default=4)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--model", type=Path, help="packed model; default: 4 units, 4 inputs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args(arguments)
    tiny = random_model(np.random.default_rng(0), 4, 4, banks=1, k_ih=1, k_hh=1)
    model = load_model(given.model) if given.model else tiny
    found = measured(given.board, model, given.pes, given.lanes, given.seed)
    print(json.dumps(found))
    replace_file(given.json, (json.dumps(found, indent=2) + "\n").encode())


if __name__ == "__main__":
    try:
        main()
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"error: {error}")
