"""How long each of the ways of a screen unit is."""

from __future__ import annotations

from dataclasses import dataclass

from ..latency import RAM, tree_latency
from .design import ScreenDesign

__all__ = ["FAN_IN", "QUEUE", "ScreenLatencies", "screened_cycles"]

#: Operands added between two registers of a tree.
FAN_IN = 4
#: Cycles from a row's arrival at a queue to when it can leave.
QUEUE = 2


@dataclass(frozen=True)
class ScreenLatencies:
    """Cycles from a word's address to what its row gives.

    Parameters
    ----------
    design : ScreenDesign
    """

    design: ScreenDesign

    @property
    def block(self) -> int:
        """To the verdict on a block: memory, product, sum."""
        return RAM + 2

    @property
    def first(self) -> int:
        """To the verdict on a row: memory, digits, tree, sum of words, scale, exponent, bound."""
        return RAM + 1 + tree_latency(self.design.digits, FAN_IN) + 5

    @property
    def sum(self) -> int:
        """To a sum of the other lanes: memory, operand, product, tree, sum of words."""
        return RAM + 2 + tree_latency(self.design.lanes, FAN_IN) + 1

    @property
    def second(self) -> int:
        """To the verdict on a row: the sum, its shift, the bound."""
        return self.sum + 2

    @property
    def exact(self) -> int:
        """To the logit of a row: the sum of both passes, its shift, the bias."""
        return self.sum + 2

    @property
    def root(self) -> int:
        """Of one of the three norms."""
        return self.design.square_bits // 2 + 2

    @property
    def prepare(self) -> int:
        """From the last beat of a hidden state to the first block."""
        return self.design.beats + 5 + 3 * self.root


def screened_cycles(design: ScreenDesign) -> int:
    """Cycles from state to state of a unit that reads the first plane of every row.

    What it does depends on data: heads of many outputs take fewer, flat ones more. It is what is
    reckoned with before there are any; :class:`compiler.timing.screen_cycles.ScreenCycles` says it
    exactly for given states.
    """
    latencies = ScreenLatencies(design)
    planes = latencies.block + design.rows * design.groups + latencies.first
    last = latencies.second + latencies.exact + design.exact_cycles
    return design.beats + latencies.prepare + planes + last + 2 * design.top
