"""What training costs an array: cells beside those of inference, cycles beside those of a frame.

``python -m bench.array.training --json bench/results/training.json`` emits each array twice, with
the linear output layer, and once more where recurrent layers learn too, and counts cells of ECP5 by
Yosys, also of the array that infers with its vector banks in blocks, where the tape puts those of
one that learns: of a small one all, of a large one what is there once a PE, a PE of the array that
infers and updater and columns beside it; of arrays ``module by module`` all, without what synthesis
finds between modules. ``--case`` measures one and keeps the others, ``--cells`` some kinds;
``--cells none`` counts cycles alone. They are of the models that hardware is held to. ``--verilog``
also counts those of a batch in Verilog (:mod:`sim.bus.compiled`) of an array that is emitted whole.
"""

from __future__ import annotations

import json as json_text
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from boards.host.driver import Accelerator
from boards.learn.compiled import CompiledBus
from boards.learn.learner import ArrayLearner
from boards.tools.cells import ModuleCells, lut_sites
from boards.tools.synth import synthesise_ecp5
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.learn.commands import Update
from compiler.learn.design import training_design
from compiler.learn.layout import LearningLayout
from compiler.learn.timing import batch_cycles, update_cycles
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import step_cycles
from csb_format.files.folders import temporary_folder
from csb_format.model import Model
from csb_format.random_models import random_frames, random_network
from engine.learn.head import Asked
from engine.learn.learner import Settings
from hdl.core.core import Core
from hdl.core.learn.array import columns_of
from hdl.core.learn.columns import Columns
from hdl.core.learn.updater import Updater
from hdl.core.pe import ProcessingElement
from hdl.verilog import emit_verilog
from sim.bus.compiled import CompiledBuses

from ..record import Smallest, with_others, write_record

SEED = 0
KINDS = ("plain", "blocks", "train", "back")
CELL_STEPS = 2  # of the tape whose cells are counted: a longer one is more block RAM alone
STEPS = 20  # of sequences, as many as answers
PLACE = 4  # of sums: a rate of 1/4 and 32 answers
TIMEOUT = 7200.0
TOLD = 0.02  # of a core's LUT, from which a module is told


@dataclass(frozen=True)
class Case:
    """An LSTM or GRU with a linear output layer on an array, and answers of a batch.

    ``alike``: the weights of all gates have one format. ``flat``: cells are those of the whole
    core, dissolved; else every module is synthesised once.
    """

    inputs: int
    units: int
    classes: int
    banks: int
    k: tuple[int, int]
    pes: int
    lanes: int
    answers: int = 32
    whole: bool = True
    cell: str = "lstm"
    alike: bool = False
    flat: bool = True


SMALL, LARGE = Case(12, 64, 9, 4, (1, 4), 4, 4), Case(153, 512, 48, 16, (1, 4), 64, 16, whole=False)
CASES = {
    "4 x 4": SMALL,
    "16 x 8, module by module": Case(153, 512, 48, 8, (2, 8), 16, 8, whole=False, flat=False),
    "64 x 16, a PE": LARGE,
    "64 x 16, module by module": replace(LARGE, flat=False),
    "4 x 4, a GRU": replace(SMALL, cell="gru", alike=True),
    "64 x 16, a GRU": replace(LARGE, cell="gru", alike=True),
    "4 x 4, a GRU, a format a gate": replace(SMALL, cell="gru"),
    "64 x 16, a GRU, a format a gate": replace(LARGE, cell="gru"),
}
SMALLEST = {"4 x 4": Case(4, 8, 3, 4, (1, 1), 4, 4, 8, whole=False)}


def main(
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    case: Annotated[str, typer.Option(help="Only this one.")] = "",
    cells: Annotated[
        list[str] | None,
        typer.Option(
            help="Of plain, blocks, train, back; 'none': cycles alone. Others stay as in --json."
        ),
    ] = None,
    verilog: Annotated[bool, typer.Option(help="Count a batch's cycles in Verilog too.")] = False,
    smallest: Smallest = False,
) -> None:
    """Synthesise, print a table, write JSON."""
    cases = SMALLEST if smallest else CASES
    if case and case not in cases:
        raise typer.BadParameter(f"{case}: choose one of {', '.join(cases)}")
    chosen = {name: one for name, one in cases.items() if case in ("", name)}
    kinds = list(KINDS) if cells is None else [kind for kind in cells if kind != "none"]
    if other := sorted(set(kinds) - set(KINDS)):
        raise typer.BadParameter(f"--cells {other[0]}: choose among {', '.join(KINDS)}, none")
    known = {} if len(kinds) == len(KINDS) else _known(json)
    rows = [_row(name, one, kinds, known.get(name, {})) for name, one in chosen.items()]
    for row in rows if verilog else ():
        if row["whole"]:
            row["batch_measured_cycles"] = _measured(chosen[row["case"]])
    Console(width=140).print(_table(rows))
    if json:
        write_record(json, "bench.array.training", SEED, with_others(json, rows, cases))


def _known(path: Path | None) -> dict[str, dict[str, Any]]:
    """Figures of cells that a file has, by case."""
    if path is None or not path.exists():
        raise typer.BadParameter("--cells: give --json with a file that has the others")
    rows = json_text.loads(path.read_text("utf-8"))["rows"]
    kinds = ("luts", "registers", "multipliers", "block_rams", "parts", "measured_cycles")
    return {r["case"]: {n: v for n, v in r.items() if n.endswith(kinds)} for r in rows}


def _designs(case: Case, model: Model, steps: int) -> dict[str, Design]:
    """Of the array that infers, also with banks in blocks; whose head learns; all of which does."""
    places = steps * -(-case.answers // case.lanes) * case.lanes
    plain = design_for(model, case.pes, case.lanes, head=True)
    return {
        "plain": plain,
        "blocks": replace(plain, block_banks=True, unguarded=True),
        "train": training_design(model, case.pes, case.lanes, case.answers),
        "back": training_design(model, case.pes, case.lanes, case.answers, places),
    }


def _row(name: str, case: Case, kinds: list[str], known: dict[str, Any]) -> dict[str, Any]:
    model = _model(case)
    designs = _designs(case, model, STEPS)
    layout = LearningLayout(schedule(model.shape, designs["train"], head=True), case.answers)
    batch = batch_cycles(schedule(model.shape, designs["back"], head=True), STEPS, case.answers)
    cells = known | _all_cells(case, _designs(case, model, CELL_STEPS), kinds)
    return {
        "case": name,
        "M": case.pes,
        "N": case.lanes,
        "network": f"{case.inputs} -> {case.units} -> {case.classes}",
        "answers": case.answers,
        "whole": case.whole,
        "flat": case.flat,
        **cells,
        "steps": STEPS,
        "batch_frame_cycles": batch.frame,
        "batch_times": batch.times,
        **{f"batch_{name}_cycles": getattr(batch, name) for name in ("forward", "back", "update")},
        "batch_transfer_cycles": batch.port,
        "batch_whole_cycles": batch.whole,
        "batch_hidden_cycles": batch.hidden,
        "batch_loaded_words": batch.loaded,
        "batch_states_words": batch.states,
        "batch_sums_words": batch.sums,
        "batch_left_sums": batch.left,
        "frame_cycles": step_cycles(layout.plan),
        "update_cycles": update_cycles(Update(layout, PLACE, 1 << 14, 0)),
        "weights": case.units * case.classes,
    }


def _all_cells(case: Case, designs: dict[str, Design], kinds: list[str]) -> dict[str, Any]:
    core = case.whole or not case.flat
    top = Core if core else _element
    found = {kind: _cells(designs[kind], top, case.flat) for kind in kinds}
    for kind, blocks in () if core else BESIDE.items():
        if kind not in kinds:
            continue
        for name, block in blocks.items():
            found[name] = _cells(designs[kind], block)
            found[kind] = {n: v + found[name][n] for n, v in found[kind].items()}
    return {f"{kind}_{name}": value for kind, of in found.items() for name, value in of.items()}


def _measured(case: Case) -> int:
    """Clock edges of a batch in Verilog, from its first word to the end of its last update."""
    model, rng = _model(case), np.random.default_rng(SEED)
    design = _designs(case, model, STEPS)["back"]
    buses = CompiledBuses(design)
    with Accelerator(CompiledBus(buses), design) as accelerator:
        accelerator.timeout = TIMEOUT
        learner = ArrayLearner(model, Settings("all", generator="crossed"), accelerator)
        labels = rng.integers(0, case.classes, (case.answers, 1))
        frames = random_frames(rng, model, [STEPS] * case.answers)
        begun = buses.cycles()
        learner.step(frames, Asked(tuple(labels)))
        accelerator.command([])  # and what it waits for
        return buses.cycles() - begun


def _model(case: Case) -> Model:
    k = (*case.k, 1)
    model = random_network(
        np.random.default_rng(SEED), case.inputs, case.units, case.banks, k, head=case.classes,
        value_bits=8, act_bits=8, cell=case.cell,
    )  # fmt: skip
    if not case.alike:
        return model
    (layer,) = model.layers
    ih, hh = (layer.gate_formats(name)[0] for name in ("weight_ih", "weight_hh"))
    return replace(model, layers=(replace(layer, weight_ih_format=ih, weight_hh_format=hh),))


def _element(design: Design, image: object, hierarchy: object) -> ProcessingElement:
    return ProcessingElement(design)


def _columns(design: Design, image: object, hierarchy: object) -> Columns:
    return columns_of(design)


def _updater(design: Design, image: object, hierarchy: object) -> Updater:
    return Updater(design)


# what a PE has beside it
BESIDE: dict[str, dict[str, Any]] = {
    "train": {"updater": _updater},
    "back": {"updater": _updater, "columns": _columns},
}


def _cells(design: Design, top: Any, flat: bool = True) -> dict[str, Any]:
    with temporary_folder("training") as work:
        files = emit_verilog(design, work / "verilog", top=top)
        found = synthesise_ecp5(files, flatten=flat, timeout=TIMEOUT)
    used = found.usage
    cells: dict[str, Any] = {
        "luts": used["LUT4 sites"],
        "registers": used["registers"],
        "multipliers": used["multipliers"],
        "block_rams": used["block RAMs"],
    }
    return cells if flat else cells | {"parts": _parts(found.modules, used["LUT4 sites"])}


def _parts(modules: Iterable[ModuleCells], luts: int) -> dict[str, int]:
    """LUT of the modules that have most of them, all instances together."""
    each = {one.module: lut_sites(one.cells) for one in modules}
    return {name: n for name, n in sorted(each.items()) if n >= TOLD * luts}


def _more(row: dict[str, Any], kind: str) -> str:
    luts = row.get(f"{kind}_luts")
    return f"{luts / row['plain_luts'] - 1:+.1%}" if luts else "not measured"


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("case", "network", "LUT", "head learns", "all", "block RAM", "frame", "times")
    for row in rows:
        table.add_row(
            row["case"],
            row["network"],
            f"{row['plain_luts']:,}" if "plain_luts" in row else "not measured",
            *(_more(row, kind) for kind in ("train", "back")),
            f"{row.get('plain_block_rams', '?')} -> {row.get('back_block_rams', '?')}",
            f"{row['frame_cycles']:,}",
            f"{row['batch_times']:.2f}",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
