"""Cells of a placed design by the blocks of its hierarchy, which the names of cells still tell.

Synthesis names a cell after what it feeds, behind the path of the block that this is in:
``link.accelerator.core.pe0.result_TRELLIS_FF_Q_1``. Where a family's synthesis flattens the design
first, logic between two blocks counts for the one that it feeds.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..board import Board
from .open_tools import reported_cells

__all__ = ["Block", "block_of", "blocks", "signal_of"]

# Each is in the one before; what lies directly in one of them is a block.
SPINE = ("link", "accelerator", "core")
NUMBER = re.compile(r"(\$?\d+|_)*$")
TOP = "board"
ADDED = "$nextpnr"  # such as the ends of carry chains, by place and route
# of the ends of names that synthesis has made: types of cells, and numbers of copies
MADE = re.compile(r"_(?:SB_)?[A-Z][A-Z0-9]{2,}.*|\$.*")


@dataclass(frozen=True)
class Block:
    """One kind of block.

    Parameters
    ----------
    name : str
        Such as ``core.pe``, with what it lies in.
    instances : int
        How many there are.
    cells : dict
        Of all of them together, as results name cells.
    """

    name: str
    instances: int
    cells: dict[str, int]


def block_of(cell: str) -> tuple[str, str]:
    """The kind of block that a cell is in, and the path of this one.

    Parameters
    ----------
    cell : str
        Name in the flat netlist.

    Returns
    -------
    tuple of str
        As ``("core.pe", "link.accelerator.core.pe0")``.
    """
    if cell.startswith(ADDED):
        return ADDED[1:], ADDED
    path = _path(cell.split("."))
    depth = next((n for n, name in enumerate(SPINE) if path[n : n + 1] != [name]), len(SPINE))
    path = path[: depth + 1]
    kind = [NUMBER.sub("", name) for name in path[max(0, depth - 1) :]]
    return ".".join(kind) or TOP, ".".join(path)


def signal_of(cell: str) -> str:
    """What a cell feeds, by the name that it has in the Verilog, such as ``core.output.room``."""
    block, path = block_of(cell)
    return f"{block}.{MADE.sub('', cell[len(path) :].lstrip('.'))}".rstrip(".")


def _path(parts: list[str]) -> list[str]:
    """Names of instances: not that of the cell, nor of a memory, which has numbers behind."""
    ends = (n for n, part in enumerate(parts[1:]) if part[:1].isdigit())
    return parts[: next(ends, len(parts) - 1)]


def blocks(board: Board, routed: Path) -> tuple[Block, ...]:
    """Cells of every kind of block, the largest first.

    Parameters
    ----------
    board : Board
    routed : Path
        What nextpnr has written, as JSON.
    """
    (module,) = json.loads(routed.read_text("utf-8"))["modules"].values()
    return counted(board, ((name, cell["type"]) for name, cell in module["cells"].items()))


def counted(board: Board, cells: Iterable[tuple[str, str]]) -> tuple[Block, ...]:
    """The same of names and types of cells."""
    used: defaultdict[str, Counter[str]] = defaultdict(Counter)
    paths: defaultdict[str, set[str]] = defaultdict(set)
    for name, kind in cells:
        block, path = block_of(name)
        used[block][kind] += 1
        paths[block].add(path)
    found = [Block(name, len(paths[name]), reported_cells(board, used[name])) for name in used]
    some = [block for block in found if any(block.cells.values())]
    return tuple(sorted(some, key=lambda block: (-block.cells["lut"], block.name)))
