"""The history: all runs of a suite, a line each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from csb_format.files.ownership import PlaceError
from csb_format.files.replace import replace_file

from ..jobs.verdicts import Run
from ..suite.figures import are_figures, plain_json, printable

__all__ = ["check_history", "last_seconds", "read_history", "with_run", "write_history"]


def with_run(path: Path, run: Run) -> list[dict[str, Any]]:
    """All runs of a history, oldest first, and one more; nothing is written.

    Parameters
    ----------
    path : Path
        One JSON object a line.
    run : Run
        Of repeated cases only the first repetition is in it, which has the suite's own seed.
    """
    line = {
        "started": run.started,
        "commit": run.commit,
        "seconds": run.seconds,
        "passed": len(run.results) - len(run.failed),
        "failed": len(run.failed),
        "cases": {
            r.case.name: {key: v for key, v in r.figures.items() if isinstance(v, int | float)}
            | {"seconds": r.times.get("seconds", 0.0), "passed": r.passed}
            for r in run.results
            if r.case.repetition == 1
        },
    }
    return [*read_history(path), line]


def write_history(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Write a history.

    Parameters
    ----------
    path : Path
    lines : sequence of dict
        All runs, oldest first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(each, allow_nan=False) + "\n" for each in lines)
    replace_file(path, text.encode())


def last_seconds(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What each case took when it ran last.

    Parameters
    ----------
    runs : sequence of dict
        Of a history, oldest first.
    """
    found: dict[str, float] = {}
    for run in runs:
        taken = {name: case.get("seconds", 0.0) for name, case in run["cases"].items()}
        found |= {name: s for name, s in taken.items() if isinstance(s, int | float) and s > 0}
    return found


def read_history(path: Path) -> Sequence[dict[str, Any]]:
    """All runs of a history; lines that are not one are left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [run for run in map(_run_of, lines) if run is not None]


def check_history(path: Path) -> None:
    """Refuse a file that holds anything but runs, as adding one would lose it.

    Raises
    ------
    PlaceError
        Naming the first line that is none.
    """
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        if _run_of(line) is None:
            raise PlaceError(
                f"{path}: line {number} is no run of a history, and would be lost: name another "
                "file, or remove the line"
            )


def _run_of(text: str) -> dict[str, Any] | None:
    try:
        line = plain_json(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and _is_run(line) else None


def _is_run(line: dict[str, Any]) -> bool:
    numbers = {name: line.get(name, 0) for name in ("started", "seconds", "passed", "failed")}
    cases = line.get("cases")
    commit = line.get("commit", "")
    return (
        are_figures(numbers)
        and isinstance(commit, str)
        and printable(commit)
        and not any(isinstance(number, str) for number in numbers.values())
        and isinstance(cases, dict)
        and all(printable(name) and are_figures(case) for name, case in cases.items())
    )
