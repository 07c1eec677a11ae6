"""Frozen tables of real trainings: ``python -m bench.tune.tables [--json FILE]``.

What each choice lost, and what its arrays take on ULX3S. Networks of JapaneseVowels are from
:mod:`bench.tune.trainings`; those of PTB and TIMIT are rows of ``bench/results/accuracy.json`` (one
seed, patterns that are balanced, the same sparsity of all matrices, scored as float networks: their
arrays are of 8 and of 16 bits).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from json import loads
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from boards.board import board
from compiler.timing.shared import SharedCycles
from csb_format.shape import ModelShape, uniform_shape
from sparseflow.tune.hardware import candidates, front
from sparseflow.tune.patterns import Pattern, features
from sparseflow.tune.search import Choice

from ..accuracy.patterns import equal_goals, view_of
from ..record import Smallest, with_others, write_record
from .trainings import NETWORKS, sizes_of
from .vowels import BITS, SEED

__all__ = ["BOARD", "LIMITS", "TABLES", "Table", "table"]

RESULTS = Path(__file__).resolve().parents[1] / "results"
BOARD = "ulx3s"
LIMITS = {"vowels16": 0.10, "vowels24": 0.10, "ptb200": 0.15, "timit256": 0.03}
"""What a loss may be above the dense network's: of utterances, nats a word, frames."""
TABLES = tuple(LIMITS)
BALANCED = ("1 bank", "8 banks", *(f"banks of {n}" for n in (8, 16, 25, 32, 50, 64, 100)))
_LAYERS = {"ptb200": (200, 200, 2, "banks of 25", 8), "timit256": (153, 256, 1, "8 banks", 16)}
"""Inputs, units, layers, the pattern whose k others follow, bits of the arrays."""


@dataclass(frozen=True)
class Table:
    """All trainings of a network.

    Parameters
    ----------
    name : str
    choices : tuple of Choice
    losses : dict of str to list of float
        By key, of each of its bits.
    brief : dict of str to list of float
        After a brief fine-tuning; empty where there was none.
    knobs : dict of str to dict
        What other searches are told to choose among, by key.
    dense : float
        Loss of the dense network.
    limit : float
        Loss from which on nothing counts.
    """

    name: str
    choices: tuple[Choice, ...]
    losses: dict[str, list[float]]
    brief: dict[str, list[float]]
    knobs: dict[str, dict[str, float]]
    dense: float
    limit: float


def main(
    only: Annotated[list[str] | None, typer.Option(help="These; others stay as they are.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Enumerate the arrays of every choice, and write JSON."""
    rows = []
    for name in ("ptb200",) if smallest else only or TABLES:
        found = [*islice(_rows(name), 1 if smallest else None)]
        Console().print(f"{name}: {len(found)} choices")
        rows += found
    if json:
        kept = with_others(json, rows, TABLES, "network")
        write_record(json, "bench.tune.tables", SEED, kept, board=BOARD)


def _rows(name: str) -> Iterator[dict[str, Any]]:
    shared, there = SharedCycles(), board(BOARD)
    for row in _vowels(name) if name in NETWORKS else _published(name):
        fronts = [
            [(round(c.microseconds, 4), round(c.share, 4))
             for c in front(candidates(shape, there, cycles=shared))]
            for shape in row.pop("shapes")
        ]  # fmt: skip
        yield {"network": name, "fronts": fronts} | row


@lru_cache
def table(name: str) -> Table:
    """A table by its name."""
    record = loads((RESULTS / "trained.json").read_text("utf-8"))
    rows = [row for row in record["rows"] if row["network"] == name and any(row["fronts"])]
    if not rows:
        raise ValueError(f"no table of {name}: choose among {', '.join(TABLES)}")
    return Table(
        name,
        tuple(Choice(r["key"], _nested(r["features"]), _nested(r["fronts"])) for r in rows),
        {row["key"]: row["losses"] for row in rows},
        _brief(name) if name in NETWORKS else {},
        {row["key"]: row["knobs"] for row in rows},
        rows[0]["dense"],
        rows[0]["dense"] + LIMITS[name],
    )


def _nested(values: Any) -> Any:
    """Lists of lists as tuples."""
    return tuple(_nested(one) for one in values) if isinstance(values, list) else values


def _vowels(name: str) -> Iterator[dict[str, Any]]:
    record = loads((RESULTS / "trainings.json").read_text("utf-8"))
    whole, _ = record["epochs"]
    sizes = sizes_of(NETWORKS[name])
    mine = [row for row in record["rows"] if row["network"] == name]
    for row in (row for row in mine if row["epochs"] == whole):
        pattern = _pattern(row)
        densities = [pattern.density(sizes, n) for n, _ in pattern.keeps]
        energy = dict(zip([n for n, _ in pattern.keeps], row["energy"], strict=True))
        knobs = dict(zip(("inputs", "states"), densities, strict=True)) | {"banks": pattern.banks}
        yield {
            "key": pattern.key,
            "shapes": [pattern.shape(sizes, *bits) for bits in BITS],
            "features": [features(pattern, sizes, energy, v) for v, _ in BITS],
            "losses": row["losses"],
            "knobs": knobs,
            "dense": row["dense"],
        }


def _brief(name: str) -> dict[str, list[float]]:
    """Losses after the brief fine-tuning, by key."""
    record = loads((RESULTS / "trainings.json").read_text("utf-8"))
    short = record["epochs"][1]
    rows = (row for row in record["rows"] if row["network"] == name and row["epochs"] == short)
    return {_pattern(row).key: row["losses"] for row in rows}


def _pattern(row: dict[str, Any]) -> Pattern:
    keeps = row["keeps"]
    return Pattern(row["banks"], tuple((n, keeps[n]) for n in ("weight_ih_l0", "weight_hh_l0")))


def _published(name: str) -> Iterator[dict[str, Any]]:
    rows = loads((RESULTS / "accuracy.json").read_text("utf-8"))["rows"]
    mine = [row for row in rows if row["network"] == name and row["seed"] == 0]
    (energies,) = (row["energy"] for row in mine if row["stage"] == "energy")
    energy = {(one["pattern"], one["sparsity"]): one["energy"] for one in energies}
    dense = next(_loss(row) for row in mine if row["stage"] == "tuned" and not row["pattern"])
    for row in mine:
        pattern, sparsity = row["pattern"], row["sparsity"]
        plain = row["stage"] == "tuned" and not row["way"] and row.get("times", 1) == 1
        if not plain or pattern not in BALANCED:
            continue
        shape = _shape(name, pattern, sparsity)
        banks = shape.layers[0].weight_hh.banks
        kept, bits = 1 - row["achieved"], _LAYERS[name][-1]
        yield {
            "key": f"{pattern}@{sparsity}",
            "shapes": [shape],
            "features": [
                [
                    *[math.log2(kept)] * 2,
                    *[math.log2(1.0001 - energy[pattern, sparsity])] * 2,
                    math.log2(banks),
                    bits,
                ]
            ],
            "losses": [_loss(row)],
            "knobs": {"banks": banks, "density": sparsity},
            "dense": dense,
        }


def _loss(row: dict[str, Any]) -> float:
    """Nats a word, or the share of frames that is wrong."""
    return math.log(row["valid"]) if "valid" in row else float(row["test"])


def _shape(name: str, pattern: str, sparsity: float) -> ModelShape:
    inputs, hidden, layers, main, bits = _LAYERS[name]
    base = uniform_shape(inputs, hidden, (1, 1, 1), (1, 1, 1), layers=layers, value_bits=bits,
                         act_bits=bits)  # fmt: skip
    sizes = {f"{matrix}_l{n}": (geometry.rows, geometry.columns)
             for n, layer in enumerate(base.layers)
             for matrix, geometry in layer.geometries.items()}  # fmt: skip
    goals = equal_goals(sizes, pattern, sparsity, main)
    made = []
    for n, layer in enumerate(base.layers):
        found = {}
        for matrix in layer.geometries:
            goal, size = goals[f"{matrix}_l{n}"], sizes[f"{matrix}_l{n}"]
            view = view_of(pattern, sparsity)
            found[matrix] = view.geometry(*size, goal.keep or 1, bits)  # type: ignore[attr-defined]
        made.append(replace(layer, **found))
    return replace(base, layers=tuple(made))


if __name__ == "__main__":
    typer.run(main)
