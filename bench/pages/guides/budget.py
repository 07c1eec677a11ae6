"""What the guide on k by gates says of measurements."""

from __future__ import annotations

import numpy as np

from compiler.array.needs import design_for
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import step_cycles

from ...array.utilisation import PTB_GATES, SEED, WORKLOADS
from ..page import Page
from ..results import ROOT, record, table

__all__ = ["BUDGET"]


def _by_gate() -> str:
    heads = "M x N|E|ideal|by gate|of ideal|padded|of ideal"
    lines = [heads.split("|")]
    for row in record("utilisation")["rows"]:
        if not row["workload"].startswith("ptb-gates"):
            continue
        (given,) = (workload for workload in WORKLOADS if workload.name == row["workload"])
        shape = given.model(np.random.default_rng(SEED)).shape
        padded = step_cycles(schedule(shape, design_for(shape, row["M"], row["N"], by_gate=False)))
        cycles = ((n, n / row["floor"]) for n in (row["rtl_cycles"], padded))
        measured = [text for n, share in cycles for text in (f"{n:,}", f"{share:.3f}")]
        lines.append([f"{row['M']} x {row['N']}", str(row["E"]), f"{row['floor']:,}", *measured])
    return table(lines)


def _cells() -> str:
    heads = "M x N|slots of|E|LUT of a PE|flip-flops|LUT of a lane|LUT of all|flip-flops of all"
    lines = [heads.split("|")]
    for row in record("gates")["rows"]:
        counts = (
            f"{row[part][n]:,}"
            for part, n in (
                ("pe", "lut"),
                ("pe", "ff"),
                ("lane", "lut"),
                ("all", "lut"),
                ("all", "ff"),
            )
        )
        slots = "one gate" if row["by_gate"] else "all gates"
        lines.append([f"{row['M']} x {row['N']}", slots, str(row["E"]), *counts])
    return table(lines)


# Of a spike, of what is asked for, and of examples
_BUDGET = (
    "vocabulary cut to 2,000 words",
    "perplexity above unstructured pruning, banks of 25 | 60 % | 80 % |",
    "the same k everywhere | 0.26 % | 0.89 % and 0.83 % |",
    "k per matrix | 0.02 % | 0.35 % and 0.25 % |",
    "k per gate of a matrix | | 0.28 % | 1.6",
    "k per 32 units of a gate | 0.03 % | 0.18 % and 0.05 % |",
    "90 % is 2.5 of 25, and equal k keeps 3, 88 %; four matrices share 10 and keep 90 %",
    "within 0.25 perplexity of unstructured pruning at 80 %",
    "k by `prune --budget gate` at 80 %",
    "Treebank's 2,000 most common",
    "keep 95 % (`--keep-energy`)",
    "at most 5 % more weights",
    "at 60 % within 0.2 perplexity",
    "at 80 % within 0.45",
    "columns within 0.2 of each other",
)


def _budget() -> Page:
    (first, then), (second, last) = PTB_GATES
    kept = (f"{i}, {f}, {g} and {o}" for i, f, g, o in (first, then, second, last))
    matrices = (first, then, second, last)
    padded, own = sum(map(max, matrices)), sum(map(sum, matrices)) // 4
    return Page(
        ROOT / "docs/budget.md",
        (_by_gate(), _cells()),
        (f"keep {', then '.join(kept)} in a bank: {padded} cycles for {own} of products",),
        _BUDGET,
    )


BUDGET = _budget()
