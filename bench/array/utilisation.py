"""How busy the multipliers are over whole steps of networks, in RTL simulation.

``python -m bench.array.utilisation --json bench/results/utilisation.json [--only ROW]`` builds the
accelerator of every workload, runs its Verilog on Verilator, holds all its outputs against the
integer model and its cycles against the cycle model, and writes a table (``.md``) and a plot
(``.svg``) beside the JSON. Rows that were not asked for stay as the JSON has them. Weights are
random: cycles do not depend on their values. Held-out shapes are always counted anew, by the cycle
model; ``--only shapes`` simulates nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from compiler.abi.frames import Stimulus
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.timing.causes import causes
from compiler.timing.cycle_model import CycleModel
from csb_format import Model
from csb_format.files.replace import replace_file
from csb_format.random_models import random_frames, random_model, random_network
from engine.reference import IntegerModel
from hdl.verilog import VerilogFiles, emit_verilog
from sim.check.compare import compare
from sim.run.free_running import simulate_free_running
from sim.run.scenario import Job
from sparseflow.pages.figures import asked, floor, macs_per_cycle, matrices, weights
from sparseflow.steps.progress import counted

from ..record import Smallest, check_named, with_others, write_record
from .shapes import measured, pairs
from .utilisation_published import PUBLISHED
from .utilisation_report import markdown, plot

SEED = 0
FRAMES = 8


@dataclass(frozen=True)
class Workload:
    """A row of the table.

    Parameters
    ----------
    name : str
    what : str
        For people.
    model : callable
        Makes it from a generator.
    pes, lanes : int
        M, N.
    most : int
        Cycles that the project promised; 0 where the promise is a share.
    least : float
        Share of the multipliers that it promised.
    sparsity : float
        What was asked for; a bank keeps the next whole number of weights.
    budget : {"equal", "gate"}
        Whether it was asked of each matrix, or of all together.
    options : dict
        Of :meth:`compiler.array.design.design_for`.
    """

    name: str
    what: str
    model: Callable[[np.random.Generator], Model]
    pes: int
    lanes: int
    most: int = 0
    least: float = 0.0
    sparsity: float = 0.875
    budget: str = "equal"
    options: dict[str, Any] = field(default_factory=dict)


def _timit(rng: np.random.Generator) -> Model:
    return random_network(rng, 153, 1024, 16, (1, 4, 8), projection=512)


def _ptb_small(rng: np.random.Generator) -> Model:
    return random_network(rng, 128, 256, 16, (1, 1, 1), layers=2)


def _ptb_large(rng: np.random.Generator) -> Model:
    return random_network(rng, 1500, 1500, 16, (19, 19, 1))


def _gru(rng: np.random.Generator) -> Model:
    return random_network(rng, 153, 1024, 16, (1, 8, 1), cell="gru")


def _reset_first(rng: np.random.Generator) -> Model:
    return random_network(rng, 153, 1024, 16, (1, 8, 1), cell="gru0")


#: Of gates i, f, g, o of W_ih and W_hh of both layers: what ``prune --budget gate`` keeps at 80 %
#: in banks of 25 of a network that was trained on PTB with a vocabulary of 2,000 words, seed 0.
PTB_GATES = (((4, 2, 13, 5), (2, 1, 5, 3)), ((7, 3, 11, 9), (3, 2, 6, 4)))


def ptb_gates(rng: np.random.Generator) -> Model:
    made = [random_network(rng, 200, 200, 8, (*k, 1), layers=2) for k in PTB_GATES]
    return Model(tuple(model.layers[n] for n, model in enumerate(made)))


def _gru_gates(rng: np.random.Generator) -> Model:
    return random_network(rng, 64, 256, 8, ((3, 1, 2), (4, 2, 6), 1), cell="gru")


def _demo(rng: np.random.Generator) -> Model:
    return random_model(rng, 12, 128, 8, 1, 2)


def _tiny(rng: np.random.Generator) -> Model:
    return random_network(rng, 4, 8, 2, (1, 1, 1), projection=4)


TIMIT = "TIMIT layer 153 -> 1024, projection 512"
GATES = "PTB 200 -> 200 -> 200, k per gate"
BY_GATE: dict[str, Any] = {"sparsity": 0.8, "budget": "gate"}
WORKLOADS = (
    Workload("demo-16x8", "demo 12 -> 128", _demo, 16, 8, least=0.75),
    Workload(
        "ptb-small-32x16", "PTB 128 -> 256 -> 256, 14x", _ptb_small, 32, 16, 138, sparsity=13 / 14
    ),
    Workload("timit-16x16", TIMIT, _timit, 16, 16, most=1552),
    Workload("timit-64x16", TIMIT, _timit, 64, 16, most=400),
    Workload(
        "ptb-1500-64x16", "PTB 1500 -> 1500, 80 %", _ptb_large, 64, 16, least=0.97, sparsity=0.8
    ),
    Workload("gru-64x16", "GRU layer 153 -> 1024", _gru, 64, 16, least=0.95),
    Workload("gru0-64x16", "GRU, reset first, 153 -> 1024", _reset_first, 64, 16, least=0.95),
    # few products for the latencies: four places of a bank written at once, one register less
    Workload(
        "timit-256x16", TIMIT, _timit, 256, 16, most=113, options={"projectors": 64, "fan_in": 16}
    ),
    # at most 1.03 of the ideal, and the ideal where M divides the units
    Workload("ptb-gates-8x8", GATES, ptb_gates, 8, 8, most=2000, **BY_GATE),
    Workload("ptb-gates-16x8", GATES, ptb_gates, 16, 8, most=1030, **BY_GATE),
    Workload("ptb-gates-32x8", GATES, ptb_gates, 32, 8, most=515, **BY_GATE),
    # 200 units on 64 PEs are padded to 208, and a quarter of the last rows waits for the fullest
    Workload("ptb-gates-64x8", GATES, ptb_gates, 64, 8, least=0.9, **BY_GATE),
    Workload(
        "gru-gates-16x8",
        "GRU 64 -> 256, k per gate",
        _gru_gates,
        16,
        8,
        most=288,
        sparsity=0.85,
        budget="gate",
    ),
)
SMALLEST = Workload("smallest-4x2", "smallest 4 -> 8, projection 4", _tiny, 4, 2)


def main(
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Rows by name; may repeat.")] = None,
    work: Annotated[Path, typer.Option(help="Folder for the simulator.")] = Path("build/bench"),
    smallest: Smallest = False,
) -> None:
    """Measure, print a table, write JSON, Markdown and a plot."""
    names = [workload.name for workload in WORKLOADS]
    check_named(only, [*names, "shapes"], "row")
    chosen = [w for w in WORKLOADS if not only or w.name in only]
    rows = [_measure(w, work) for w in ([SMALLEST] if smallest else chosen)]
    Console(width=140).print(_table(rows))
    if json:
        rows = rows if smallest else with_others(json, rows, names, "workload")
        shapes, published = list(measured()), [asdict(p) for p in PUBLISHED]
        more = {"published": published, "shapes": shapes, "pairs": {} if smallest else pairs()}
        write_record(json, "bench.array.utilisation", SEED, rows, **more)
        replace_file(json.with_suffix(".md"), markdown(rows, shapes).encode())
        plot(rows, json.with_suffix(".svg"))
    missed = [row["workload"] for row in rows if not row["reached"]]
    if missed:
        raise SystemExit(f"error: {', '.join(missed)} missed what was promised")


def _measure(workload: Workload, work: Path) -> dict[str, Any]:
    """One row; ends the program at a mismatch."""
    rng = np.random.default_rng(SEED)
    model = workload.model(rng)
    design = design_for(model, workload.pes, workload.lanes, **workload.options)
    image = compile_model(model, design)
    files = emit_verilog(design, work / workload.name, image)
    stimulus = Stimulus.of(image, random_frames(rng, model, [FRAMES]))
    job = Job.of(image, stimulus)
    with counted(workload.name, FRAMES, image.parts[0].beats_out) as tell:
        run = simulate_free_running(files, job, work, progress=tell)
    levels = IntegerModel(model).run_levels([stimulus.frames[:, 0]])
    comparison = compare(stimulus, run.outcome, levels)
    if comparison.first:
        raise SystemExit(f"error: {workload.name}: {comparison.first}")
    left = run.outcome.frame_cycles(image)
    expected = CycleModel(image).run(FRAMES)
    if not np.array_equal(left, expected.frame_done):
        raise SystemExit(f"error: {workload.name}: frames left in {left}, not as modelled")
    _check_lone(workload, image, Stimulus.of(image, random_frames(rng, model, [1])), files, work)
    cycles = int(np.diff(left)[2:].max())
    return _row(workload, image, cycles) | {
        "model_cycles": int(expected.steps[2:].max()),
        "mismatches": comparison.mismatches,
        "values_compared": comparison.values,
        "build_seconds": run.build_seconds,
        "simulated_cycles_per_second": run.cycles_per_second,
    }


def _check_lone(
    workload: Workload, image: Image, frame: Stimulus, files: VerilogFiles, work: Path
) -> None:
    """Ends the program unless a single frame takes the cycles of the model."""
    left = simulate_free_running(files, Job.of(image, frame), work).outcome.frame_cycles(image)
    expected = CycleModel(image).run(1).frame_done
    if not np.array_equal(left, expected):
        raise SystemExit(
            f"error: {workload.name}: a lone frame left in {left}, not in {expected} as modelled"
        )


def _row(workload: Workload, image: Image, cycles: int) -> dict[str, Any]:
    """What follows from the shape and the measured cycles of a step."""
    design, model = image.design, image.model
    nonzeros, rate = weights(model)["nonzeros"], macs_per_cycle(model, design, cycles)
    stored = sum(matrix.geometry.packed_bits for matrix in matrices(model).values())
    used = nonzeros / (cycles * design.multipliers)
    found, share = causes(image), asked(model, workload.sparsity, workload.budget)
    return {
        "workload": workload.name,
        "what": workload.what,
        "M": design.pes,
        "N": design.lanes,
        "E": design.units,
        "by_gate": design.by_gate,
        "Q": design.projectors,
        "multipliers": design.multipliers,
        "elementwise_multipliers": design.elementwise_multipliers,
        "nonzeros": nonzeros,
        "floor": math.ceil(floor(model, design)),
        "rtl_cycles": cycles,
        "utilisation": used,
        "sparsity_requested": workload.sparsity,
        "weights_asked": share,
        "utilisation_asked": used * share,
        "lone_step_latency": found.lone_step,
        "cycles_by_cause": found.by_cause,
        "macs_a_cycle": rate["real"],
        "dense_equivalent_operations_a_cycle": 2 * rate["dense_equivalent"],
        "bits_a_weight": stored / nonzeros,
        "weight_bytes": -(-stored // 8),
        "promised": {"cycles": workload.most} if workload.most else {"share": workload.least},
        "reached": cycles <= workload.most if workload.most else used >= workload.least,
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="Whole steps, steady state, batch 1, Verilog on Verilator")
    names = ("workload", "M x N", "floor", "model", "Verilog", "used", "asked", "lone")
    for name in (*names, "mismatches"):
        table.add_column(name, justify="left" if name == "workload" else "right")
    for row in rows:
        table.add_row(
            row["workload"],
            f"{row['M']} x {row['N']}",
            *(f"{row[key]:,}" for key in ("floor", "model_cycles", "rtl_cycles")),
            *(f"{row[key]:.1%}" for key in ("utilisation", "utilisation_asked")),
            *(f"{row[key]:,}" for key in ("lone_step_latency", "mismatches")),
        )
    return table


if __name__ == "__main__":
    typer.run(main)
