"""Trainings in Verilog beside the contract: every weight, master, bias and exponent compared.

``python -m bench.learning.verilog [--case NAME ...] [--json FILE]`` trains networks on arrays whose
Verilog runs as a program (:mod:`sim.bus.compiled`), through the driver, all matrices learning. In
the cases with pauses each channel of the buses rests in a quarter of the cycles, by a generator of
its own. The reference is :mod:`engine.learn` in numpy with the same generator of dice. What each
update tells is compared at once, all state every ``LOOK`` updates, which costs many reads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from boards.host.driver import Accelerator
from boards.learn.compiled import CompiledBus
from boards.learn.learner import ArrayLearner
from compiler.array.design import Design
from compiler.learn.design import training_design
from csb_format import IntArray, Model
from csb_format.random_models import random_frames, random_network
from engine.learn.head import Asked
from engine.learn.learner import Learner, Settings
from sim.bus.compiled import CompiledBuses
from sim.run.streams import Pauses

from ..record import Rows, Smallest, check_named, with_others, write_record

__all__ = ["main"]

SEED = 7
UPDATES, LOOK = 100, 25
SHARE = 0.25  # of the cycles in which a channel pauses
PATIENCE = 3600.0
LENGTHS = ((3, 1, 2, 1), (1,), (2, 2), (1, 2, 1))  # frames of the sequences of a batch


@dataclass(frozen=True)
class Network:
    """Inputs, units, classes and bits of what is trained; 8 banks."""

    sizes: tuple[int, int, int] = (8, 8, 5)
    gradient_bits: int = 8
    pool: str = "last"
    more: dict[str, Any] = field(default_factory=dict)

    def model(self) -> Model:
        """With random weights."""
        inputs, units, classes = self.sizes
        bits = {"value_bits": 8, "act_bits": 8} | self.more
        found = random_network(
            np.random.default_rng(SEED), inputs, units, 8, (1, 1, 1), head=classes, **bits
        )
        return replace(found, pool=self.pool)


@dataclass(frozen=True)
class Case:
    """A network on an array, and how often its buses pause."""

    network: Network
    array: tuple[int, int]
    share: float

    @property
    def design(self) -> Design:
        """With a tape for the longest batch."""
        frames = max(map(_tape(self.array[1]), LENGTHS))
        bits = self.network.gradient_bits
        answers = max(sum(lengths) for lengths in LENGTHS)
        return training_design(self.network.model(), *self.array, answers, frames, bits)


NETWORKS = {
    "8 bits": Network((16, 16, 5)),
    "2 layers, projections, every step answered": Network(
        (8, 8, 9), pool="every", more={"layers": 2, "projection": 8}
    ),
    "16 bits": Network((8, 16, 3), 16, more={"value_bits": 16, "act_bits": 16}),
    "2 layers of a GRU": Network((8, 8, 5), more={"layers": 2, "cell": "gru"}),
    "2 layers in both directions": Network(
        (8, 8, 5), pool="hn", more={"layers": 2, "directions": 2}
    ),
    "a GRU in both directions, the mean": Network(
        (8, 8, 5), pool="mean", more={"directions": 2, "cell": "gru"}
    ),
}
ARRAYS = ((4, 4), (8, 4), (16, 4), (4, 8))
SHARES = {"pauses": SHARE, "no pauses": 0.0}
CASES = {
    f"{name}, {array[0]} x {array[1]}, {pauses}": Case(NETWORKS[name], array, SHARES[pauses])
    for pauses, name, array in product(SHARES, NETWORKS, ARRAYS)
}
SMALLEST = {"smallest": Case(Network((8, 8, 2)), (4, 4), SHARE)}


def main(
    case: Annotated[list[str] | None, typer.Option(help="By name; may repeat.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows here, after each case.")] = None,
    smallest: Smallest = False,
) -> None:
    """Train, compare, print a table, write JSON."""
    check_named(case, CASES)
    cases = SMALLEST if smallest else {name: CASES[name] for name in case or CASES}
    rows: Rows = []
    for row in _rows(cases, 2 if smallest else UPDATES):
        rows.append(row)
        if json:
            kept = rows if smallest else with_others(json, rows, CASES)
            write_record(json, "bench.learning.verilog", SEED, kept)
    Console(width=140).print(_table(rows))
    if any(row["mismatches"] for row in rows):
        raise typer.Exit(1)


def _rows(cases: dict[str, Case], updates: int) -> Iterator[dict[str, Any]]:
    for name, one in cases.items():
        begun = time.monotonic()
        found = _trained(one, updates)
        seconds = round(time.monotonic() - begun, 1)
        yield {"case": name, **found, "seconds": seconds}


def _trained(case: Case, updates: int) -> dict[str, Any]:
    """A training on the array and one beside it; the figures."""
    model, design = case.network.model(), case.design
    settings = Settings(
        "all", rate=0.5, generator="crossed", seed=SEED, gradient_bits=case.network.gradient_bits
    )
    reference, start = Learner(model, settings), Learner(model, settings).masters.values
    buses = CompiledBuses(design, pauses=Pauses(case.share, SEED))
    compared = mismatches = 0
    with Accelerator(CompiledBus(buses), design) as accelerator:
        accelerator.timeout = PATIENCE
        learner = ArrayLearner(model, settings, accelerator)
        for update in range(1, updates + 1):
            batch = _batch(model, update)
            mismatches += learner.step(*batch) != reference.step(*batch)
            if update % LOOK == 0 or update == updates:
                seen, wrong = _compared(learner.state(), reference.state())
                compared, mismatches = compared + seen, mismatches + wrong
        cycles = buses.cycles()
    moved = _compared(start, reference.masters.values)[1]
    return {
        "M": design.pes,
        "N": design.lanes,
        "pauses": case.share,
        "gradient_bits": settings.gradient_bits,
        "updates": updates,
        "compared": compared,
        "mismatches": mismatches,
        "moved": moved,
        "cycles": cycles,
    }


def _compared(found: dict[str, IntArray], wanted: dict[str, IntArray]) -> tuple[int, int]:
    """Numbers of a state, and how many are others."""
    if set(found) != set(wanted):
        raise ValueError(f"states of other parts: {sorted(set(found) ^ set(wanted))}")
    wrong = sum(int((found[name] != values).sum()) for name, values in wanted.items())
    return sum(values.size for values in wanted.values()), wrong


def _batch(model: Model, update: int) -> tuple[list[IntArray], Asked]:
    """Random frames and labels; others in every update."""
    rng, lengths = np.random.default_rng([SEED, update]), LENGTHS[update % len(LENGTHS)]
    assert model.head is not None
    classes, every = model.head.output_size, model.pool == "every"
    labels = tuple(rng.integers(0, classes, n if every else 1) for n in lengths)
    return random_frames(rng, model, list(lengths)), Asked(labels)


def _tape(lanes: int) -> Any:
    return lambda lengths: max(lengths) * -(-len(lengths) // lanes) * lanes


def _table(rows: Rows) -> Table:
    table = Table(title="Verilog beside the contract")
    names = ("case", "updates", "compared", "mismatches", "moved", "cycles", "seconds")
    for name in names:
        table.add_column(name, justify="left" if name == "case" else "right")
    for row in rows:
        table.add_row(*(str(row[name]) for name in names))
    return table


if __name__ == "__main__":
    typer.run(main)
