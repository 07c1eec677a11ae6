"""Figures that a program writes, and results that an interrupted run has left: checked."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..suite.figures import are_figures, check_figure, plain_json

__all__ = ["MOST_BYTES", "MOST_FIGURES", "is_result", "read_figures"]

MOST_BYTES = 16 << 20  # of a file of figures
MOST_FIGURES = 10_000


def read_figures(path: Path) -> dict[str, float]:
    """All numbers of a JSON file's nested tables, by their path.

    Parameters
    ----------
    path : Path
        Where a program was told to write; whatever it has made there is not waited for.

    Raises
    ------
    OSError
        If there is no file, or a pipe, a device or a link to one.
    ValueError
        If it is no JSON, too large, or a figure is no finite number.
    """
    try:
        return dict(_checked(_numbers(plain_json(_content(path)))))
    except RecursionError as error:
        raise ValueError("its tables are nested too deeply: write a flat one") from error


def _content(path: Path) -> str:
    with open(path, "rb", opener=_unwaited) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(22, "is no file: write one there", str(path))
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{path} has more than {MOST_BYTES} bytes: write figures alone")
    return data.decode()


def _unwaited(path: str, flags: int) -> int:
    """Opens a pipe that nobody writes to at once, which otherwise takes for ever."""
    return os.open(path, flags | os.O_NONBLOCK)


def _checked(numbers: Iterator[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    for count, (name, value) in enumerate(numbers):
        if count == MOST_FIGURES:
            raise ValueError(f"it holds more than {MOST_FIGURES} figures: write fewer")
        check_figure(name, value)
        yield name, value


def _numbers(given: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(given, dict):
        for key, value in given.items():
            yield from _numbers(value, f"{name}.{key}" if name else str(key))
    elif isinstance(given, int | float) and not isinstance(given, bool):
        yield name, given


def is_result(given: Any) -> bool:
    """Whether this is what :func:`.case_task.run_case` gives; a damaged file is run again."""
    if not isinstance(given, dict) or "failure" not in given:
        return False
    texts = all(isinstance(given.get(name), str) for name in ("log", "work"))
    bins, reach, failure = given.get("bins"), given.get("reach"), given.get("failure")
    return (
        texts
        and isinstance(bins, list)
        and isinstance(reach, list)
        and all(isinstance(name, str) for name in [*bins, *reach])
        and are_figures(given.get("figures"))
        and are_figures(given.get("times"))
        and not any(isinstance(seconds, str) for seconds in given["times"].values())
        and (failure is None or _is_failure(failure))
    )


def _is_failure(given: Any) -> bool:
    return (
        isinstance(given, dict)
        and all(isinstance(given.get(name), str) for name in ("kind", "text"))
        and isinstance(given.get("details"), dict)
    )
