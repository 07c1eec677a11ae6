"""Bitstreams of an array that trains: cells and clock of the demo's network on boards.

``python -m bench.boards.learning [--case NAME ...] [--json FILE]`` places and routes the
accelerator behind a board's line, for a network of the demo's sizes: as it infers, with a head that
learns, with all matrices that learn. A clock that is missed is a figure too; ``--placer`` is the
seed of place and route. Place and route of a case takes minutes on an idle core.
"""

from __future__ import annotations

import json as json_text
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from boards.board import board
from boards.build.bitstream import BitstreamError, build_bitstream
from boards.tools.synth import synthesise_ecp5
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.learn.design import training_design
from compiler.lower.compile import compile_model
from compiler.timing.cycle_model import step_cycles
from csb_format.files.folders import temporary_folder
from csb_format.model import Model
from csb_format.random_models import random_network
from hdl.verilog import emit_verilog

from ..record import Rows, Smallest, check_named, with_others, write_record

__all__ = ["main"]

SEED = 0
PLACER = 1
ANSWERS = 32  # sequences a batch
STEPS = 8  # of a sequence, where recurrent layers learn; block RAM alone depends on it
TIMEOUT = 36000.0
FIGURES = ("lut", "ff", "ram", "dsp", "fmax_mhz", "clock_mhz")


@dataclass(frozen=True)
class Case:
    """An array on a board; ``steps`` of a batch's sequences, where recurrent layers learn."""

    board: str
    array: tuple[int, int]
    learns: str = ""  # "head", "all"
    answers: int = ANSWERS
    steps: int = STEPS


CASES = {
    f"{name} {pes} x {lanes}{f', {learns} learns' if learns else ''}": Case(
        name, (pes, lanes), learns
    )
    for name, pes, lanes in (("ecpix5", 4, 2), ("ecpix5", 8, 4))
    for learns in ("", "head", "all")
}


def main(
    case: Annotated[list[str] | None, typer.Option(help="By name; may repeat.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    placer: Annotated[int, typer.Option(min=0, help="Seed of place and route.")] = PLACER,
    smallest: Smallest = False,
) -> None:
    """Build, print a table, write JSON."""
    check_named(case, CASES)
    if smallest:
        rows = [_smallest()]
    else:
        rows = [{"case": name, **_placed(CASES[name], placer)} for name in case or CASES]
    Console(width=120).print(_table(rows))
    if json:
        kept = rows if smallest else with_others(json, rows, CASES)
        write_record(json, "bench.boards.learning", SEED, kept)


def _model(*sizes: int) -> Model:
    """Of the demo's sizes, unless told."""
    inputs, units, banks, classes = sizes or (12, 128, 8, 9)
    return random_network(
        np.random.default_rng(SEED), inputs, units, banks, (1, 2, 1), head=classes,
        value_bits=8, act_bits=8,
    )  # fmt: skip


def _design(case: Case, model: Model) -> Design:
    if not case.learns:
        return design_for(model, *case.array, head=True)
    wide = -(-case.answers // case.array[1]) * case.array[1]
    frames = case.steps * wide if case.learns == "all" else 0
    return training_design(model, *case.array, case.answers, frames)


def _placed(case: Case, placer: int) -> dict[str, Any]:
    """Of a bitstream, the line and the registers included."""
    model = _model()
    image = compile_model(model, _design(case, model), head=True)
    with temporary_folder("learning") as folder:
        out, clock_met = folder / "bitstream", True
        try:
            build_bitstream(
                board(case.board), image.design, image, out, seed=placer, timeout=TIMEOUT
            )
        except BitstreamError as error:
            if not (out / "summary.json").exists():
                return _about(case) | {"fits": False, "why": str(error).splitlines()[0]}
            clock_met = False
        found = json_text.loads((out / "summary.json").read_text("utf-8"))
    figures = {figure: found[figure] for figure in FIGURES}
    cycles = {"frame_cycles": step_cycles(image)}
    return (
        _about(case) | {"fits": True, "clock_met": clock_met, "placer": placer} | figures | cycles
    )


def _about(case: Case) -> dict[str, Any]:
    about: dict[str, Any] = {"board": case.board, "M": case.array[0], "N": case.array[1]}
    about |= {"learns": case.learns}
    if case.learns:
        about["answers"] = case.answers
    if case.learns == "all":
        about["steps"] = case.steps
    return about


def _smallest() -> dict[str, Any]:
    """Synthesis of a tiny core alone."""
    case, model = Case("ecpix5", (4, 4), "head", 4), _model(4, 4, 4, 2)
    image = compile_model(model, _design(case, model), head=True)
    with temporary_folder("learning") as folder:
        files = emit_verilog(image.design, folder / "verilog", image)
        cells = synthesise_ecp5(files, timeout=TIMEOUT).to_dict()["cells"]
    return {"case": "smallest", **_about(case), "lut": cells["LUT4"]}


def _table(rows: Rows) -> Table:
    table = Table(title="An array that trains, on boards")
    names = ("board", "M", "N", "learns", "lut", "ff", "ram", "dsp", "fmax_mhz", "clock_mhz")
    for name in ("case", *names[4:]):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row["case"], *(str(row.get(name, "")) for name in names[4:]))
    return table


if __name__ == "__main__":
    typer.run(main)
