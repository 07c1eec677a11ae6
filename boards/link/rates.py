"""Rates of a serial line that a clock can divide down to."""

from __future__ import annotations

from csb_format.scales import DesignError

__all__ = ["LEAST_CLOCKS", "clocks_per_bit"]

LEAST_CLOCKS = 4
TOLERANCE = 0.02  # of the rate; the receiver bears 3 % from 8 clock cycles a bit on


def clocks_per_bit(clock_hz: float, baud: int) -> int:
    """Clock cycles that a bit lasts.

    Raises
    ------
    DesignError
        If the clock cannot divide down to this rate.
    """
    if clock_hz <= 0 or baud <= 0:
        raise DesignError(f"clock_hz = {clock_hz}, baud = {baud}: both must be positive")
    clocks = round(clock_hz / baud)
    if clocks < LEAST_CLOCKS:
        raise DesignError(
            f"baud = {baud}: at {clock_hz:g} Hz at most {int(clock_hz // LEAST_CLOCKS)}"
        )
    if abs(clock_hz / clocks / baud - 1) > TOLERANCE:
        raise DesignError(
            f"baud = {baud}: {clock_hz:g} Hz gives {round(clock_hz / clocks)}, more than "
            f"{TOLERANCE:.0%} off; take that or a lower rate"
        )
    return clocks
