"""Cells after synthesis, and the clock after place and route, as figures for regressions."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Lanes, Pes

if TYPE_CHECKING:
    from boards.tools.cells import CellReport
    from compiler.array.design import Design

__all__ = ["synth", "timing"]


def synth(
    pes: Pes = 4,
    lanes: Lanes = 4,
    model: Annotated[
        Path | None, typer.Option(help="Packed model; a random one of the demo's size by default.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Counts for programs.")] = None,
    by_module: Annotated[
        bool, typer.Option("--by-module", help="Each module by itself; sums get higher.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds given to Yosys.")] = 1800,
) -> None:
    """Report the ECP5 cells of an accelerator, and the devices that have as many.

    **In:** an array, and a packed model if you have one. **Out:** a table; with `--json` the
    counts, which a case of a regression can hold against its baseline.

    **Next:** `sparseflow fit MODEL --board BOARD`
    """
    from boards.tools.synth import synthesise_ecp5
    from compiler.array.needs import design_for
    from compiler.lower.compile import compile_model
    from csb_format import load_model
    from csb_format.files.replace import replace_file
    from csb_format.random_models import demo_sized
    from hdl.verilog import emit_verilog

    chosen = load_model(model) if model else demo_sized()
    design = design_for(chosen, pes, lanes)
    with tempfile.TemporaryDirectory(prefix="sparseflow-synth.") as folder:
        files = emit_verilog(design, Path(folder) / "verilog", compile_model(chosen, design))
        report = synthesise_ecp5(files, flatten=not by_module, timeout=timeout)
    if json_file:
        fields = {"design": asdict(design), **report.to_dict()}
        replace_file(json_file, (json.dumps(fields, indent=2) + "\n").encode())
    _print(report, design)


def _print(report: CellReport, design: Design) -> None:
    from rich.console import Console

    from boards.tools.cells import DEVICES

    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(
        f"{design.pes} x {design.lanes} multipliers, {design.units} element-wise lane(s)",
        highlight=False,
    )
    console.print(report.cell_table())
    console.print(report.usage_table())
    for device in DEVICES:
        for shortage in report.shortages(device):
            console.print(f"{device.name}: needs {shortage}", highlight=False)


def timing(
    json_file: Annotated[Path, typer.Option("--json", help="The figures.")],
    board: Annotated[str, typer.Option(help="See `sparseflow boards`.")] = "ecpix5",
    pes: Pes = 4,
    lanes: Lanes = 1,
    model: Annotated[
        Path | None, typer.Option(help="Packed model; by default of 4 units and 4 inputs.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the placer: the same seed, the same figures.")] = 1,
) -> None:
    """Place and route an array: its cells and its clock, as figures of a regression.

    **In:** a board with an open flow, and a packed model if you have one. **Out:** JSON with
    `lut`, `ff`, `ram`, `dsp` and `fmax_mhz`. The smallest array takes minutes, so it belongs
    into a suite of its own; docs/regress.md has the lines.
    """
    import numpy as np

    from boards.build.timing import measured
    from csb_format import load_model
    from csb_format.files.replace import replace_file
    from csb_format.random_models import random_model

    tiny = random_model(np.random.default_rng(0), 4, 4, banks=1, k_ih=1, k_hh=1)
    found = measured(board, load_model(model) if model else tiny, pes, lanes, seed)
    typer.echo(json.dumps(found))
    replace_file(json_file, (json.dumps(found, indent=2) + "\n").encode())
