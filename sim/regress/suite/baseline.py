"""Baselines: what figures were when somebody last said that they are right."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csb_format.files.replace import replace_file

from .figures import are_figures, plain_json, printable

__all__ = ["NEW", "Baseline", "BaselineError", "Change", "accepted", "compare", "read_baseline"]

Figures = dict[str, Any]
NEW = "(new)"  # in place of a figure: the whole case has no baseline


class BaselineError(ValueError):
    """A file that is no baseline."""


@dataclass(frozen=True)
class Change:
    """A figure that is not what it was.

    Parameters
    ----------
    case, figure : str
    was, now : number or str or None
        None where there is none.
    allowed : float
        Share by which it may differ.
    """

    case: str
    figure: str
    was: Any
    now: Any
    allowed: float = 0.0

    def __str__(self) -> str:
        return f"{self.case}: {self.text}"

    @property
    def text(self) -> str:
        """What changed, without the case."""
        if self.figure == NEW:
            return "not in the baseline; record it with --accept"
        text = f"{self.figure} {_short(self.was)} -> {_short(self.now)}"
        if _number(self.was) and _number(self.now) and self.was:
            text += f" ({100 * (self.now - self.was) / abs(self.was):+.2f} %"
            text += f", {100 * self.allowed:g} % allowed)" if self.allowed else ")"
        return text


@dataclass(frozen=True)
class Baseline:
    """Figures of every case.

    Parameters
    ----------
    cases : dict of str to dict
    """

    cases: dict[str, Figures]

    def gone(self, names: Collection[str]) -> tuple[str, ...]:
        """Cases that are in it, and not among those of the suite."""
        return tuple(sorted(set(self.cases) - set(names)))

    def write(self, path: Path, suite: str) -> None:
        """Write it as JSON, sorted, one figure a line: a diff of it can be read."""
        content = {"suite": suite, "cases": self.cases}
        text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
        replace_file(path, text.encode())


def read_baseline(path: Path) -> Baseline | None:
    """A baseline; None if the file is not there.

    Raises
    ------
    BaselineError
        If the file is something else.
    """
    if not path.exists():
        return None
    try:
        cases = plain_json(path.read_text(encoding="utf-8"))["cases"]
        sound = all(printable(name) and are_figures(found) for name, found in cases.items())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaselineError(
            f"{path} is no baseline: remove it, and record one with --accept"
        ) from error
    if not sound:
        raise BaselineError(
            f"{path}: figures are finite numbers and texts: remove it, and record one with --accept"
        )
    return Baseline(cases)


def compare(
    case: str, was: Figures, now: Figures, tolerance: Mapping[str, float]
) -> Iterator[Change]:
    """Figures of a case that left their baseline, those that came and those that went.

    Parameters
    ----------
    case : str
    was, now : dict
    tolerance : mapping of str to float
        Share by which a figure may differ, by its name or any part of it: ``cells`` is for
        ``cells.LUT4`` too.
    """
    for figure in sorted(was.keys() | now.keys()):
        before, after = was.get(figure), now.get(figure)
        names = [figure, *figure.split(".")[::-1]]
        share = next((tolerance[name] for name in names if name in tolerance), 0.0)
        if before != after and not _within(before, after, share):
            yield Change(case, figure, before, after, share)


def accepted(baseline: Baseline | None, found: Mapping[str, Figures], whole: bool) -> Baseline:
    """The baseline with the figures of a run.

    Parameters
    ----------
    baseline : Baseline, optional
    found : mapping of str to dict
        Of the cases whose figures are right now.
    whole : bool
        Whether these are all cases of the suite: then others are dropped.
    """
    kept = {} if whole or baseline is None else baseline.cases
    return Baseline({**kept, **found})


def _within(before: Any, after: Any, share: float) -> bool:
    if not (share and _number(before) and _number(after)):
        return False
    return bool(abs(after - before) <= share * abs(before))


def _number(value: Any) -> bool:
    return isinstance(value, int | float)


def _short(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value[:12] + "..." if isinstance(value, str) and len(value) > 16 else str(value)
