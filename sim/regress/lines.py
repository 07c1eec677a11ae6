"""Line coverage of our Python by the cases' processes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

__all__ = ["ROOMS", "combined", "measuring"]

ROOMS = ("csb_format", "hdl", "sim")


def measuring(folder: Path) -> list[str]:
    """Command that runs a module and notes its lines in a folder; the module follows.

    Parameters
    ----------
    folder : Path
        Of all processes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = f"--data-file={folder / 'lines'}"
    source = f"--source={','.join(_sources())}"
    return [sys.executable, "-m", "coverage", "run", "--parallel-mode", data, source, "-m"]


def combined(folder: Path) -> dict[str, Any]:
    """What all processes together have run.

    Parameters
    ----------
    folder : Path
        That :func:`measuring` was given.

    Returns
    -------
    dict
        ``percent``, and ``files``: of each its percentage and the lines that nothing ran, as
        text such as ``12-14, 20``.
    """
    from coverage import Coverage

    coverage = Coverage(data_file=str(folder / "all"), source=_sources())
    coverage.combine([str(path) for path in folder.glob("lines.*")], keep=True)
    out = folder / "all.json"
    coverage.json_report(outfile=str(out))
    found = json.loads(out.read_text())
    files = {
        _short(name): {
            "percent": round(file["summary"]["percent_covered"], 1),
            "missing": _ranges(file["missing_lines"]),
        }
        for name, file in sorted(found["files"].items())
    }
    return {"percent": round(found["totals"]["percent_covered"], 1), "files": files}


def _short(name: str) -> str:
    """The path in this repository."""
    root = Path(__file__).resolve().parents[2]
    path = Path(name).resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else name


def _sources() -> list[str]:
    root = Path(__file__).resolve().parents[2]
    return [str(root / room) for room in ROOMS]


def _ranges(lines: Iterable[int]) -> str:
    runs = groupby(enumerate(sorted(lines)), key=lambda pair: pair[1] - pair[0])
    spans = [[line for _, line in run] for _, run in runs]
    return ", ".join(f"{s[0]}-{s[-1]}" if len(s) > 1 else str(s[0]) for s in spans)
