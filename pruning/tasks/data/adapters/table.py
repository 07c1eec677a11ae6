"""A table with a frame in each row: columns of numbers and of text, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..wrong_data import DataSetError
from .classes import Labels, classes_of
from .recordings import MOST_FEATURES, Recordings

__all__ = ["Coded", "Columns", "Table", "features_told", "places_of", "recordings_of"]

_SHOWN = 20  # names on a line
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """Which column is what, by its name or its number from 1.

    Parameters
    ----------
    features : tuple of str
        Numbers or ranges (``2-7``) too; empty for all that are nothing else.
    sequence, label, group : str
        Empty for none. Rows of one ``group`` are never divided.
    targets : tuple of str
    labels : Labels
    gather : bool
        Rows of one sequence need not be next to each other.
    """

    features: tuple[str, ...] = ()
    sequence: str = ""
    label: str = ""
    group: str = ""
    targets: tuple[str, ...] = ()
    labels: Labels = field(default_factory=Labels)
    gather: bool = False

    def __post_init__(self) -> None:
        if self.label and self.targets:
            raise DataSetError("--label and --target: a network predicts the one or the other")


@dataclass(frozen=True, eq=False)
class Coded:
    """A column of text.

    Parameters
    ----------
    codes : int64 array (rows,)
    names : list of str
        Of the codes, in the order of their first row.
    """

    codes: npt.NDArray[np.int64]
    names: list[str]


@dataclass(frozen=True, eq=False)
class Table:
    """The columns that are needed of a file.

    Parameters
    ----------
    name : str
        Of the file.
    features, targets : float64 arrays (rows, X), (rows, Y)
    sequence, label, group : Coded or None
    place : callable
        Where a row stands in the file, in words.
    feature_names : tuple of str
        Of the columns.
    """

    name: str
    features: FloatArray
    targets: FloatArray
    sequence: Coded | None
    label: Coded | None
    group: Coded | None
    place: Callable[[int], str]
    feature_names: tuple[str, ...]


def places_of(header: Sequence[str], said: Columns, where: str) -> dict[str, list[int]]:
    """The places of all columns: ``features``, ``targets``, ``sequence``, ``label``, ``group``.

    Raises
    ------
    DataSetError
        Naming a column that is not there, or that is said to be two things.
    """
    if len(header) > MOST_FEATURES + 8:
        raise DataSetError(
            f"{where} has {len(header):,} columns: at most {MOST_FEATURES:,} features; a row is "
            "one frame, not a whole sequence"
        )
    single = {name: getattr(said, name) for name in ("sequence", "label", "group")}
    found = {name: [_place(header, one, where)] if one else [] for name, one in single.items()}
    found["targets"] = [_place(header, one, where) for one in said.targets]
    found["features"] = [n for one in said.features for n in _span(header, one, where)]
    others = [n for places in found.values() for n in places]
    if not said.features:
        found["features"] = [n for n in range(len(header)) if n not in set(others)]
    _check_once(header, found, where)
    return found


def _check_once(header: Sequence[str], found: Mapping[str, list[int]], where: str) -> None:
    features = found["features"]
    if not features:
        raise DataSetError(f"{where} has no column left for features: name them, --features a,b")
    for one in ("sequence", "label"):
        if set(found[one]) & set(features):
            raise DataSetError(
                f"{where}: column {header[found[one][0]]!r} is a feature and the {one}"
            )
    if len(set(features)) != len(features):
        twice = next(n for n in features if features.count(n) > 1)
        raise DataSetError(f"{where}: column {header[twice]!r} is named twice among the features")


def _place(header: Sequence[str], one: str, where: str) -> int:
    if one in header:
        return header.index(one)
    if one.isdecimal() and len(one) < 9 and 1 <= int(one) <= len(header):
        return int(one) - 1
    names = ", ".join(header[:20]) + ", ..." * (len(header) > 20)
    raise DataSetError(f"{where} has no column {one!r}: it has {names}")


def _span(header: Sequence[str], one: str, where: str) -> list[int]:
    low, dash, high = one.partition("-")
    if one in header or not (dash and low.isdecimal() and high.isdecimal()):
        return [_place(header, one, where)]
    ends = _place(header, low, where), _place(header, high, where)
    return list(range(ends[0], ends[1] + 1))


def recordings_of(tables: Sequence[Table], said: Columns) -> tuple[Recordings, list[str]]:
    """Sequences of one or more tables; without a column for them, each table is one.

    Returns
    -------
    Recordings, list of str
        And what was done that nobody might expect, in words.

    Raises
    ------
    DataSetError
        If rows of a sequence are not together, or labels are none.
    """
    told = [features_told(tables[0].feature_names, chosen=bool(said.features))]
    classes, names = _classes(tables, said, told)
    parts = [_of_table(table, said, classes, len(tables) > 1) for table in tables]
    told += [line for _, lines in parts for line in lines]
    every = [one for found, _ in parts for one in found]
    sequences, answers, sources, called = zip(*every, strict=True)
    has = bool(said.label or said.targets)
    return Recordings(sequences, answers if has else (), sources, called, names), told


def features_told(names: Sequence[str], *, chosen: bool) -> str:
    """Which columns are features: where nobody has named them, a clock may be among them."""
    how = "" if chosen else ", all columns that are nothing else (--features names them)"
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"features: {', '.join(names[:_SHOWN])}{more}{how}"


def _classes(
    tables: Sequence[Table], said: Columns, told: list[str]
) -> tuple[dict[str, int], tuple[str, ...]]:
    if not said.label:
        return {}, ()
    found = list(dict.fromkeys(n for t in tables if t.label is not None for n in t.label.names))
    classes, names = classes_of(found, said.labels, told)
    return dict(zip(found, classes.tolist(), strict=True)), names


def _of_table(
    table: Table, said: Columns, classes: Mapping[str, int], several: bool
) -> tuple[list[tuple[FloatArray, npt.NDArray[Any], str, str]], list[str]]:
    rows, told = _rows(table, said.gather)
    answers: npt.NDArray[Any] = table.targets
    if table.label is not None:
        answers = np.array([classes[name] for name in table.label.names])[table.label.codes]
    found = []
    for name, chosen in rows:
        called = f"sequence {name!r} of {table.name}" if name else table.name
        source = f"{table.name}/{name}" if several or not name else name
        if table.group is not None:
            source = _group(table, chosen, called)
        found.append((table.features[chosen], answers[chosen], source, called))
    return found, told


def _rows(table: Table, gather: bool) -> tuple[list[tuple[str, npt.NDArray[np.int64]]], list[str]]:
    """The rows of each sequence, by its name, in the order of the file."""
    if table.sequence is None:
        return [("", np.arange(len(table.features)))], []
    codes, names = table.sequence.codes, table.sequence.names
    starts = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))
    again = len(starts) - len(names)
    if again and not gather:
        seen: set[int] = set()
        for row in starts.tolist():
            if codes[row] in seen:
                break
            seen.add(int(codes[row]))
        before = int((codes == codes[row]).argmax())
        raise DataSetError(
            f"{table.name}: sequence {names[codes[row]]!r} began at {table.place(before)} and "
            f"comes again at {table.place(row)}: sort the file by it, or say --gather to join "
            "its rows in the order of the file"
        )
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    told = [f"{table.name}: rows of {len(names)} sequences lay in {len(starts)} runs, joined"]
    return list(zip(names, parts, strict=True)), told * bool(again)


def _group(table: Table, rows: npt.NDArray[np.int64], called: str) -> str:
    assert table.group is not None
    found = np.unique(table.group.codes[rows])
    if len(found) > 1:
        one, other = (table.group.names[n] for n in found[:2])
        raise DataSetError(f"{called} is of two groups, {one!r} and {other!r}: divide it")
    return table.group.names[int(found[0])]
