"""How far predictions are off: ``python -m bench.tune.predict [--json FILE]``.

Cells: designs that were drawn, synthesised and packed by ``sparseflow predict build`` and, once its
table stood, ``predict check`` (``bench/results/counted.json``, which has the random networks of
``fit.json`` and ``boards.json`` too), and the networks of ``examples`` of those, which nothing was
learned from. The structural count alone and the multipliers alone are judged beside it. Clocks:
places and routes of ``boards.json`` and ``protection.json``, each design by all others. CPU:
networks of a seed of their own, timed here after those that are learned from; the library's second
kernel stands for a processor that nothing was learned of. ``--no-cpu`` keeps the rows that the
file has.
"""

from __future__ import annotations

import json as json_text
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from boards.board import Board, board, board_names
from boards.cells.clocks import Clocks, Times, features, kind_of
from boards.cells.learned import TARGETS, Learned, Residual, shares, shipped
from boards.cells.structure import counted
from boards.cells.usage import RESOURCES, Usage
from boards.families.family import Part
from compiler.array.design import Design
from engine.native.library import kernels
from sparseflow.tune.network import Network
from sparseflow.tune.prediction.build import errors
from sparseflow.tune.prediction.clocks import clocks_of, times_of
from sparseflow.tune.prediction.draw import Drawn
from sparseflow.tune.prediction.fit import weights_of
from sparseflow.tune.prediction.routed import routed
from sparseflow.tune.prediction.samples import FRESH, USUAL, Known, Sample, read
from sparseflow.tune.prediction.steps import Step, Timed, by_multiplications
from sparseflow.tune.prediction.steps import errors as step_errors
from sparseflow.tune.prediction.steps import fitted as step_of
from sparseflow.tune.prediction.timing import drawn, gathered, timed

from ..boards.bitstreams import CASES as BITSTREAMS
from ..boards.bitstreams import Case, Shipped
from ..boards.fit import CASES
from ..record import Rows, Smallest, write_record

__all__ = [
    "COUNTED",
    "ROUTED",
    "Kept",
    "cells",
    "clocks",
    "kept",
    "main",
    "steps",
    "unseen",
    "usual",
]

RESULTS = Path(__file__).resolve().parents[1] / "results"
COUNTED = RESULTS / "counted.json"
ROUTED = (RESULTS / "boards.json", RESULTS / "protection.json")
SEED, FRESH_SEED = 1, 43
NETWORKS = (160, 80)  # that steps are learned from, and that they are judged by
BASE, FEW = "ecp5", 5
SEEDS = 100
NEAR = 0.1  # of a step's time
ROUNDS, TEN = 2, 10  # of timing more; networks of a processor that is not known


@dataclass(frozen=True)
class Kept:
    """A design of another benchmark, and its cells.

    Parameters
    ----------
    there : Board
    design : Design
    counted : dict of str to int
    """

    there: Board
    design: Design
    counted: dict[str, int]


def main(
    cpu: Annotated[bool, typer.Option(help="Time networks on this processor.")] = True,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Judge, print a table, write JSON."""
    samples = read(COUNTED)
    rows = [*cells(samples, shipped()), *unseen(samples), *clocks(), *builds()]
    if cpu:
        rows += steps(*((8, 4) if smallest else NETWORKS))
    elif json and json.exists():
        before = json_text.loads(json.read_text("utf-8"))["rows"]
        rows += [row for row in before if row["target"] == "cpu step"]
    found = fitting(samples)
    Console(width=110).print(_table(rows))
    Console(width=110).print(f"fits as packed: {found}", highlight=False)
    if json:
        write_record(json, "bench.tune.predict", [SEED, FRESH_SEED], rows, fits=found)


def kept() -> Iterator[Kept]:
    """Networks of ``examples`` in ``fit.json`` and ``boards.json``; each design once."""
    seen = set()
    for case, counts in _rows():
        there, design = board(case.board), case.design(case.model())
        if isinstance(case, Shipped) and (there.family.name, design) not in seen:
            seen.add((there.family.name, design))
            yield Kept(there, design, counts)


def usual() -> Iterator[Sample]:
    """Random networks of the same, which tables are learned from as well."""
    seen = set()
    for case, counts in _rows():
        if isinstance(case, Case) and case.title not in seen:
            seen.add(case.title)
            k_input, k = case.kept
            network = Network(case.inputs, case.hidden, case.banks, k, k_input, case.layers,
                              value_bits=case.bits, act_bits=case.act_bits)  # fmt: skip
            design = case.design(case.model())
            # a seed whose binary points make the same array
            drawn = (Drawn(network, case.pes, case.lanes, seed) for seed in range(SEEDS))
            samples = (Sample(case.board, one, counts, USUAL) for one in drawn)
            yield next(sample for sample in samples if sample.design == design)


def _rows() -> Iterator[tuple[Case | Shipped, dict[str, int]]]:
    for name, cases in (("fit", CASES), ("boards", BITSTREAMS)):
        for row in json_text.loads((RESULTS / f"{name}.json").read_text("utf-8"))["rows"]:
            yield cases[row["case"]], _counts(row)


def _counts(row: dict[str, Any]) -> dict[str, int]:
    if "counted" not in row:
        return {r.count: row[r.count] for r in RESOURCES if row.get(r.count) is not None}
    usage = Usage(**row["counted"])
    return {r.count: n for r in RESOURCES if (n := getattr(usage, r.field)) is not None}


def cells(samples: Sequence[Sample], table: Learned) -> Iterator[dict[str, Any]]:
    """Every count of every family: of fresh designs, and of other benchmarks'."""
    sets: dict[str, list[Known]] = {
        "drawn after the fit": [s for s in samples if s.how == FRESH],
        "networks of examples": list(kept()),
    }
    taught = [s for s in samples if s.how != FRESH]
    for name, every in sets.items():
        for family in dict.fromkeys(one.there.family.name for one in every):
            some = [one for one in every if one.there.family.name == family]
            found = errors(some, table)
            mine = [s for s in taught if s.there.family.name == family]
            for target, off in found["predicted"].items():
                row = {"target": target, "board": family, "held_out": f"{len(off)}, {name}"}
                inside = _covered(some, target, table)
                yield row | {"method": "predicted", "coverage": inside} | _judged(off)
                yield row | {"method": "structure alone"} | _judged(found["formula"][target])
                if target in TARGETS and mine:
                    yield (
                        row | {"method": "multipliers alone"} | _judged(_plain(mine, some, target))
                    )


def _judged(off: Sequence[float]) -> dict[str, Any]:
    sizes = [abs(n) for n in off]
    return {
        "mean_error": round(float(np.mean(sizes)), 4),
        "worst": round(max(sizes), 4),
        "exact": round(sum(n == 0 for n in sizes) / len(sizes), 4),
    }


def _covered(some: Sequence[Known], target: str, table: Learned) -> float | None:
    """Share of the designs that lie in their intervals."""
    found = [
        one.low <= sample.counted[target] <= one.high
        for sample in some
        if (one := table.expected(sample.design, sample.there).get(target))
    ]
    return round(sum(found) / len(found), 4) if found else None


def _plain(taught: Sequence[Known], judged: Sequence[Known], target: str) -> list[float]:
    """A baseline: a constant, and so many cells a multiplier and bit of its operands."""
    rows = np.array([_of_multipliers(one) for one in taught])
    counts = np.array([one.counted[target] for one in taught])
    line = np.linalg.lstsq(rows / counts[:, None], np.ones(len(rows)), rcond=None)[0]
    return [float(_of_multipliers(one) @ line) / one.counted[target] - 1 for one in judged]


def _of_multipliers(one: Known) -> np.ndarray[Any, np.dtype[np.float64]]:
    design = one.design
    bits = design.multipliers * (design.value_bits + design.act_bits)
    return np.array([1.0, bits])


def fitting(samples: Sequence[Sample]) -> dict[str, Any]:
    """Whether designs fit devices of their family as packed; not whether they can be routed."""
    sizes: dict[str, dict[tuple[int, int], Part]] = {}
    for one in map(board, board_names()):
        mine = sizes.setdefault(one.family.name, {})
        mine.setdefault((one.has.luts, one.has.multipliers), one.has)
    every: list[Known] = [*samples, *kept()]
    found = [
        (shipped().likely(known.design, known.there).limit(part)[1] <= 1,
         Usage(**_fields(known.counted)).limit(part)[1] <= 1)
        for known in every
        for part in sizes[known.there.family.name].values()
    ]  # fmt: skip
    both, said, real = (sum(map(f, found)) for f in (all, lambda one: one[0], lambda one: one[1]))
    return {
        "designs": len(every), "cases": len(found), "too_large": len(found) - real,
        "precision": round(both / said, 4), "recall": round(both / real, 4),
    }  # fmt: skip


def _fields(counts: Mapping[str, int]) -> dict[str, int]:
    return {r.field: counts.get(r.count, 0) for r in RESOURCES}


def unseen(samples: Sequence[Sample]) -> Iterator[dict[str, Any]]:
    """Families other than ECP5: by what ECP5 has taught, and with five designs of their own."""
    every = [s for s in samples if s.how != FRESH]
    taught = [one for one in every if one.there.family.name == BASE]
    for family in dict.fromkeys(one.there.family.name for one in every):
        mine = [one for one in every if one.there.family.name == family]
        if family == BASE or len(mine) <= FEW:
            continue
        for target in TARGETS:
            base = Residual(weights_of(taught, target), 1, 1, len(taught), (1, 4096))
            few = replace(base, weights=weights_of(mine[:FEW], target))
            ways = {f"0 designs, as {BASE}": base, f"{FEW} designs": few}
            for way, residual in ways.items():
                off = [_off(one, target, residual) for one in mine[FEW:]]
                yield {
                    "target": target, "board": f"{family}, unseen", "held_out": str(len(off)),
                    "method": way, **_judged(off),
                }  # fmt: skip
            off = [_off(one, target, replace(base, weights={})) for one in mine[FEW:]]
            yield {"target": target, "board": f"{family}, unseen", "held_out": str(len(off)),
                   "method": "0 designs, structure alone", **_judged(off)}  # fmt: skip


def _off(one: Known, target: str, residual: Residual) -> float:
    count = counted(one.design, one.there)
    ratio = residual.ratio(shares(one.design, count, target))
    return float(getattr(count.usage, TARGETS[target]) * ratio / one.counted[target] - 1)


def clocks() -> Iterator[dict[str, Any]]:
    """Clocks of each design by all others; beside what parts are noted to reach."""
    rows = [row for path in ROUTED for row in routed(path)]
    off, plain, inside = [], [], []
    for mine, others in _by_others(rows, lambda row: kind_of(board(row["board"])), clocks_of):
        found, reached = _of(Clocks(**others), mine[0]), _middle(row["fmax_mhz"] for row in mine)
        off.append(found.median / reached - 1)
        plain.append(board(mine[0]["board"]).has.megahertz / reached - 1)
        low, high = found.interval
        inside.append(low <= reached <= high)
    yield from _all_boards("clock", off, inside, "noted of the part", plain)


def _of(clocks: Clocks, row: Mapping[str, Any]) -> Clocks:
    """For a design, where its row tells what clocks move with."""
    device = board(row["board"]).has.luts
    return clocks.of(features(**row["about"], device=device)) if "about" in row else clocks


def builds() -> Iterator[dict[str, Any]]:
    """Processor seconds of each design's build by all others of its family, beside their mean."""
    rows = [row for path in ROUTED for row in routed(path) if row.get("cpu_seconds")]
    off, plain, inside = [], [], []
    for mine, others in _by_others(rows, _family, times_of):
        rest = [row for row in rows if row not in mine and _family(row) == _family(mine[0])]
        took = _middle(row["cpu_seconds"] for row in mine)
        median, low, high = Times(**others).of(round(_middle(row["lut"] for row in mine)))
        off.append(median / took - 1)
        plain.append(float(np.mean([row["cpu_seconds"] for row in rest])) / took - 1)
        inside.append(low <= took <= high)
    yield from _all_boards("build time", off, inside, "mean of all", plain)


def _by_others(
    rows: Sequence[Mapping[str, Any]],
    kind: Callable[[Mapping[str, Any]], str],
    learn: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]],
) -> Iterator[tuple[list[Mapping[str, Any]], Any]]:
    """Rows of each design, and what all others say of its kind; not of the only one of a kind."""
    for key in dict.fromkeys((kind(row), row["design"]) for row in rows):
        mine = [row for row in rows if (kind(row), row["design"]) == key]
        others = learn([row for row in rows if row not in mine]).get(key[0])
        if others is not None:
            yield mine, others


def _family(row: Mapping[str, Any]) -> str:
    return board(row["board"]).family.name


def _middle(values: Iterable[float]) -> float:
    """The geometric mean."""
    return exp(float(np.mean([log(value) for value in values])))


def _all_boards(
    target: str, off: list[float], inside: list[bool], floor: str, plain: list[float]
) -> Iterator[dict[str, Any]]:
    """Rows of a distribution, and of what stands beside it."""
    about = {"target": target, "board": "all", "held_out": f"{len(off)}, each by all others"}
    coverage = round(sum(inside) / len(inside), 4)
    yield about | {"method": "predicted", "coverage": coverage} | _judged(off)
    yield about | {"method": floor} | _judged(plain)


def steps(taught: int, judged: int) -> Iterator[dict[str, Any]]:
    """Steps of networks on this processor, then of its second kernel, as of one not known."""
    known = gathered(list(drawn(taught, SEED)), ROUNDS, SEED, print)
    fresh, step = timed(list(drawn(judged, FRESH_SEED)), SEED), step_of(known)
    off = step_errors(step, fresh)
    inside = [step.low <= 1 / (1 + n) <= step.high for n in off]
    yield _step("cpu", judged, "predicted", off) | {"interval": round(float(np.mean(inside)), 4)}
    yield _step("cpu", judged, "multiplications alone", by_multiplications(known, fresh))
    yield from _another(step, judged)


def _another(step: Step, judged: int) -> Iterator[dict[str, Any]]:
    """A processor of which ten networks are timed, or none."""
    if len(kernels()) < 3:
        return  # the last is plain C, which no processor of today is left with
    name = kernels()[1]
    networks = [*drawn(TEN, FRESH_SEED + 1), *drawn(judged, FRESH_SEED)]
    every = timed(networks, SEED, name)
    few, fresh = every[:TEN], every[TEN:]
    ways: dict[str, Callable[[Sequence[Timed]], Step]] = {
        f"{TEN} networks, as {kernels()[0]}": lambda some: step_of(some, step),
        f"{TEN} networks alone": step_of,
        f"0 networks, as {kernels()[0]}": lambda _: step,
    }
    for method, learn in ways.items():
        yield _step(f"cpu, unseen: {name}", judged, method, step_errors(learn(few), fresh))


def _step(target: str, judged: int, method: str, off: Sequence[float]) -> dict[str, Any]:
    near = sum(abs(n) <= NEAR for n in off) / len(off)
    return {
        "target": "cpu step", "board": target, "held_out": f"{judged}, drawn after the fit",
        "method": method, "coverage": round(near, 4), **_judged(off),
    }  # fmt: skip


def _table(rows: Rows) -> Table:
    table = Table(title="How far predictions are off; coverage: share inside the interval")
    for head in ("target", "board", "held out", "method", "mean", "worst", "exact", "coverage"):
        table.add_column(head)
    for row in rows:
        told = [f"{row[n]:.1%}" for n in ("mean_error", "worst", "exact")]
        coverage = row.get("coverage")
        shown = "" if coverage is None else f"{coverage:.0%}"
        table.add_row(*(row[n] for n in ("target", "board", "held_out", "method")), *told, shown)
    return table


if __name__ == "__main__":
    typer.run(main)
