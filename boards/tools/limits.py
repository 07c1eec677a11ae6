"""How long tools may take, and when one is taken for stuck; nothing is imported for it."""

from __future__ import annotations

__all__ = ["PATIENCE", "TIMEOUT"]

TIMEOUT = 7200.0  # seconds that one run of a tool may take: large arrays are placed for an hour
# iterations of the static placer without a smaller overlap: see boards.tools.frozen
PATIENCE = 300
