"""The clock that a design will reach and the time of its build: no point would be right.

Seeds of one design alone spread by some percent, and a flip-flop more moves all of them. So what
designs on devices of a kind have reached is kept as a logarithmic normal distribution: its median,
and a deviation that few samples widen as Student's distribution does. So is what a look-up table
took of a processor's time, which another processor and another placer change more than designs do.

Where enough designs were routed the median moves with what is known of a design before it is placed
(:func:`features`): logarithms, each with a weight that all kinds of devices share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import exp, isfinite, log, log2
from statistics import NormalDist

from ..board import Board

__all__ = ["TAIL", "Clocks", "Spread", "Times", "features", "kind_of"]

TAIL = 0.1  # below an interval of 80 %, and above
FARTHEST = 0.5  # that features move a logarithm: beyond that nothing was seen


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


@dataclass(frozen=True)
class Clocks(Spread):
    """MHz that designs have reached on devices of a kind.

    Parameters
    ----------
    weights : mapping of str to float
        Of the logarithm, by feature; none where features told no better.
    centre : mapping of str to float
        Their means over the designs that were seen.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    centre: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights.keys() != self.centre.keys() or not all(
            isfinite(n) for n in (*self.weights.values(), *self.centre.values())
        ):
            raise ValueError(f"weights of clocks {dict(self.weights)} about {dict(self.centre)}")

    def of(self, design: Mapping[str, float]) -> Clocks:
        """For a design with these :func:`features`; the same where none are known to matter."""
        more = sum(w * (design[name] - self.centre[name]) for name, w in self.weights.items())
        return replace(self, median=self.median * exp(min(max(more, -FARTHEST), FARTHEST)))

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


def features(
    luts: int, device: int, array: tuple[int, int], bits: tuple[int, int]
) -> dict[str, float]:
    """What is known of a design before it is placed, logarithms to the base of 2.

    Parameters
    ----------
    luts, device : int
        Look-up tables that it takes, and those that there are.
    array : (int, int)
        M and N: a bank's enable reaches M PEs, a sum has N products.
    bits : (int, int)
        Of weights and activations.
    """
    pes, lanes = array
    return {
        "cells": log2(luts),
        "fill": log2(luts / device),
        "PEs": log2(pes),
        "lanes": log2(lanes),
        "bits": log2(bits[0] * bits[1]),
    }
