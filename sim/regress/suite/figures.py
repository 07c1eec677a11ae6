"""Figures: finite numbers with names that can be printed, in JSON as its standard has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

__all__ = ["MOST_NAME", "are_figures", "check_figure", "plain_json", "printable"]

MOST_NAME = 300  # characters
_MOST = 1 << 63  # whole numbers that others read too


def plain_json(text: str) -> Any:
    """A JSON text whose numbers are all finite: ``NaN``, ``Infinity`` and ``1e999`` are none.

    Raises
    ------
    ValueError
        If it is none, or nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply: write flat tables") from error


def _refuse(text: str) -> float:
    raise ValueError(f"it holds {text[:40]}: figures are finite numbers, leave it out")


def _finite(text: str) -> float:
    return value if isfinite(value := float(text)) else _refuse(text)


def printable(name: str) -> bool:
    """Whether a name can stand in a line of any file and on any terminal."""
    return name.isprintable() and len(name) <= MOST_NAME


def check_figure(name: str, value: float) -> None:
    """Refuse what cannot be held against a baseline.

    Raises
    ------
    ValueError
        For NaN, infinity, a whole number beyond 64 bits, or a name that cannot be printed.
    """
    if not printable(name):
        raise ValueError(
            f"a figure is called {name[:40]!a}: use at most {MOST_NAME} printable characters"
        )
    if not _in_range(value):
        found = "a whole number beyond 64 bits" if isinstance(value, int) else str(value)
        raise ValueError(f"figure {name} is {found}: figures are finite numbers, leave it out")


def are_figures(given: Any) -> bool:
    """Whether this is a table of figures: numbers as :func:`check_figure`, and texts."""
    return isinstance(given, Mapping) and all(
        printable(name) and (isinstance(value, str) or _in_range(value))
        for name, value in given.items()
    )


def _in_range(value: object) -> bool:
    if isinstance(value, int):
        return -_MOST <= value < _MOST
    return isinstance(value, float) and isfinite(value)
