"""The clock that a design will reach: a distribution, since a point cannot be right.

Seeds of one design alone spread by some percent, and a flip-flop more moves all of them. So what
designs on devices of a kind have reached is kept as a logarithmic normal distribution: its median,
and a deviation that few samples widen as Student's distribution does.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, isfinite, log
from statistics import NormalDist

from ..board import Board

__all__ = ["TAIL", "Clocks", "kind_of"]

TAIL = 0.1  # below an interval of 80 %, and above


@dataclass(frozen=True)
class Clocks:
    """What designs have reached on devices of a kind.

    Parameters
    ----------
    median : float
        MHz.
    deviation : float
        Of the logarithm, for one design more.
    designs : int
        That were routed.

    Raises
    ------
    ValueError
        If these are no distribution.
    """

    median: float
    deviation: float
    designs: int

    def __post_init__(self) -> None:
        if not (0 < self.median < 1e5 and 0 < self.deviation < 10 and isfinite(self.designs)):
            raise ValueError(f"clocks about {self.median:g} MHz, deviation {self.deviation:g}")

    @property
    def interval(self) -> tuple[float, float]:
        """MHz that eight of ten designs lie between."""
        spread = self.deviation * NormalDist().inv_cdf(1 - TAIL)
        return self.median * exp(-spread), self.median * exp(spread)

    def met(self, megahertz: float) -> float:
        """How likely a clock is reached, 0..1."""
        return 1 - NormalDist(log(self.median), self.deviation).cdf(log(megahertz))


def kind_of(board: Board) -> str:
    """Devices that are as fast: of one kind of die and one speed grade."""
    return f"{board.part.partition('-')[0]} {board.speed}"
