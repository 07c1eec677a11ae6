"""Bits of addresses."""

from __future__ import annotations

__all__ = ["bits_for"]


def bits_for(count: int) -> int:
    """Bits of an address of ``count`` places, at least 1."""
    return max(1, (count - 1).bit_length())
