"""The command behind ``python -m boards.synth``."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from csb_format import Model, load_model
from csb_format.design import Design
from csb_format.replace import replace_file
from hdl.compiler import compile_model
from hdl.verilog import emit_verilog
from sim.random_models import random_model

from .cells import DEVICES, CellReport
from .synth import synthesise_ecp5

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def synth(
    pes: Annotated[int, typer.Option(min=4, help="Processing elements (M).")] = 4,
    lanes: Annotated[int, typer.Option(min=1, help="Multipliers in each (N).")] = 4,
    model: Annotated[
        Path | None, typer.Option(help="Packed model; a random one of the demo's size by default.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Counts for programs.")] = None,
    by_module: Annotated[
        bool, typer.Option("--by-module", help="Each module by itself; sums get higher.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds given to Yosys.")] = 1800,
) -> None:
    """Report the ECP5 cells of an accelerator, and the devices that have as many."""
    chosen = load_model(model) if model else _demo_sized()
    design = Design.for_model(chosen, pes, lanes)
    with tempfile.TemporaryDirectory(prefix="sparseflow-synth.") as folder:
        files = emit_verilog(design, Path(folder) / "verilog", compile_model(chosen, design))
        report = synthesise_ecp5(files, flatten=not by_module, timeout=timeout)
    if json_file:
        fields = {"design": asdict(design), **report.to_dict()}
        replace_file(json_file, (json.dumps(fields, indent=2) + "\n").encode())
    _print(report, design)


def _demo_sized() -> Model:
    """A model of the demo's geometry: 12 inputs, 128 units, 8 banks, 1 of 2 and 2 of 16 kept."""
    return random_model(np.random.default_rng(0), 12, 128, banks=8, k_ih=1, k_hh=2)


def _print(report: CellReport, design: Design) -> None:
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


def main() -> None:
    """Run the command; errors of use or input end it with status 2 and one line."""
    try:
        app(prog_name="python -m boards.synth")
    except (ValueError, RuntimeError, OSError) as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        sys.exit(2)
