"""A task that does nothing, in a module that imports nothing: what is left is the job layer's."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["sleep"]


def sleep(given: dict[str, Any], inputs: Mapping[str, Path], folder: Path) -> float:
    """The seconds that it took, by its own clock."""
    begun = time.monotonic()
    time.sleep(given["seconds"])
    return time.monotonic() - begun
