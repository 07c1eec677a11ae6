"""Verilog as Icarus 11 simulates it rightly."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["for_icarus"]

# Icarus 11 starts `always_comb` by an event that all such blocks share. In designs of many
# modules it fires again later, and everything is evaluated for ever without time going on.
# `always @*` has no such event, but does not run at time 0 where its inputs never change;
# so each block reads a bit that changes once.
START = "sparseflow_time_0"
BLOCK = re.compile(r"\balways_comb\b")
HEAD = re.compile(r"^(module\s[^;]*;)", re.MULTILINE)


def for_icarus(sources: list[str], folder: Path) -> list[str]:
    """Copies of Verilog files in which combinational blocks start in another way.

    Parameters
    ----------
    sources : list of str
        Paths.
    folder : Path
        Where the copies go.

    Returns
    -------
    list of str
        Paths of the copies, in the same order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for source in sources:
        copy = folder / Path(source).name
        copy.write_text(_started(Path(source).read_text()))
        copies.append(str(copy))
    return copies


def _started(text: str) -> str:
    if not BLOCK.search(text):
        return text
    text = BLOCK.sub(f"always @* if ({START} || !{START})", text)
    bit = f"reg {START} = 1'b0; initial #0 {START} = 1'b1;"
    return HEAD.sub(rf"\1\n  {bit}", text)
