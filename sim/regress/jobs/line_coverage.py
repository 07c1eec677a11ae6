"""Line coverage of our Python by all that a run starts, simulators' own Python included."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csb_format.extras import install
from csb_format.files.replace import replace_file

if TYPE_CHECKING:
    from coverage import Coverage

__all__ = ["ROOMS", "as_lines", "combined", "from_the_start", "is_measured", "measuring", "noting"]

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("csb_format", "compiler", "engine", "hdl", "sim")
# A command line from its first line on: nothing of ours is imported yet, nothing is on disk.
_MEASURED = """
import json, sys
import coverage
sys.path[:] = json.loads(sys.argv.pop(1))
coverage.Coverage(data_file=None, config_file=False, source=json.loads(sys.argv.pop(1))).start()
from sparseflow.commands.cli import main
main()
"""
TOGETHER = "all"  # notes of all processes, for a merger
_writing = threading.Lock()


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
    with _writing:  # threads that each start a case
        replace_file(path, ("\n".join(settings) + "\n").encode())
    return {"COVERAGE_PROCESS_START": str(path)}


def from_the_start() -> list[str]:
    """Words of a command that runs this process's command line anew, its first lines noted too.

    What Python imports and reads before a measurement begins would be told as never run.
    """
    _coverage()
    paths = json.dumps(sys.path, allow_nan=False)
    sources = json.dumps(_sources(), allow_nan=False)
    return [sys.executable, "-P", "-c", _MEASURED, paths, sources, *sys.argv[1:]]


def is_measured() -> bool:
    """Whether the lines of this process are noted."""
    return _coverage().current() is not None


@contextmanager
def noting(folder: Path) -> Iterator[None]:
    """Note the lines that this process has run when the block ends, beside those of its children.

    They are noted from the start of a process that :func:`from_the_start` began, else within the
    block.

    Parameters
    ----------
    folder : Path
        As for :func:`measuring`.
    """
    coverage = _coverage().current()
    own = coverage is None
    if coverage is None:
        coverage = _coverage()(data_file=None, config_file=False, source=_sources())
        coverage.start()
    try:
        yield
    finally:
        if own:
            coverage.stop()
        _save(coverage, folder)


def _save(coverage: Coverage, folder: Path) -> None:
    from coverage import CoverageData

    folder.mkdir(parents=True, exist_ok=True)
    kept = CoverageData(basename=str(folder / "lines"), suffix=f"runner.{os.getpid()}")
    kept.update(coverage.get_data())
    kept.write()
    kept.close()


def copied(folders: Sequence[Path], folder: Path) -> None:
    """Bring notes of other machines here, to be combined again.

    Parameters
    ----------
    folders : sequence of Path
        In which :func:`combined` was at work.
    folder : Path
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, other in enumerate(folders):
        shutil.copyfile(other / TOGETHER, folder / f"lines.shard{number}")


def combined(folder: Path) -> dict[str, Any]:
    """What all processes together have run; their own notes go.

    Parameters
    ----------
    folder : Path
        That :func:`measuring` was given; with notes of other machines, wherever our rooms lie
        there.

    Returns
    -------
    dict
        ``percent``, and ``files``: of each its percentage and the lines that nothing ran, as
        text such as ``12-14, 20``.
    """
    coverage = _coverage()(
        data_file=str(folder / TOGETHER), config_file=False, source=_sources(), omit=[__file__]
    )
    coverage.set_option("paths", {room: [str(ROOT / room), f"*/{room}"] for room in ROOMS})
    coverage.combine([str(path) for path in folder.glob("lines.*")])
    coverage.save()
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
    path = Path(name).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else name


def _sources() -> list[str]:
    return [str(ROOT / room) for room in ROOMS]


def _ranges(lines: Iterable[int]) -> str:
    runs = groupby(enumerate(sorted(lines)), key=lambda pair: pair[1] - pair[0])
    spans = [[line for _, line in run] for _, run in runs]
    return ", ".join(f"{s[0]}-{s[-1]}" if len(s) > 1 else str(s[0]) for s in spans)


def as_lines(found: dict[str, Any]) -> list[str]:
    """Lines of Markdown; lines that nothing ran by their numbers.

    Parameters
    ----------
    found : dict
        Of :func:`combined`; empty for none.
    """
    if not found:
        return []
    part = {name: file for name, file in found["files"].items() if file["missing"]}
    whole = len(found["files"]) - len(part)
    lines = ["", f"Lines of Python run: {found['percent']} %"]
    lines[-1] += f"; {whole} of {len(found['files'])} files completely"
    lines += ["", "<details><summary>lines that nothing ran</summary>", ""]
    lines += ["| file | % | lines |", "|---|---:|---|"]
    for name, file in part.items():
        lines.append(f"| {name} | {file['percent']} | {file['missing']} |")
    return [*lines, "", "</details>"]
