"""The numbers of ``engine/c/run/tanh_table.h``: tanh in 62 fraction bits, for any width.

Rounded to a width they are the entries of :class:`csb_format.cells.piecewise.Piecewise`; the C
library has no floating point, so that it computes the same everywhere.
"""

from __future__ import annotations

import math

import numpy as np

from csb_format.cells.lstm import CellArithmetic
from csb_format.cells.piecewise import DOMAIN_BITS

__all__ = ["FRACTION", "header"]

FRACTION = 62
WIDTHS = (6, 7, 8)  # of activations, one for each number of segments


def header() -> str:
    """The C header as it is committed."""
    lines = [line for bits in WIDTHS for line in _lines(bits)]
    return "\n".join(
        [
            "/* Base and rise of every segment of tanh on [0, 8): 64, 128, 256 segments.",
            " * Made by `python -c 'from engine.native.table import header; print(header(), "
            'end="")\'`. */',
            "#ifndef SPARSEFLOW_TANH_TABLE_H",
            "#define SPARSEFLOW_TANH_TABLE_H",
            "",
            "#include <stdint.h>",
            "",
            f"#define TANH_FRACTION {FRACTION}",
            "",
            f"static const int64_t TANH_TABLE[{len(lines)}][2] = {{",
            *lines,
            "};",
            "",
            "#endif",
            "",
        ]
    )


def _lines(bits: int) -> list[str]:
    table = CellArithmetic(bits).piecewise
    edges = np.linspace(0, 2.0**DOMAIN_BITS, (1 << table.index_bits) + 1)
    low, high = np.tanh(edges[:-1]), np.tanh(edges[1:])
    base, rise = low + table.chord_error(edges) / 2, high - low
    numbers = ([round(math.ldexp(v, FRACTION)) for v in of.tolist()] for of in (base, rise))
    return [f"    {{{a}, {b}}}," for a, b in zip(*numbers, strict=True)]
