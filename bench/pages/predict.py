"""What the page on prediction says of errors."""

from __future__ import annotations

from .page import Page
from .results import ROOT, record, table

__all__ = ["PREDICTION"]


def _errors() -> str:
    lines = [["target", "board", "held out", "method", "mean", "worst", "exact", "coverage"]]
    for row in record("predict")["rows"]:
        told = [f"{100 * row[name]:.1f} %" for name in ("mean_error", "worst", "exact")]
        coverage = row.get("coverage")
        names = [row[n] for n in ("target", "board", "held_out", "method")]
        lines.append([*names, *told, "" if coverage is None else f"{100 * coverage:.0f} %"])
    return table(lines)


PREDICTION = Page(
    ROOT / "docs/prediction.md",
    (_errors(),),
    (),
    (
        "off by more than 5 %",
        "each size 0.5 to 1.2 times theirs",
        "95 % exact",
        "10 % / 4 %",
        "mean 5 %, worst 15 %",
        "12 % / 6 %",
        "mean 8 %, interval right in 72 to 88 %",
        "20 % / 10 %",
        "seeds of one design spread 6.5 %",
        "90 % within 10 %, none over 25 %",
        "10 networks: 85 %",
        "20 to 30 % off",
        "off by more than 10 %",
        "held 75 % of those judged",
        "19 to 39 % more",
        "the error was 6 %",
        "precision 100 %, recall 98 %",
        "its interval of 80 %; of a CPU step, within 10 %",
    ),
)
