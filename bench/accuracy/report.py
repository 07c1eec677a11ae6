"""From ``bench/results/accuracy.json`` to the tables and pictures of ``docs/results.md``.

``python -m bench.accuracy.report [--results FILE] [--out FILE]``. A cell without a result stays
empty. Cycles become a latency where ``bench/results/boards.json`` has a bitstream for the network
on the same array, at the clock that place and route has reached; nothing is estimated.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from csb_format.files.replace import replace_file

from .networks import NETWORKS, Speech
from .patterns import PATTERNS, SPARSITIES, plain_of
from .plots import Curve, plot
from .published import PTB1500, TIMIT
from .rows import AMPLE, BANKS, BEST, BITS, CLAIM, GLOBAL_BANKS, LONGER, WAYS
from .run import RESULTS, read_results
from .texts import DEVIATIONS, INTRODUCTION, TITLES

__all__ = ["claims", "main", "report"]

BOARDS = Path("bench/results/boards.json")
Rows = Iterable[Mapping[str, Any]]
# by pattern and sparsity, of each seed
Tests = Mapping[tuple[str, float], Mapping[int, float]]
Values = Mapping[tuple[str, float], Sequence[float]]
Lines = list[list[str]]
# from free to bound
_STEPS = (
    "unstructured",
    "banks in W_hh only",
    "banks in W_ih only",
    "1 bank",
    "banks of 100",
    "banks of 50",
    "banks of 25",
    "8 banks",
    "unstructured, global",
    "banks of 25 by gate and 32 units, global",
    "banks of 25 by gate, global",
    "banks of 100, global",
    "banks of 50, global",
    "banks of 25, global",
    "8 banks, global",
)
# Of k per matrix, what must hold: perplexity above unstructured with as many in each matrix.
_BOUNDS = {0.6: 0.2, 0.8: 0.45}
_FREE = "unstructured, global"
_NEAR = 0.01  # of all weights: a sparsity that is as good as another
_TUNING = {
    "": f"the same, {LONGER} times as long",
    "cubic": "cubic schedule",
    "rewound": "learning rate rewound",
    "decayed": "decayed masks (SR-STE)",
}
_WAY_NAMES = {
    "after": "as trained",
    "longer": "after more training in float",
    "aware": "after training in these bits",
    BEST: f"fine-tuned {LONGER} times as long, {_TUNING[BEST]}",
}


@dataclass
class Scores:
    """Test scores of one network, a number a seed; speech in percent."""

    percent: bool
    tuned: dict[tuple[str, float], dict[int, float]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    ample: dict[tuple[str, float], dict[int, float]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    ways: dict[tuple[str, float, str], dict[int, float]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    trained: dict[tuple[str, float], list[float]] = field(default_factory=lambda: defaultdict(list))
    achieved: dict[tuple[str, float], float] = field(default_factory=dict)
    energy: dict[tuple[str, float], list[float]] = field(default_factory=lambda: defaultdict(list))
    spared: dict[tuple[str, float], float] = field(default_factory=dict)  # beside energy: achieved
    start: dict[int, float] = field(default_factory=dict)
    bits: dict[tuple[str, int], list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    rtl: list[Mapping[str, Any]] = field(default_factory=list)
    valid: dict[int, float] = field(default_factory=dict)
    bfloat16: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, network: str, rows: Rows) -> Scores:
        scores = cls(isinstance(NETWORKS[network], Speech))
        for row in rows:
            if row["network"] == network:
                scores._add(row)
        return scores

    def _add(self, row: Mapping[str, Any]) -> None:
        scale = 100.0 if self.percent else 1.0
        key = (row["pattern"] or "dense", row["sparsity"])
        times = row.get("times", 1)  # rows from before there was such a thing have none
        if row["stage"] == "tuned" and (times == LONGER or row["way"]):
            self.ways[*key, row["way"]][row["seed"]] = scale * row["test"]
        elif row["stage"] == "tuned" and times > 1:
            self.ample[key][row["seed"]] = scale * row["test"]
        elif row["stage"] == "tuned":
            self.tuned[key][row["seed"]] = scale * row["test"]
            self.achieved[key] = row["achieved"]
            if "train" in row:
                self.trained[key].append(scale * row["train"])
        elif row["stage"] == "dense":
            self.start[row["seed"]] = scale * row["test"]
            self.valid[row["seed"]] = row.get("valid", 0.0)
            if row.get("precision"):  # of all rows that start from it
                self.bfloat16.add(row["seed"])
        elif row["stage"] == "energy":
            for found in row["energy"]:
                which = found["pattern"], found["sparsity"]
                self.energy[which].append(100 * found["energy"])
                self.spared[which] = found["achieved"]
        elif row["stage"] == "bits":
            pair = (scale * row["test"], scale * row["float_test"])
            way = row["way"] if times == 1 else BEST
            self.bits[way, row["bits"]].append(pair)
        else:
            self.rtl.append(row)

    @property
    def dense(self) -> dict[int, float]:
        """Of the dense copy that was fine-tuned like the others."""
        return self.tuned.get(("dense", 0.0), {})


def written(values: Sequence[float], digits: int = 2) -> str:
    """Mean and standard deviation; only the value where there is one seed."""
    if not values:
        return ""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def pattern_table(scores: Scores, published: Mapping[str, Mapping[float, str]]) -> str:
    """Scores by pattern and sparsity, what was achieved where it differs, and the paper's."""
    heads = ["pattern", *(f"{100 * s:g} %" for s in SPARSITIES), "seeds"]
    lines = _cells(
        {key: list(found.values()) for key, found in scores.tuned.items()}, scores.achieved
    )
    lines = [[*line, _seeds(scores, line[0])] for line in lines]
    for pattern, figures in published.items():
        if pattern != "dense":
            cells = (f"*{figures[s]}*" if s in figures else "" for s in SPARSITIES)
            lines.append([f"*published: {pattern}*", *cells, ""])
    return table(heads, lines)


def _seeds(scores: Scores, pattern: str) -> str:
    """Those of a line: not every one has every figure."""
    seeds = {seed for key, found in scores.tuned.items() if key[0] == pattern for seed in found}
    return ", ".join(map(str, sorted(seeds)))


def _cells(values: Values, achieved: Mapping[tuple[str, float], float], digits: int = 2) -> Lines:
    """Means by pattern and sparsity, and what was reached instead of what the column says."""

    def cell(key: tuple[str, float]) -> str:
        found, reached = values.get(key, []), achieved.get(key, key[1])
        missed = bool(found) and abs(reached - key[1]) > 2.5e-3
        return written(found, digits) + f" ({100 * reached:.1f} %)" * missed

    return _filled([p, *(cell((p, s)) for s in SPARSITIES)] for p in PATTERNS)


def gaps(tests: Tests, one: str, other: str, sparsity: float) -> list[float]:
    """Differences of two patterns, seed by seed: both start from the same network."""
    first, second = (tests.get((pattern, sparsity), {}) for pattern in (one, other))
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def claims(scores: Scores) -> list[list[str]]:
    """What must hold for the claim, and whether it does, as far as one network was run."""
    found = []
    for sparsity in CLAIM:
        at = f"{100 * sparsity:g} %"
        for banks in BANKS:
            apart = gaps(scores.tuned, banks, "unstructured", sparsity)
            what = f"{banks} - unstructured at {at}"
            found.append([what, "at most 0.2", written(apart), _verdict(apart, lambda d: d <= 0.2)])
        for names in (BANKS, GLOBAL_BANKS):
            spread = _spread(scores, names, sparsity)
            shared = ", global," if names == GLOBAL_BANKS else ""
            what = f"largest - smallest of banks of 25, 50, 100{shared} at {at}"
            held = _verdict(spread, lambda d: d <= 0.2)
            found.append([what, "at most 0.2", written(spread), held])
        found += _global_claims(scores, sparsity)
        for block in ("blocks 4x4", "blocks 8x8"):
            worse = gaps(scores.tuned, block, "unstructured", sparsity)
            what = f"{block} - unstructured at {at}"
            found.append([what, "clearly above", written(worse), _verdict(worse, lambda d: d > 1)])
    for sparsity in SPARSITIES:
        found += [] if sparsity in CLAIM else _global_claims(scores, sparsity)
    return [line for line in found if line[2]]


def _global_claims(scores: Scores, sparsity: float) -> list[list[str]]:
    """Banks with k per matrix against both kinds of unstructured pruning."""
    found, at = [], f"{100 * sparsity:g} %"
    for banks in GLOBAL_BANKS:
        bound = _BOUNDS.get(sparsity)
        for free in ("unstructured", _FREE):
            apart = gaps(scores.tuned, banks, free, sparsity)
            line = [f"{banks} - {free} at {at}", "", written(apart), ""]
            if bound is not None and free == "unstructured":
                line[1], line[3] = f"at most {bound:g}", _verdict(apart, _at_most(bound))
            found.append(line)
    for banks, plain in zip(GLOBAL_BANKS, BANKS, strict=True):
        apart = gaps(scores.tuned, banks, plain, sparsity)
        found.append([f"{banks} - {plain} at {at}", "", written(apart), ""])
    return found


def _at_most(bound: float) -> Callable[[float], bool]:
    return lambda apart: apart <= bound


def _spread(scores: Scores, names: Sequence[str], sparsity: float) -> list[float]:
    """Of the means over the seeds that all three have; one number, or none."""
    columns = [scores.tuned.get((banks, sparsity), {}) for banks in names]
    seeds = sorted(set.intersection(*(set(column) for column in columns)))
    means = [statistics.mean(column[seed] for seed in seeds) for column in columns if seeds]
    return [max(means) - min(means)] if means else []


def _verdict(values: Sequence[float], holds: Callable[[float], bool]) -> str:
    if not values:
        return ""
    return "yes" if holds(statistics.mean(values)) else "**no**"


def gap_table(scores: Scores, sparsity: float) -> str:
    """Where the gap comes from: rows alone in balance, and banks in one matrix alone."""
    heads = ["pattern", "test", "above unstructured", "weight energy kept, percent"]
    lines: list[list[str]] = []
    for pattern in _STEPS:
        values = list(scores.tuned.get((pattern, sparsity), {}).values())
        if values:
            apart = gaps(scores.tuned, pattern, "unstructured", sparsity) if lines else []
            energy = written(scores.energy.get((pattern, sparsity), []), 1)
            lines.append([pattern, written(values), written(apart), energy])
    return table(heads, lines)


def ample_table(scores: Scores) -> str:
    """Scores after one and after more times the fine-tuning, on the seeds that have both."""
    often, above = f"{AMPLE} times", "above unstructured"
    heads = ["", "sparsity", "once", often, f"{above}, once", f"{above}, {often}"]
    columns = _common(scores.tuned, scores.ample), _common(scores.ample, scores.tuned)
    lines = []
    for pattern, sparsity in sorted(scores.ample, key=_by_sparsity):
        cells = [written(list(tests.get((pattern, sparsity), {}).values())) for tests in columns]
        for tests in columns:
            apart = gaps(tests, pattern, "unstructured", sparsity)
            cells.append("" if pattern in ("dense", "unstructured") else written(apart))
        lines.append([pattern, f"{100 * sparsity:g} %", *cells])
    return table(heads, lines)


def ways_table(scores: Scores) -> str:
    """Ways to fine-tune, all equally long, and what pruning costs after each."""
    lines = []
    for pattern, sparsity in sorted({key[:2] for key in scores.ways}, key=_by_sparsity):
        ways = [scores.ways.get((pattern, sparsity, way), {}) for way in _TUNING]
        seeds = {seed for way in ways for seed in way}
        once = scores.tuned.get((pattern, sparsity), {})
        cells = [[test for seed, test in once.items() if seed in seeds]]
        cells += [list(way.values()) for way in ways]
        lines.append([pattern, f"{100 * sparsity:g} %", *map(written, cells)])
    return table(["pattern", "sparsity", "as the tables, once", *_TUNING.values()], lines)


def _common(tests: Tests, others: Tests) -> Tests:
    """Those whose pattern, sparsity and seed the others have too."""
    return {
        key: {seed: test for seed, test in tests.get(key, {}).items() if seed in column}
        for key, column in others.items()
    }


def _by_sparsity(key: tuple[str, float]) -> tuple[float, int]:
    pattern, sparsity = key
    return sparsity, -1 if pattern == "dense" else PATTERNS.index(pattern)


def plain_table(values: Values, digits: int, achieved: Mapping[tuple[str, float], float]) -> str:
    """Means by pattern and sparsity, what was achieved where it differs."""
    heads = ["pattern", *(f"{100 * s:g} %" for s in SPARSITIES)]
    return table(heads, _cells(values, achieved, digits))


def _filled(lines: Iterable[list[str]]) -> list[list[str]]:
    """Without patterns that no row was run of."""
    return [line for line in lines if any(line[1:])]


def bits_table(scores: Scores) -> str:
    """Scores of the integers, and what they lose against the float network of that line."""
    heads = ["", "float", *(f"{w} bits (activations {a})" for w, a in BITS)]
    lines = []
    for way in (*WAYS, BEST):
        pairs = {w: scores.bits.get((way, w), []) for w, _ in BITS}
        base = next((p for p in pairs.values() if p), [])
        cells = [
            f"{written([i for i, _ in p])} ({written_sign([i - f for i, f in p])})" if p else ""
            for p in pairs.values()
        ]
        if base or way != BEST:
            lines.append([_WAY_NAMES[way], written([f for _, f in base]), *cells])
    return table(heads, lines)


def written_sign(values: Sequence[float]) -> str:
    """Mean with its sign."""
    return f"{statistics.mean(values):+.2f}"


def rtl_table(every: Mapping[str, Scores], placed: Rows) -> str:
    """Runs on the simulated accelerator."""
    boards = {row["case"]: row for row in placed}
    heads = [
        "network",
        "seed",
        "bits",
        "array",
        "steps",
        "values compared",
        "that differ",
        "cycles a step",
        "latency",
    ]
    lines = []
    for network, scores in every.items():
        for row in scores.rtl:
            latency = _latency(row, boards.get(network, {}))
            array = f"{row['pes']} x {row['lanes']}"
            counts = [f"{row[n]:,}" for n in ("steps", "values", "mismatches")]
            which = [network, str(row["seed"]), str(row["bits"]), array]
            lines.append([*which, *counts, f"{row['cycles']:g}", latency])
    return table(heads, lines)


def _latency(row: Mapping[str, Any], placed: Mapping[str, Any]) -> str:
    """Of a step, at the clock that the same array reached on a board."""
    if (placed.get("M"), placed.get("N")) != (row["pes"], row["lanes"]):
        return ""
    clock = min(placed["fmax_mhz"], placed["clock_mhz"])
    return f"{row['cycles'] / clock:.2f} us on {placed['board']} at {clock:g} MHz"


def _network_text(network: str, scores: Scores, pictures: Path) -> str:
    published = PTB1500 if network.startswith("ptb") else TIMIT
    published = {} if network.startswith("shakespeare") else published
    parts = [f"## {TITLES[network]}\n", _dense_text(network, scores, published)]
    if scores.tuned:
        parts.append(pattern_table(scores, published))
        parts.append(_picture(network, scores, pictures))
    if network.startswith("ptb") and scores.tuned:
        heads = ["what must hold", "bound", "measured", "holds"]
        parts.append("### The claim\n\n" + table(heads, claims(scores)))
    main = NETWORKS[network].main_sparsity
    if scores.tuned.get(("1 bank", main)):
        title = f"### Where the gap comes from, at {100 * main:g} %"
        parts.append(f"{title}\n\n{gap_table(scores, main)}")
    if scores.ample:
        title = f"### With {AMPLE} times the fine-tuning"
        parts.append(f"{title}\n\n{ample_table(scores)}")
    if scores.ways:
        title = f"### Ways to fine-tune, {LONGER} times as long"
        parts.append(f"{title}\n\n{ways_table(scores)}")
    if scores.trained:
        parts.append("### Frame error on the training utterances, percent\n")
        parts.append(plain_table(scores.trained, 2, scores.achieved))
    if scores.energy:
        kept = plain_table(scores.energy, 1, scores.spared)
        parts.append(f"### Retained weight energy, percent\n\n{kept}")
    if scores.bits:
        parts.append(
            f"### In the accelerator's integers\n\n{_main_text(network)}\n\n" + bits_table(scores)
        )
    return "\n".join(part for part in parts if part)


def _dense_text(network: str, scores: Scores, published: Mapping[str, Mapping[float, str]]) -> str:
    what = "frame error, percent" if scores.percent else "perplexity"
    paper = published.get("dense", {}).get(0.0, "")
    if not scores.start:
        return "Not run yet.\n"
    text = f"Test {what}: dense {written(list(scores.start.values()))}, the dense copy "
    text += f"fine-tuned like the pruned ones {written(list(scores.dense.values())) or '(not run)'}"
    if paper:
        text += f" (*published, another network: {paper}*)"
    text += f". Seeds: {len(scores.start)}."
    for seed in sorted(scores.bfloat16):
        text += f" Layers of seed {seed} were trained in bfloat16, and scored in float32."
    return f"{text}\n"


def _main_text(network: str) -> str:
    plan = NETWORKS[network]
    return f"Of {plan.main} at {100 * plan.main_sparsity:g} %; in brackets the loss against float."


def _picture(network: str, scores: Scores, pictures: Path) -> str:
    curves: dict[str, Curve] = {name: _curve(scores, name, scores.dense) for name in PATTERNS}
    label = "frame error, %" if scores.percent else "test perplexity"
    named = (*BANKS, *(name for name in PATTERNS if plain_of(name) != name))
    beside: dict[str, Curve] = {name: _curve(scores, name) for name in named}
    if not any(beside[name] for name in named if name not in BANKS):
        beside = {}
    plot(pictures / f"{network}.svg", TITLES[network], label, curves, beside)
    return f"![{TITLES[network]}]({pictures.name}/{network}.svg)\n"


def _curve(scores: Scores, pattern: str, level: Mapping[int, float] | None = None) -> Curve:
    """Differences from ``level`` seed by seed, or from unstructured pruning as far as the pattern.

    Not every point has the same seeds.
    """
    points = []
    for sparsity in SPARSITIES:
        tests = scores.tuned.get((pattern, sparsity), {})
        achieved = scores.achieved.get((pattern, sparsity), sparsity)
        base = _unstructured(scores, tests, achieved) if level is None else level
        values = [test - base[seed] for seed, test in tests.items() if seed in base]
        if values:
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            points.append((achieved, statistics.mean(values), spread))
    return points


def _unstructured(scores: Scores, seeds: Iterable[int], achieved: float) -> dict[int, float]:
    """Between the sparsities that a seed was pruned to; whole numbers rarely meet one of them."""
    found = {}
    for seed in seeds:
        line = [
            (scores.achieved["unstructured", s], scores.tuned["unstructured", s][seed])
            for s in SPARSITIES
            if seed in scores.tuned.get(("unstructured", s), {})
        ]
        if line and line[0][0] - _NEAR <= achieved <= line[-1][0] + _NEAR:
            shares, tests = np.array(line).T
            found[seed] = float(np.interp(achieved, shares, tests))
    return found


def report(rows: Rows, pictures: Path, placed: Rows = ()) -> str:
    """The whole page; pictures are written to their folder, ``placed`` are rows of boards.json."""
    rows = list(rows)
    every = {network: Scores.of(network, rows) for network in NETWORKS}
    texts = [_network_text(network, scores, pictures) for network, scores in every.items()]
    simulated = "## On the simulated accelerator\n\n" + rtl_table(every, placed)
    return "\n".join([INTRODUCTION, *texts, simulated, DEVIATIONS])


def main(
    results: Annotated[Path, typer.Option(help="What bench.accuracy.run wrote.")] = RESULTS,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("docs/results.md"),
    boards: Annotated[Path, typer.Option(help="What bench.boards.bitstreams wrote.")] = BOARDS,
) -> None:
    """Write the page and its pictures."""
    placed = json.loads(boards.read_text("utf-8"))["rows"]
    rows = read_results(results)
    replace_file(out, report(rows.values(), out.with_suffix(""), placed).encode())
    print(f"{out}: {len(rows)} rows")


if __name__ == "__main__":
    typer.run(main)
