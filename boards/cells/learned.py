"""What counted designs have taught beside the structural count, as coefficients of its parts.

A structural count is a sum of parts, each a form times a coefficient. What synthesis makes of a
part is not quite that, and some small parts have no form at all. So a design's count is predicted
as the structural one times ``1 + sum of weight x share``: how much of the count each part is, and
how much more or less of it there really is. Nothing but additions and products of a table that
lies beside this file as JSON; ``sparseflow predict build`` makes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from math import isfinite
from typing import Any

from compiler.array.design import Design, bits_for

from ..board import Board
from ..memories import working_pes
from .clocks import Clocks, Times, kind_of
from .structure import Count, counted
from .usage import Usage

__all__ = [
    "SHIPPED",
    "TARGETS",
    "Interval",
    "Learned",
    "LearnedError",
    "Residual",
    "covered",
    "parse",
    "shares",
    "shipped",
]

SHIPPED = "learned.json"  # in ``data``
TARGETS = {"lut": "luts", "ff": "registers"}
"""Counts that are learned, and what ``Usage`` calls them; others are structural."""
BOUNDS = (0.6, 1.6)  # of a ratio: beyond them a table is no good


class LearnedError(ValueError):
    """A file that is no table of what was learned."""


@dataclass(frozen=True)
class Residual:
    """What is learned of one count on one family.

    Parameters
    ----------
    weights : mapping of str to float
        By part: how much more of it there is than the structural count says.
    low, high : float
        Of counts over predictions: one design in ten lay below, one above, each predicted by what
        the others had taught.
    samples : int
        Designs it was learned from.
    multipliers : (int, int)
        Fewest and most of their arrays; others keep their structural count.
    """

    weights: Mapping[str, float]
    low: float
    high: float
    samples: int
    multipliers: tuple[int, int]

    def ratio(self, parts: Mapping[str, float]) -> float:
        """Of the count to the structural one."""
        more = sum(weight * parts.get(name, 0.0) for name, weight in self.weights.items())
        return min(max(1 + more, BOUNDS[0]), BOUNDS[1])


@dataclass(frozen=True)
class Interval:
    """A predicted count.

    Parameters
    ----------
    median, low, high : int
        Eight of ten designs lie between the latter two.
    formula : int
        What the structural count says.
    samples : int
        Designs it was learned from.
    """

    median: int
    low: int
    high: int
    formula: int
    samples: int


@dataclass(frozen=True)
class Learned:
    """What counted and routed designs have taught.

    Parameters
    ----------
    families : mapping of str to mapping of str to Residual
        By family, then by count.
    clocks : mapping of str to Clocks
        By :func:`~boards.cells.clocks.kind_of` a board's device.
    times : mapping of str to Times
        Of builds, by family.
    """

    families: Mapping[str, Mapping[str, Residual]] = field(default_factory=dict)
    clocks: Mapping[str, Clocks] = field(default_factory=dict)
    times: Mapping[str, Times] = field(default_factory=dict)

    def likely(self, design: Design, board: Board) -> Usage:
        """Cells: learned where designs like it were counted, else structural."""
        count = counted(design, board)
        more = {
            TARGETS[name]: round(getattr(count.usage, TARGETS[name]) * ratio)
            for name, (_, ratio) in self._ratios(design, board, count).items()
        }
        return replace(count.usage, **more) if more else count.usage

    def expected(self, design: Design, board: Board) -> dict[str, Interval]:
        """Learned counts, each with what eight of ten designs lie between; empty without any."""
        count, found = counted(design, board), {}
        for name, (residual, ratio) in self._ratios(design, board, count).items():
            formula = getattr(count.usage, TARGETS[name])
            median = formula * ratio
            found[name] = Interval(
                round(median), round(median * residual.low), round(median * residual.high), formula,
                residual.samples,
            )  # fmt: skip
        return found

    def clock(self, board: Board) -> Clocks | None:
        """What designs on such a device have reached; None if none was routed."""
        return self.clocks.get(kind_of(board))

    def _ratios(
        self, design: Design, board: Board, count: Count
    ) -> dict[str, tuple[Residual, float]]:
        residuals = self.families.get(board.family.name)
        if not residuals or not covered(design):
            return {}
        return {
            name: (residual, residual.ratio(shares(design, count, name)))
            for name, residual in residuals.items()
            if residual.multipliers[0] <= design.multipliers <= residual.multipliers[1]
        }


def parse(text: str, name: str = SHIPPED) -> Learned:
    """A table as ``sparseflow predict build`` writes it.

    Raises
    ------
    LearnedError
        Naming what of it is none.
    """
    try:
        found = json.loads(text)
        families = {
            family: {name: _residual(counts[name]) for name in TARGETS if name in counts}
            for family, counts in found["families"].items()
        }
        clocks = {kind: Clocks(**one) for kind, one in found["clocks"].items()}
        times = {family: Times(**one) for family, one in found.get("times", {}).items()}
        return Learned(families, clocks, times)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LearnedError(
            f"{name}: nothing learned ({type(error).__name__}: {error}); give what `predict build` "
            "wrote"
        ) from None


def _residual(one: Mapping[str, Any]) -> Residual:
    weights = {str(name): float(weight) for name, weight in one["weights"].items()}
    least, most = map(int, one["multipliers"])
    low, high = float(one["low"]), float(one["high"])
    if not 0 < low <= high or not all(isfinite(n) for n in (high, *weights.values())):
        raise ValueError(f"an interval of {low:g} to {high:g}")
    return Residual(weights, low, high, int(one["samples"]), (least, most))


@cache
def shipped() -> Learned:
    """What comes with the package."""
    file = resources.files("boards").joinpath("data").joinpath(SHIPPED)
    return parse(file.read_text("utf-8")) if file.is_file() else Learned()


def covered(design: Design) -> bool:
    """Whether designs like it were counted; what has other parts keeps its structural count."""
    others = design.checked, design.train, design.streamed, design.screen, design.by_gate
    plain = design.contexts == 1 and not design.wider and not design.linear and not design.indexed
    return plain and (design.compact or design.pieces == 1) and not any(others)


def shares(design: Design, count: Count, target: str) -> dict[str, float]:
    """How much of a structural count each part is; of small things without a form, their bits.

    Parameters
    ----------
    design : Design
    count : Count
        Of the design on its board.
    target : str
        Of :data:`TARGETS`.
    """
    parts = count.sites if target == "lut" else count.registers
    total = sum(parts.values())
    pes = working_pes(design)
    multipliers = pes * design.lanes
    bits = {
        "addresses": multipliers * bits_for(design.vector_depth),
        "indices": multipliers * design.index_bits,
        "fetches": pes * bits_for(design.matrix_depth),
        "ports": multipliers * design.act_bits * (design.write_ports - 1),
        "gates": design.units * design.act_bits * (design.passes - 1),
        "projected": design.projectors * design.acc_bits,
        "further lanes": (design.units - 1) * design.act_bits,
        "shifts": design.units * design.acc_bits,
        "banks": multipliers * design.act_bits,
        "results": pes * design.acc_bits,
    }
    return {name: n / total for name, n in {**bits, **parts}.items()}
