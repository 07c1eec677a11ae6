"""What the page on behaviour says of steps."""

from __future__ import annotations

from compiler.array.steps import VERSION

from .page import Page
from .results import ROOT, record, table

__all__ = ["BEHAVIOUR"]


def _steps() -> str:
    lines = [["knob", "from", "to", "cycles before", "after", "because of"]]
    for row in record("behaviour")["rows"]:
        if row.get("unit") == "cycles":
            ends = (str(row["from"]), str(row["to"]), f"{row['before']:g}", f"{row['after']:g}")
            lines.append([row["knob"], *ends, "; ".join(row["causes"])])
    return table(lines)


def _pes() -> str:
    rows = [row for row in record("behaviour")["rows"] if "cycles" in row]
    lines = [[str(row["at"]), f"{row['cycles']:g}", str(row["units"])] for row in rows]
    return table([["M", "cycles", "element-wise lanes"], *lines])


def _widths() -> str:
    lines = [["kernel", "columns in a bank", "us", "columns", "us", "ratio"]]
    for row in record("behaviour")["rows"]:
        if row.get("unit") == "us":
            kernel = row["target"].split(", ")[1]
            pairs = (row["from"], f"{row['before']:.1f}", row["to"], f"{row['after']:.1f}")
            lines.append([kernel, *map(str, pairs), f"{row['ratio']:.2f}"])
    return table(lines)


BEHAVIOUR = Page(
    ROOT / "docs/behaviour.md",
    (_steps(), _pes(), _widths()),
    (f"`compiler.array.steps`, version {VERSION}.",),
    (
        "lost up to 25 % on small networks",
        "within 10 % that does most units a cycle does 1.1 to 17.1 % more, 6 % in the mean, "
        "10 % or more for 2 of them",
        "took 3.4 times as long once, and from 64 to 65 1.4 times",
    ),
)
