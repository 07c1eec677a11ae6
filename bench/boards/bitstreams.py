"""Bitstreams with open tools: cells, clock and speed of arrays on boards.

``python -m bench.boards.bitstreams [--case NAME ...] [--json FILE]`` builds bitstreams from random
models of the shapes named below, and counts cells for families whose vendor tools are absent. Place
and route of the largest takes the better part of an hour on an idle core; without ``--case`` all
are built. ``--add`` keeps the rows of other cases that the file has. Those of one array with more
and fewer registers (``depths.json``) are no designs that boards have: nothing is learned from them.
"""

from __future__ import annotations

import json as json_text
import resource
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from boards.board import board
from boards.build.bitstream import BitstreamError, build_bitstream
from boards.resources import estimate
from boards.tools.stand_in import FAMILIES, stand_in_counts
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.timing.cycle_model import CycleModel
from csb_format import Model, load_model
from csb_format.random_models import random_model, random_network
from hdl.verilog import emit_verilog
from sparseflow.pages.summary import speeds

from ..record import Rows, Smallest, processor, with_others, write_record

SEED = 0
EXAMPLES = Path(__file__).parents[2] / "examples"
LONG = ("paths", "blocks")  # of a summary: not kept in a row


@dataclass(frozen=True)
class Case:
    """A board, an array, and the layer on it.

    Parameters
    ----------
    board : str
    pes, lanes : int
        M and N.
    inputs, hidden, banks : int
        Of the layer.
    kept : (int, int)
        Weights of a bank, of both matrices.
    bits, act_bits : int
    layers : int
        The later ones take the outputs of the one before.
    megahertz : int, optional
        Asked for instead of the board's clock; kept where it is missed.
    options : dict
        Of the design, beside those of the board's.
    """

    board: str
    pes: int
    lanes: int
    inputs: int
    hidden: int
    banks: int
    kept: tuple[int, int]
    bits: int = 16
    act_bits: int = 16
    layers: int = 1
    megahertz: int | None = None
    options: dict[str, bool] = field(default_factory=dict)

    def design(self, model: Model) -> Design:
        """The array for a model of this layer, as all designs of the board are."""
        options = board(self.board).options | self.options
        return design_for(model, self.pes, self.lanes, **options)

    def model(self) -> Model:
        """Random weights."""
        rng = np.random.default_rng(SEED)
        k_ih, k_hh = self.kept
        if self.layers > 1:
            return random_network(
                rng,
                self.inputs,
                self.hidden,
                self.banks,
                (k_ih, k_hh, 0),
                self.layers,
                value_bits=self.bits,
                act_bits=self.act_bits,
            )
        return random_model(
            rng,
            self.inputs,
            self.hidden,
            banks=self.banks,
            k_ih=k_ih,
            k_hh=k_hh,
            value_bits=self.bits,
            act_bits=self.act_bits,
        )

    @property
    def title(self) -> str:
        """Board, array and shape."""
        shape = f"{self.inputs}-{self.hidden} {self.bits}/{self.act_bits} bits"
        return f"{self.board} {self.pes}x{self.lanes} {shape}"

    def about(self) -> dict[str, Any]:
        """What a row says of it."""
        sizes = [self.inputs] + [self.hidden] * self.layers
        layer = {"layer": " -> ".join(map(str, sizes)), "banks": self.banks}
        return {"value_bits": self.bits, "act_bits": self.act_bits} | layer


@dataclass(frozen=True)
class Shipped:
    """A board, an array, and a network of ``examples``, at a clock as of any other case."""

    board: str
    pes: int
    lanes: int
    file: str
    megahertz: int | None = None

    def design(self, model: Model) -> Design:
        """As of any other case."""
        return design_for(model, self.pes, self.lanes, **board(self.board).options)

    def model(self) -> Model:
        """Its trained weights."""
        return load_model(EXAMPLES / self.file)

    @property
    def title(self) -> str:
        """Board, array and network."""
        return f"{self.board} {self.pes}x{self.lanes} {Path(self.file).parent}"

    def about(self) -> dict[str, Any]:
        """What a row says of it."""
        first, *others = self.model().shape.layers
        sizes = [first.weight_ih.columns, *(layer.weight_hh.columns for layer in (first, *others))]
        return {
            "model": f"examples/{self.file}",
            "value_bits": first.weight_ih.value_bits,
            "act_bits": first.input.width,
            "layer": " -> ".join(map(str, sizes)),
            "banks": first.weight_ih.banks,
        }


SHAKESPEARE = "shakespeare/model.safetensors"
DEPTHS = {"deep": {}, "flat": {"deep": False}, "shallow": {"deep": False, "shallow": True}}
CASES: dict[str, Case | Shipped] = {
    "ulx3s": Case("ulx3s", 8, 16, 16, 128, 16, (1, 1), 8, 8, megahertz=125),
    "ulx3s_16x8": Case("ulx3s", 16, 8, 16, 128, 8, (1, 2), megahertz=90),
    "ecpix5": Case("ecpix5", 4, 2, 12, 32, 8, (1, 1)),
    "icebreaker": Case("icebreaker", 4, 2, 12, 128, 8, (1, 2), 8, 12),
    "tang_primer_20k": Case("tang_primer_20k", 4, 4, 12, 128, 8, (1, 2)),
    # a lone loop, which the fewer registers shorten; the clock pays for it
    **{
        f"ecpix5_{depth}": Case("ecpix5", 8, 4, 12, 16, 8, (1, 2), megahertz=125, options=options)
        for depth, options in DEPTHS.items()
    },
    # the shapes of networks of bench.accuracy.run, which are simulated on these arrays
    "timit256": Case("ulx3s", 8, 8, 153, 256, 8, (2, 4)),
    "ptb200": Case("ulx3s", 8, 8, 200, 200, 8, (5, 5), 8, 8, layers=2),  # at 16 bits: 243 RAMs
    # of the 45F it fills four fifths of the block RAM: the static placer freezes
    "shakespeare_ecpix5": Shipped("ecpix5", 4, 2, SHAKESPEARE),
    "shakespeare_ecpix5_85f": Shipped("ecpix5_85f", 4, 2, SHAKESPEARE),
    "shakespeare_ulx3s": Shipped("ulx3s", 4, 2, SHAKESPEARE),
    "shakespeare_ulx3s_45f": Shipped("ulx3s_45f", 4, 2, SHAKESPEARE),
    "shakespeare_ecpix5_4x8": Shipped("ecpix5", 4, 8, SHAKESPEARE),
    "shakespeare_ulx3s_8x8": Shipped("ulx3s", 8, 8, SHAKESPEARE),
    # what the commands of these pages gave, on the arrays that fit proposes first
    "glucose": Shipped("ulx3s_12f", 8, 2, "glucose/model.safetensors"),
    "watch": Shipped("ulx3s_12f", 8, 2, "watch/model.safetensors"),
    "phones": Shipped("ecpix5", 16, 2, "phones/model.safetensors"),
}
SMALLEST: dict[str, Case | Shipped] = {"smallest": Case("ecpix5", 4, 1, 2, 4, 1, (1, 1), 4, 6)}
STAND_IN = Case("", 8, 4, 12, 128, 8, (1, 2))  # the demo's layer
# from the authors' papers; GOPS of theirs are effective, with temporal sparsity
PUBLISHED = [
    {"name": "EdgeDRNN", "device": "Zynq-7007S", "multipliers": 8, "clock_mhz": 125,
     "clock_source": "from memory, not checked", "gops": 20.2, "peak_gops": 2.0},
    {"name": "Eciton", "device": "iCE40UP5K", "power_w": 0.017},
]  # fmt: skip


def main(
    cases: Annotated[
        list[str] | None, typer.Option("--case", help="Only these; all by default.")
    ] = None,
    work: Annotated[Path, typer.Option(help="Folder for the bitstreams.")] = Path("build/boards"),
    seed: Annotated[int, typer.Option(help="Of place and route.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="From it on; the fastest is kept.")] = 1,
    stand_ins: Annotated[bool, typer.Option(help="Count cells for vendors' families.")] = True,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    add: Annotated[bool, typer.Option("--add", help="Keep what the file has of others.")] = False,
    smallest: Smallest = False,
) -> None:
    """Build, print a table, write JSON."""
    if unknown := [name for name in cases or () if name not in CASES]:
        raise typer.BadParameter(f"{unknown[0]!r}: choose from {', '.join(CASES)}")
    chosen = SMALLEST if smallest else {name: CASES[name] for name in cases or CASES}
    rows = [_build(name, case, work, seed, seeds) for name, case in chosen.items()]
    counts = _stand_ins(work) if stand_ins else []
    if json and add and json.exists():
        rows = [_estimated(row) for row in with_others(json, rows, CASES)]
        counts = counts or json_text.loads(json.read_text("utf-8"))["stand_ins"]
    console = Console(width=140)
    console.print(_table(rows))
    for row in counts:
        console.print(f"stand-in {row['family']}: {row['cells']}", highlight=False)
    if json:
        write_record(
            json, "bench.boards.bitstreams", seed, rows, stand_ins=counts, published=PUBLISHED
        )


def _build(name: str, case: Case | Shipped, work: Path, seed: int, seeds: int) -> dict[str, Any]:
    b, model = board(case.board), case.model()
    if case.megahertz:
        b = replace(b, clock_hz=case.megahertz * 1_000_000)
    design = case.design(model)
    image = compile_model(model, design)
    out, say, begin = work / name, Console(stderr=True).print, time.monotonic()
    spent = _cpu()
    built: dict[str, Any]
    try:
        built = build_bitstream(
            b, design, image, out, seed=seed, seeds=seeds, slower=not case.megahertz,
            timeout=36000, tell=say,
        ).to_dict()  # fmt: skip
    except BitstreamError as error:
        if not (out / "summary.json").exists():
            raise
        say(str(error))  # a clock that is missed is a result too
        built = json_text.loads((out / "summary.json").read_text("utf-8"))
    built = {key: value for key, value in built.items() if key not in LONG}
    built |= {"seconds": round(time.monotonic() - begin), "cpu_seconds": round(_cpu() - spent)}
    reached = speed_of(model, image, min(built["fmax_mhz"], built["clock_mhz"]))
    about: dict[str, Any] = {
        "case": name,
        "command": f"python -m bench.boards.bitstreams --case {name} --seed {seed}"
        + (f" --seeds {seeds}" if seeds > 1 else ""),
        "cpu": processor(),
    }
    about |= case.about()
    return about | built | reached | {"estimated": estimate(design, b).counts(b.has)}


def _estimated(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the estimate of this checkout; those that are kept have an earlier one."""
    case = CASES[row["case"]]
    b = board(case.board)
    return row | {"estimated": estimate(case.design(case.model()), b).counts(b.has)}


def _cpu() -> float:
    """CPU seconds of all tools that have ended: unlike wall time, the same on a busy machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def speed_of(model: Model, image: Image, megahertz: float) -> dict[str, Any]:
    """Cycles of a step, and operations a second at a clock."""
    cycles = int(CycleModel(image).run(6).steps[-1])
    real, dense = speeds(model, cycles, megahertz)
    return {
        "cycles": cycles,
        "step_us": round(cycles / megahertz, 3),
        "gops": round(real, 3),
        "dense_equivalent_gops": round(dense, 3),
    }


def _stand_ins(work: Path) -> Rows:
    model, pes, lanes = STAND_IN.model(), STAND_IN.pes, STAND_IN.lanes
    design = design_for(model, pes, lanes)
    files = emit_verilog(design, work / "stand_in", compile_model(model, design))
    array = {"M": pes, "N": lanes}
    return [{"family": f, "cells": stand_in_counts(files, f)} | array for f in FAMILIES]


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="Bitstreams with open tools")
    names = ["case", "M", "N", "seconds", "lut", "ff", "ram", "dsp", "fmax_mhz", "clock_mhz"]
    names += ["cycles", "step_us", "gops", "dense_equivalent_gops"]
    for name in names:
        table.add_column(name)
    for row in rows:
        table.add_row(*(str(row.get(name, "")) for name in names))  # earlier rows have fewer
    return table


if __name__ == "__main__":
    typer.run(main)
