"""How long tools may take, and when one is taken for stuck; nothing is imported for it."""

from __future__ import annotations

__all__ = ["PATIENCE", "TIMEOUT"]

TIMEOUT = 7200.0  # seconds that one run of a tool may take: large arrays are placed for an hour
# Iterations of the static placer without a smaller overlap (boards.tools.frozen). One that gets on
# needs 80 at the start and 25 later; 300 are a minute for 10,000 look-up tables.
PATIENCE = 300
