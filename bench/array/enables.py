"""What clock enables in front of idle lanes would save: changes of signals with and without them.

``python -m bench.array.enables --json bench/results/enables.json`` runs frames of a random layer on
Verilator twice, once with every element-wise lane standing still from the cycle in which its last
unit has left it. States and cycles must be those of the model both times; the changes of all bits
are counted block by block (SAIF). The enables themselves count as well. What energy a change takes
only a power tool knows, and the clock's own net is not in these numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from amaranth.hdl import Cat, Const, EnableInserter, Module, Signal, Value
from amaranth.lib import wiring
from rich.console import Console
from rich.table import Table

from compiler.abi.frames import Stimulus
from compiler.array.design import Design
from compiler.array.latency import Latencies
from compiler.array.needs import design_for
from compiler.array.program import Sink
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format.files.folders import temporary_folder
from csb_format.random_models import random_frames, random_network
from engine.levels import run_levels
from engine.reference import IntegerModel
from hdl.core.array.takers import LANE_MODULE
from hdl.core.core import Core
from hdl.core.hierarchy import Hierarchy
from hdl.verilog import emit_verilog
from sim.check.activity import Activity, read_saif
from sim.check.compare import compare
from sim.run.free_running import record_activity
from sim.run.scenario import Job
from sim.run.streams import Pauses

from ..record import Rows, Smallest, write_record

SEED = 0
SETTLED = 4  # cycles that a lane goes on after its last unit has left
ARRAYS = ((8, 4),)
WAITS = (0.0, 0.9)  # how often the source of frames pauses


class Enabled(wiring.Component):  # type: ignore[misc]  # Amaranth is untyped
    """A lane that stands still unless a unit is in it or it is loaded; without ``stops`` never."""

    def __init__(self, lane: wiring.Component, design: Design, *, stops: bool):
        self._lane, self._stops = lane, stops
        self._cycles = Latencies(design).lane(Sink.UNITS) + SETTLED
        super().__init__(lane.signature)

    def elaborate(self, platform: object) -> Module:
        """The lane, its ports, and what enables it."""
        m = Module()
        wanted, past = Signal(), Signal(self._cycles)
        moves = wanted | past.any() if self._stops else Const(1)
        m.submodules.lane = EnableInserter(moves)(self._lane)
        if self._stops:
            m.d.comb += wanted.eq(self.unit.valid | self.load.en)
            m.d.sync += past.eq(Cat(wanted, past))
        for path, member, value in self._lane.signature.flatten(self._lane):
            mine: Any = self
            for name in path:
                mine = getattr(mine, name) if isinstance(name, str) else mine[name]
            here, there = Value.cast(mine), Value.cast(value)
            m.d.comb += here.eq(there) if member.flow == wiring.Out else there.eq(here)
        return m


@dataclass
class Enabling(Hierarchy):
    """Places lanes with enables, which stop them or never do: else they are alike."""

    design: Design | None = None
    stops: bool = True

    def place(
        self, module: str, block: Callable[[], wiring.Component], clear: Value | None = None
    ) -> wiring.Component:
        """A block, or a lane with what enables it."""
        if module != LANE_MODULE or self.design is None:
            return super().place(module, block, clear)
        design = self.design
        return super().place(module, lambda: Enabled(block(), design, stops=self.stops), clear)


def _core(stops: bool) -> Callable[[Design, Image | None, Hierarchy], Core]:
    """Makes a core whose lanes have enables."""

    def top(design: Design, image: Image | None, given: Hierarchy) -> Core:
        fields = (given.instances, given.images, given.modules, given.prefix)
        return Core(design, image, Enabling(*fields, design=design, stops=stops))

    return top


def main(
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Run, print a table, write JSON."""
    rows = list[dict[str, Any]]()
    for pes, lanes in [(4, 1)] if smallest else ARRAYS:
        for wait in WAITS[:1] if smallest else WAITS:
            plain, less = (_changes(pes, lanes, wait, stops) for stops in (False, True))
            saved = (plain["changes"] - less["changes"]) / plain["changes"]
            given = {"M": pes, "N": lanes, "units": 32, "pauses": wait}
            rows.append(given | {"plain": plain, "enabled": less, "saved": saved})
    Console(width=100).print(_table(rows))
    if json:
        write_record(json, "bench.array.enables", SEED, rows)


def _changes(pes: int, lanes: int, wait: float, stops: bool) -> dict[str, Any]:
    """Of all bits of a run, which must be exact."""
    rng = np.random.default_rng(SEED)
    model = random_network(rng, 12, 32, 4, (1, 2, 1))
    image = compile_model(model, design_for(model, pes, lanes))
    frames = random_frames(rng, model, [8, 8])
    stimulus = Stimulus.of(image, frames)
    job = Job.of(image, stimulus, load=False, idle=Pauses(wait, SEED))
    with temporary_folder("enables") as folder:
        files = emit_verilog(image.design, folder / "v", image, top=_core(stops))
        outcome = record_activity(files, job, folder / "work", folder / "run.saif").outcome
        found = compare(stimulus, outcome, run_levels(IntegerModel(model), frames))
        if found.mismatches:
            raise SystemExit(f"error: {found.mismatches} states differ: {found.first}")
        with (folder / "run.saif").open(encoding="utf-8") as lines:
            activity = read_saif(lines)
    return {"cycles": activity.cycles, "changes": activity.changes} | _by_kind(activity)


def _by_kind(activity: Activity) -> dict[str, int]:
    """Changes in lanes, in PEs, and in all else."""
    found = Counter[str](lanes=0, pes=0, others=0)
    for block in activity.blocks:
        names = block.path.split("/")
        lane = any(name.startswith("lane") for name in names)
        pe = any(name.startswith("pe") and name[2:3].isdigit() for name in names)
        found["lanes" if lane else "pes" if pe else "others"] += block.changes
    return dict(found)


def _table(rows: Rows) -> Table:
    table = Table(title="Changes of bits, and what enables of lanes save")
    for name in ("array", "pauses", "cycles", "changes", "in lanes", "with enables", "saved"):
        table.add_column(name, justify="right")
    for row in rows:
        plain, less = row["plain"], row["enabled"]
        numbers = (plain["cycles"], plain["changes"], plain["lanes"], less["changes"])
        cells = [f"{row['M']} x {row['N']}", f"{row['pauses']:.0%}", *map("{:,}".format, numbers)]
        table.add_row(*cells, f"{row['saved']:.2%}")
    return table


if __name__ == "__main__":
    typer.run(main)
