"""Line coverage of our Python by all that a run starts, simulators' own Python included."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csb_format.extras import install
from csb_format.files.replace import replace_file

if TYPE_CHECKING:
    from coverage import Coverage

__all__ = ["ROOMS", "combined", "measuring", "noting"]

ROOMS = ("csb_format", "compiler", "engine", "hdl", "sim")


def measuring(folder: Path) -> dict[str, str]:
    """Environment in which every Python process notes its lines in a folder.

    Parameters
    ----------
    folder : Path
        Of all processes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # sigterm: a case whose limit is over has run lines too
    settings = ["[run]", "parallel = true", "sigterm = true", f"data_file = {folder / 'lines'}"]
    settings += ["source =", *(f"    {source}" for source in _sources())]
    path = folder / "settings"
    replace_file(path, ("\n".join(settings) + "\n").encode())
    return {"COVERAGE_PROCESS_START": str(path)}


@contextmanager
def noting(folder: Path) -> Iterator[None]:
    """Note the lines that this process runs within the block, beside those of its children.

    Parameters
    ----------
    folder : Path
        As for :func:`measuring`.
    """
    coverage = _coverage()(data_file=str(folder / "lines"), data_suffix=True, source=_sources())
    coverage.start()
    try:
        yield
    finally:
        coverage.stop()
        folder.mkdir(parents=True, exist_ok=True)
        coverage.save()


def combined(folder: Path) -> dict[str, Any]:
    """What all processes together have run; their own notes go.

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
    coverage = _coverage()(data_file=str(folder / "all"), source=_sources())
    coverage.combine([str(path) for path in folder.glob("lines.*")])
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


def _coverage() -> type[Coverage]:
    try:
        from coverage import Coverage
    except ImportError as error:
        raise ValueError(f"line coverage needs coverage.py: {install('coverage')}") from error
    return Coverage


def _short(name: str) -> str:
    """The path in this repository."""
    root = Path(__file__).resolve().parents[3]
    path = Path(name).resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else name


def _sources() -> list[str]:
    root = Path(__file__).resolve().parents[3]
    return [str(root / room) for room in ROOMS]


def _ranges(lines: Iterable[int]) -> str:
    runs = groupby(enumerate(sorted(lines)), key=lambda pair: pair[1] - pair[0])
    spans = [[line for _, line in run] for _, run in runs]
    return ", ".join(f"{s[0]}-{s[-1]}" if len(s) > 1 else str(s[0]) for s in spans)
