"""What each command reads, by the reader of its format."""

from __future__ import annotations

from pruning.tasks.data.adapters.classes import Labels
from pruning.tasks.data.adapters.csv_file import read_csv
from pruning.tasks.data.adapters.table import Columns, Table, recordings_of
from pruning.tasks.data.inputs import Inputs

from ..progress import say
from .options import CsvOptions, PerName, TableOptions
from .writing import check_adapting, write_parts

__all__ = ["from_csv"]

_MARKS = {"\\t": "\t", "tab": "\t"}


def from_csv(given: CsvOptions) -> None:
    """Tables of text."""
    _check_asked(given)
    like = check_adapting(given, given.files)
    columns = _columns(given, like)
    delimiter = _MARKS.get(given.delimiter, given.delimiter)
    tables = [read_csv(path, columns, delimiter, not given.no_header) for path in given.files]
    _write(tables, columns, given, like)


def _check_asked(given: TableOptions) -> None:
    if given.horizon and not (given.label or given.target):
        raise ValueError("--horizon without --label or --target: say what is to be predicted")
    if (given.classes or given.ignore) and not given.label:
        raise ValueError("--classes or --ignore without --label: say which column has the class")
    if given.split_by and given.split is None:
        raise ValueError("--split-by without --split: say which share is for validation")
    if given.horizon and given.per == PerName.sequence and given.window is None:
        raise ValueError("--horizon: say --per frame, or cut windows with --window")


def _columns(given: TableOptions, like: Inputs) -> Columns:
    return Columns(
        words(given.features), given.sequence, given.label, given.split_by, words(given.target),
        _labels(given, like), given.gather,
    )  # fmt: skip


def _labels(given: TableOptions, like: Inputs) -> Labels:
    names = words(given.classes)
    if names and like.label_names and names != like.label_names:
        raise ValueError(f"--classes and --like differ: {given.like} has its own, leave one out")
    return Labels(names or like.label_names, words(given.ignore))


def words(text: str) -> tuple[str, ...]:
    """The words of ``a,b,c``."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _write(tables: list[Table], columns: Columns, given: TableOptions, like: Inputs) -> None:
    found, told = recordings_of(tables, columns)
    for line in told:
        say(line)
    write_parts(found, given, like, given.per, given.horizon)
