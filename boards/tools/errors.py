"""What goes wrong between a netlist and a bitstream."""

from __future__ import annotations

__all__ = ["BitstreamError", "Refused", "TooLong", "Unplaced"]


class BitstreamError(RuntimeError):
    """A design that does not become a bitstream; the message says what to change."""

    exit_status = 1


class Refused(BitstreamError):
    """A tool ended with an error of its own, which the message has."""


class TooLong(BitstreamError):
    """A tool that was ended at its limit of time."""


class Unplaced(BitstreamError):
    """A placer found no places, and another one or another seed may."""
