"""The clock that a design will reach and the time of its build: no point would be right.

Seeds of one design alone spread by some percent, and a flip-flop more moves all of them. So what
designs on devices of a kind have reached is kept as a logarithmic normal distribution: its median,
and a deviation that few samples widen as Student's distribution does. So is what a look-up table
took of a processor's time, which another processor and another placer change more than designs do.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, isfinite, log
from statistics import NormalDist

from ..board import Board

__all__ = ["TAIL", "Clocks", "Spread", "Times", "kind_of"]

TAIL = 0.1  # below an interval of 80 %, and above


@dataclass(frozen=True)
class Spread:
    """What designs came to.

    Parameters
    ----------
    median : float
    deviation : float
        Of the logarithm, for one design more.
    designs : int
        That were seen.

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
            name = type(self).__name__.lower()
            raise ValueError(f"{name} about {self.median:g}, deviation {self.deviation:g}")

    @property
    def interval(self) -> tuple[float, float]:
        """What eight of ten designs lie between."""
        spread = self.deviation * NormalDist().inv_cdf(1 - TAIL)
        return self.median * exp(-spread), self.median * exp(spread)


class Clocks(Spread):
    """MHz that designs have reached on devices of a kind."""

    def met(self, megahertz: float) -> float:
        """How likely a clock is reached, 0..1."""
        return 1 - NormalDist(log(self.median), self.deviation).cdf(log(megahertz))


class Times(Spread):
    """Seconds of a processor core that a look-up table took to become a bitstream, of a family."""

    def of(self, luts: int) -> tuple[float, float, float]:
        """Seconds of a build: median, and what eight of ten lie between."""
        low, high = self.interval
        return luts * self.median, luts * low, luts * high


def kind_of(board: Board) -> str:
    """Devices that are as fast: of one kind of die and one speed grade."""
    return f"{board.part.partition('-')[0]} {board.speed}"
