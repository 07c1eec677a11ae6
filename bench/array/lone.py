"""Where the cycles of a lone step go that no product takes.

``python -m bench.array.lone --json bench/results/lone.json`` simulates the hardware of arrays of a
quarter of the PEs and of the lanes, on a layer of a quarter of the widths: passes, waits and tail
are those of the whole arrays, cycle for cycle. Every value is held against the integer model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from compiler.abi.frames import Stimulus
from compiler.array.design import Design
from compiler.array.latency import Latencies, projector_exact
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.plan import Plan
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import CycleModel
from csb_format.random_models import random_frames, random_network
from csb_format.shape import uniform_shape
from engine.reference import IntegerModel
from sim.check.compare import compare
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job

from ..record import Smallest, write_record

__all__ = ["ARRAYS", "Lone", "beyond", "lone_table", "main"]

SEED = 0
LANES, KEPT = 16, (1, 4, 8)  # N, banks; k of the three matrices
INPUTS, UNITS, PROJECTION = 153, 1024, 512  # TIMIT's layer


@dataclass(frozen=True)
class Lone:
    """An array of 16 lanes for TIMIT's layer.

    Parameters
    ----------
    name : str
    pes : int
        M.
    options : dict
        Of :func:`compiler.array.design.design_for`.
    """

    name: str
    pes: int
    options: dict[str, Any] = field(default_factory=dict)

    def plan(self) -> Plan:
        """What it runs."""
        shape = uniform_shape(INPUTS, UNITS, (LANES,) * 3, KEPT, projection=PROJECTION)
        return schedule(shape, design_for(shape, self.pes, LANES, **self.options))

    def quarter(self, part: int = 4) -> dict[str, Any]:
        """The lone step of an array of such a part, simulated."""
        rng, lanes = np.random.default_rng(SEED), LANES // part
        sizes = -(-INPUTS // part), UNITS // part, lanes
        model = random_network(rng, *sizes, KEPT, projection=PROJECTION // part)
        narrow = {"units", "projectors"} & set(self.options)
        options = self.options | {name: self.options[name] // part for name in narrow}
        # as many levels of the tree
        options["fan_in"] = math.isqrt(self.options.get("fan_in", Design.fan_in))
        image = compile_model(model, design_for(model, self.pes // part, lanes, **options))
        stimulus = Stimulus.of(image, random_frames(rng, model, [1]))
        outcome = simulate_amaranth(image, Job.of(image, stimulus))
        found = compare(stimulus, outcome, IntegerModel(model).run_levels([stimulus.frames[:, 0]]))
        run, design = CycleModel(image).run(1), image.design
        return {
            "array": self.name,
            "M": design.pes,
            "N": lanes,
            "E": design.units,
            "Q": design.projectors,
            "simulated": int(outcome.frame_cycles(image)[0] - run.frame_in[0]),
            "model": int(run.frame_done[0] - run.frame_in[0]),
            "mismatches": found.mismatches,
            "values_compared": found.values,
        }


ARRAYS = (
    Lone("64 x 16", 64),
    Lone("256 x 16", 256, {"projectors": 64, "fan_in": 16}),
    Lone("64 x 16, shallow", 64, {"shallow": True, "fan_in": 16, "projectors": 32}),
    Lone("256 x 16, shallow", 256, {"shallow": True, "fan_in": 16, "projectors": 64, "units": 32}),
)


def main(
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Simulate, print a table, write JSON; ends with an error where hardware is not as modelled."""
    rows = [ARRAYS[2].quarter(8)] if smallest else [array.quarter() for array in ARRAYS]
    for row in rows:
        print(", ".join(f"{name} {value}" for name, value in row.items()))
    if json:
        write_record(json, "bench.array.lone", SEED, rows)
    wrong = [r["array"] for r in rows if r["mismatches"] or r["simulated"] != r["model"]]
    if wrong:
        raise SystemExit(f"error: {', '.join(wrong)}: the hardware is not as modelled")


def beyond(plan: Plan) -> dict[str, int]:
    """Cycles of a lone step of a layer with a projection by stage; they sum to the step exactly.

    Parameters
    ----------
    plan : Plan
        Of one program, whose results leave from projectors.

    Returns
    -------
    dict of str to int
        ``products`` first.
    """
    run, latencies = CycleModel(plan).run(1), Latencies(plan.design)
    found = {
        "products": sum(issue.end - issue.start + 1 for issue in run.issues),
        "the frame comes in": run.issues[0].idle,
        "waits between passes": sum(issue.idle for issue in run.issues[1:]),
        "the last row, through a PE": latencies.row - 1,  # its own cycle is one of products
        "projector": projector_exact(plan.design),
        "output buffer": latencies.output,
        "further beats of its slot": plan.design.results_per_slot - 1,
    }
    assert sum(found.values()) == int(run.frame_done[0] - run.frame_in[0])
    return found


def lone_table(plans: Sequence[tuple[str, Plan]]) -> str:
    """A column for each plan with its name."""
    columns = [beyond(plan) for _, plan in plans]
    lines = [
        f"| cycles of a lone step | {' | '.join(name for name, _ in plans)} |",
        "|---|" + "---:|" * len(plans),
    ]
    for stage in columns[0]:
        lines.append(f"| {stage} | {' | '.join(str(column[stage]) for column in columns)} |")
    rest = [sum(column.values()) - column["products"] for column in columns]
    lines.append(f"| beyond products | {' | '.join(map(str, rest))} |")
    total = (str(sum(column.values())) for column in columns)
    return "\n".join([*lines, f"| in all | {' | '.join(total)} |"])


if __name__ == "__main__":
    typer.run(main)
