"""What four kinds of networks are worth dense, pruned and in integers."""

from __future__ import annotations

from statistics import mean, stdev
from typing import Any

from ..kinds.run import BITS, CASES, LONGER, MAIN, PACKED, SPARSITY
from .results import record, table

__all__ = ["kinds_sentences", "kinds_table"]

_HEADS = {
    "dense": "dense",
    LONGER: "dense, trained as long",
    "unstructured": "unstructured",
    "unstructured, global": "unstructured, k per matrix",
    PACKED: "8 banks",
}


def _rows(case: str) -> list[dict[str, Any]]:
    return [row for row in record("kinds")["rows"] if row["case"] == case]


def _cell(values: list[float]) -> str:
    text = f"{100 * mean(values):.2f}"
    return text if len(values) < 2 else f"{text} ± {100 * stdev(values):.2f}"


def kinds_table() -> str:
    """A line a network: frames that are right, percent, mean and deviation over the seeds."""
    lines = [["right, %", "weights", *_HEADS.values(), *(f"integers, {v} bits" for v, _ in BITS)]]
    for name, case in CASES.items():
        rows = _rows(name)
        kept = f"{rows[0]['kept'][PACKED]:,} of {rows[0]['weights']:,}"
        scores = [_cell([row["scores"][key] for row in rows]) for key in _HEADS]
        bits = [_cell([row["bits"][f"{v}/{a}"] for row in rows]) for v, a in BITS]
        lines.append([case.title, kept, *scores, *bits])
    return table(lines)


def kinds_sentences() -> tuple[str, ...]:
    """What was simulated, and how much was scored."""
    rows = record("kinds")["rows"]
    ran = [row["simulated"] for row in rows]
    assert not any(run["mismatches"] for run in ran)
    assert all(run["cycles_per_step"]["rtl"] == run["cycles_per_step"]["model"] for run in ran)
    cycles = {name: _rows(name)[0]["simulated"]["cycles_per_step"]["rtl"] for name in CASES}
    frames = {name: _rows(name)[0]["frames"] for name in ("lstm", "gru")}
    alike = sum(row["scores"][MAIN] == row["scores"][PACKED] for row in rows)  # the same k
    seeds = sorted({row["seed"] for row in rows})
    costs = [row["scores"]["unstructured"] - row["scores"][PACKED] for row in rows]
    return (
        f"Banks cost {100 * min(costs):.2f} to {100 * max(costs):.2f} points beside unstructured",
        f"come to the same masks of banks in {alike} of {len(rows)} networks",
        f"{SPARSITY:.0%} of the weights asked",
        "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds",
        f"{rows[0]['sentences']} sentences, {frames['gru']:,} frames, {frames['lstm']:,} of states",
        f"{', '.join(f'{cycles[n]:.4g}' for n in CASES)} cycles a step on an array of 8 x 8",
    )
