"""Tables of text: a row is a frame; what is missing or no number is an error with its line."""

from __future__ import annotations

import csv
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from csb_format.files.claims import check_regular

from ..wrong_data import DataSetError
from .recordings import check_values
from .table import Coded, Columns, Table, places_of

__all__ = ["read_csv"]

# Characters of a line, and of one field: no row of numbers has more.
LONGEST_LINE = 1 << 20
_MARKS = ";\t|"


class _Coding:
    """Text as small numbers, in the order in which it comes."""

    def __init__(self) -> None:
        self.codes, self.names = array("q"), dict[str, int]()

    def add(self, text: str) -> None:
        self.codes.append(self.names.setdefault(text, len(self.names)))

    def coded(self) -> Coded:
        return Coded(np.array(self.codes, np.int64), list(self.names))


def read_csv(path: Path, said: Columns, delimiter: str = ",", header: bool = True) -> Table:
    """Read the columns that are needed.

    Parameters
    ----------
    path : Path
        UTF-8, a byte order mark is fine.
    said : Columns
    delimiter : str
        One character.
    header : bool
        Whether the first row has names; without, columns are called by numbers from 1.

    Raises
    ------
    DataSetError
        Naming line and column of what is missing, no number, NaN or infinite.
    """
    check_regular(path)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise DataSetError(f"--delimiter {delimiter!r}: give one character, such as ';'")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(_lines(file, path), delimiter=delimiter)
            return _Reading(path, said, rows).table(delimiter, header)
    except UnicodeDecodeError as error:
        raise DataSetError(
            f"{path}: byte {error.start} is no UTF-8: save the table as CSV in UTF-8"
        ) from error
    except csv.Error as error:
        raise DataSetError(f"{path}: {error}: is a quote not closed?") from error


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise DataSetError(
                f"{path}: line {number} has more than {LONGEST_LINE:,} characters: a row is one "
                "frame, not a whole sequence"
            )
        if "\0" in line:
            raise DataSetError(
                f"{path}: line {number} has a byte 0: save the table as CSV in UTF-8"
            )
        yield line


class _Reading:
    """One file while it is read."""

    def __init__(self, path: Path, said: Columns, rows: Iterator[list[str]]):
        self.path, self.said, self.rows = path, said, rows
        self.line = array("q")
        self.header: list[str] = []

    def table(self, delimiter: str, named: bool) -> Table:
        first = next((row for row in self.rows if row), None)
        if first is None:
            raise DataSetError(f"{self.path} is empty: give a row for each frame")
        self.header = [name.strip() for name in first] if named else _numbers(len(first))
        self._check_header(first, delimiter, named)
        places = places_of(self.header, self.said, str(self.path))
        numbers = {name: array("d") for name in ("features", "targets")}
        texts = {name: _Coding() for name in ("sequence", "label", "group") if places[name]}
        if not named:
            self._take(first, places, numbers, texts)
        for row in self.rows:
            if row:
                self._take(row, places, numbers, texts)
        if not self.line:
            raise DataSetError(f"{self.path} has a header and no row: give a row for each frame")
        return self._table(places, numbers, texts)

    def _check_header(self, first: Sequence[str], delimiter: str, named: bool) -> None:
        if len(first) == 1 and (mark := next((m for m in _MARKS if m in first[0]), "")):
            raise DataSetError(
                f"{self.path}: no {delimiter!r} in line {self._at}, but {mark!r}: "
                f"--delimiter {mark!r}"
            )
        if named and all(_is_number(name) for name in first):
            raise DataSetError(
                f"{self.path}: line {self._at} has numbers, no names of columns: --no-header"
            )
        if len(set(self.header)) < len(self.header):
            twice = Counter(self.header).most_common(1)[0][0]
            raise DataSetError(f"{self.path}: two columns are called {twice!r}: rename one")

    @property
    def _at(self) -> int:
        return int(getattr(self.rows, "line_num"))  # noqa: B009  csv has no public type

    def _take(
        self,
        row: Sequence[str],
        places: Mapping[str, Sequence[int]],
        numbers: Mapping[str, array[float]],
        texts: Mapping[str, _Coding],
    ) -> None:
        line = self._at
        if len(row) != len(self.header):
            raise DataSetError(
                f"{self.path}: line {line} has {len(row)} columns, the first {len(self.header)}"
            )
        self.line.append(line)
        check_values(len(self.line) * len(places["features"]))
        for name, values in numbers.items():
            try:
                found = [_number(row[n]) for n in places[name]]
            except ValueError:
                found = [math.nan]
            if not all(map(math.isfinite, found)):
                raise self._wrong(row, places[name], line)
            values.extend(found)
        for name, coding in texts.items():
            text = row[places[name][0]].strip()
            if not text:
                column = self.header[places[name][0]]
                raise DataSetError(
                    f"{self.path}: line {line} has nothing in column {column!r}: give a value, or "
                    "leave the row out"
                )
            coding.add(text)

    def _wrong(self, row: Sequence[str], places: Sequence[int], line: int) -> DataSetError:
        n = next(n for n in places if not (_is_number(row[n]) and math.isfinite(float(row[n]))))
        column, value = self.header[n], row[n].strip()
        what = f"{value[:40]!r}, no finite number" if value else "nothing"
        if _is_number(value.replace(",", ".", 1)):
            what += " (decimals are marked by a point)" * ("," in value)
        return DataSetError(
            f"{self.path}: line {line} has {what} in column {column!r}: fill missing values in, or "
            "leave the row or the column out"
        )

    def _table(
        self,
        places: Mapping[str, Sequence[int]],
        numbers: Mapping[str, array[float]],
        texts: Mapping[str, _Coding],
    ) -> Table:
        shape = {name: (len(self.line), len(places[name])) for name in numbers}
        features, targets = (np.array(v).reshape(shape[name]) for name, v in numbers.items())
        coded = {name: coding.coded() for name, coding in texts.items()}
        line = self.line
        return Table(
            self.path.name, features, targets, coded.get("sequence"), coded.get("label"),
            coded.get("group"), lambda row: f"line {line[row]}",
            tuple(self.header[n] for n in places["features"]),
        )  # fmt: skip


def _numbers(count: int) -> list[str]:
    return [str(n + 1) for n in range(count)]


def _number(text: str) -> float:
    if "_" in text:  # Python's 1_000: in a table it is a name, not a number
        raise ValueError(text)
    return float(text)


def _is_number(text: str) -> bool:
    try:
        _number(text)
    except ValueError:
        return False
    return True
