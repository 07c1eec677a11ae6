"""Results as JSON that says how it came to be."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from csb_format.replace import replace_file
from sparseflow.figures import versions

__all__ = ["write_record"]


def write_record(path: Path, module: str, seed: int | list[int], rows: Any, **more: Any) -> None:
    """Write rows beside the command, the seed and the versions that made them."""
    command = " ".join(["python -m", module, *sys.argv[1:]])
    record = {"command": command, "seed": seed, "versions": versions(), "rows": rows} | more
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, (json.dumps(record, indent=2, sort_keys=True) + "\n").encode())
