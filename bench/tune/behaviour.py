"""What a study finds: ``python -m bench.tune.behaviour [--json FILE]``.

Steps of exact cycles of two networks on an array, and of the time on this processor of banks of
many widths, with as many weights in each. What people once found by accident is in rows of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from boards.board import board
from compiler.array.steps import VERSION
from compiler.timing.shared import SharedCycles
from csb_format.random_models import demo_sized
from sparseflow.tune.cpu import cpu_sweep
from sparseflow.tune.network import Network
from sparseflow.tune.study import KNOBS, Array, study, sweep

from ..record import Rows, Smallest, write_record

__all__ = ["main"]

SEED = 0
PES = (16, 20, 24, 32, 40, 56, 60, 64)  # of 120 units: an odd M / 4 took three times as long
WIDTHS = ((64, 65), (128, 129))  # where times jumped by 1.4 and 3.4
LARGEST = 3


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each width.")] = 15,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Sweep, print a table, write JSON."""
    knobs = ("layers",) if smallest else KNOBS
    rows = [*_array_rows(knobs), *_lanes_rows()]
    rows += list(_cpu_rows(1 if smallest else rounds, smallest))
    Console(width=120).print(_table(rows))
    if json:
        write_record(json, "bench.tune.behaviour", SEED, rows, rules=VERSION)


def _array_rows(knobs: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    array = Array(16, 8, board("ulx3s"))
    for one in study(Network.of(demo_sized()), array, knobs):
        for step in sorted(one.steps, key=lambda step: -abs(step.jump))[:LARGEST]:
            yield {
                "target": "ulx3s 16 x 8, 12 -> 128",
                "knob": one.knob,
                "from": step.before.value,
                "to": step.after.value,
                "before": step.before.cycles,
                "after": step.after.cycles,
                "unit": "cycles",
                "causes": list(step.causes),
                "steps": len(one.steps),
                "points": len(one.points),
            }


def _lanes_rows() -> Iterator[dict[str, Any]]:
    """M of 120 units, k of 2 in 8 banks."""
    network = Network(120, 120, 8, 2, 2)
    found = sweep(network, Array(16, 8, board("ulx3s")), "pes", PES, SharedCycles())
    for point in found.points:
        yield {"target": "array, 120 -> 120, N 8", "knob": "pes", "at": point.value,
               "cycles": point.cycles, "units": point.design.units}  # fmt: skip


def _cpu_rows(rounds: int, smallest: bool) -> Iterator[dict[str, Any]]:
    for bits in (8,) if smallest else (8, 16):
        inputs, hidden = (64, 8) if smallest else (512, 512)
        network = Network(inputs, hidden, 8, 2, 8, value_bits=bits, act_bits=bits)
        one = cpu_sweep(network, "bank_width", rounds, SEED)
        by = {point.value: point.microseconds for point in one.points}
        for before, after in WIDTHS:
            yield {
                "target": f"cpu, int{bits}, 8 banks -> {hidden}",
                "knob": "bank_width",
                "from": before,
                "to": after,
                "before": round(by[before], 2),
                "after": round(by[after], 2),
                "unit": "us",
                "ratio": round(by[after] / by[before], 3),
                "all": {str(width): round(us, 2) for width, us in by.items()},
            }


def _table(rows: Rows) -> Table:
    table = Table(title="Steps")
    for head in ("target", "knob", "from", "to", "before", "after", "because of"):
        table.add_column(head)
    for row in rows:
        ends = ("from", "to", "before", "after") if "to" in row else ("at", "", "cycles", "")
        told = [str(row.get(name, "")) for name in ends]
        table.add_row(row["target"], row["knob"], *told, "; ".join(row.get("causes", [])))
    return table


if __name__ == "__main__":
    typer.run(main)
