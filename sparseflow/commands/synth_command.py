"""Cells after synthesis, and the clock after place and route, as figures for regressions."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from ..steps.options import SynthOptions, TimingOptions
from .derived import derived

if TYPE_CHECKING:
    from boards.tools.cells import CellReport
    from compiler.array.design import Design

__all__ = ["synth", "timing"]


@derived(SynthOptions)
def synth(given: SynthOptions) -> None:
    """Report the ECP5 cells of an accelerator, and the devices that have as many.

    **In:** an array, and a packed model if you have one. **Out:** a table; with `--json` the
    counts, which a case of a regression can hold against its baseline.

    **Next:** `sparseflow fit MODEL --board BOARD`
    """
    from boards.tools.synth import synthesise_ecp5
    from compiler.array.needs import design_for
    from compiler.lower.compile import compile_model
    from csb_format import load_model
    from csb_format.files.folders import temporary_folder
    from csb_format.files.replace import replace_file
    from csb_format.random_models import demo_sized
    from hdl.verilog import emit_verilog

    from ..steps.checks import check_written
    from ..steps.progress import news

    if given.json_file:
        check_written("--json", given.json_file, given.model)
    chosen = load_model(given.model) if given.model else demo_sized()
    array = (chosen, given.pes, given.lanes)
    design = design_for(*array, contexts=given.contexts, largest=given.largest)
    with temporary_folder("emitted") as folder:
        files = emit_verilog(design, folder / "verilog", compile_model(chosen, design))
        report = synthesise_ecp5(
            files, flatten=not given.by_module, timeout=given.timeout, note=news
        )
    if given.json_file:
        fields = {"design": asdict(design), **report.to_dict()}
        replace_file(
            given.json_file, (json.dumps(fields, indent=2, allow_nan=False) + "\n").encode()
        )
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


@derived(TimingOptions)
def timing(given: TimingOptions) -> None:
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

    from ..steps.checks import check_written
    from ..steps.progress import news

    check_written("--json", given.json_file, given.model)
    tiny = random_model(np.random.default_rng(0), 4, 4, banks=1, k_ih=1, k_hh=1)
    found = measured(
        given.board,
        load_model(given.model) if given.model else tiny,
        given.pes,
        given.lanes,
        given.seed,
        news,
        given.largest,
        given.contexts,
    )
    typer.echo(json.dumps(found, allow_nan=False))
    replace_file(given.json_file, (json.dumps(found, indent=2, allow_nan=False) + "\n").encode())
