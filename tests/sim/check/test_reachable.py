"""Proofs in every cycle: what holds is proved, what fails is told with its cycle."""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from sim.check.proof import ProofError
from sim.check.reachable import prove_always


class Counts(wiring.Component):
    """From 0 to a last number and again, when it is told to; what is asserted is too weak alone."""

    def __init__(self, last: int, limit: int, *, never: bool = False):
        self._last, self._limit, self._never = last, limit, never
        super().__init__({"go": In(1)})

    def elaborate(self, platform: object) -> Module:
        m, count = Module(), Signal(4)
        with m.If(self.go):
            m.d.sync += count.eq(Mux(count == self._last, 0, count + 1))
        m.d.comb += Assert(count != self._limit)
        if self._never:
            m.d.comb += Assume(~self.go)
        return m


def test_what_no_induction_of_one_step_proves() -> None:
    prove_always(Counts(5, 9))
    prove_always(Counts(5, 3, never=True))


def test_the_cycle_of_a_failure() -> None:
    with pytest.raises(ProofError, match="1 of 1 assertions fail, the first 4 cycles after"):
        prove_always(Counts(5, 4))
