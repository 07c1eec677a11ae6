"""Tables of Arrow: Parquet files and data sets of Hugging Face, flat or a sequence in each row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.extras import needs
from csb_format.files.claims import check_regular

from ..wrong_data import DataSetError, reason_of
from .classes import Labels, classes_of
from .recordings import Recordings, check_values
from .table import Coded, Columns, Table, features_told, places_of, recordings_of

__all__ = ["of_arrow", "read_hugging_face", "read_parquet"]

_HUB = "hub:"


def read_parquet(paths: Sequence[Path], said: Columns) -> tuple[Recordings, list[str]]:
    """Recordings of Parquet files.

    Raises
    ------
    DataSetError
        For a file that is none, columns of other things than numbers, or missing values.
    """
    with needs("tables"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    tables = []
    for path in paths:
        check_regular(path)
        try:
            file = pq.ParquetFile(path)
            where, names = str(path), list(file.schema_arrow.names)
            places = places_of(names, said, where)
            wanted = sorted({n for found in places.values() for n in found})
            check_values(file.metadata.num_rows * max(1, len(places["features"])))
            tables.append((where, path.name, file.read(columns=[names[n] for n in wanted])))
        except (pa.ArrowException, OSError) as error:
            raise DataSetError(f"{path} is no Parquet file ({reason_of(error)})") from error
    return of_arrow(tables, said)


def read_hugging_face(name: str, split: str, said: Columns) -> tuple[Recordings, list[str]]:
    """Recordings of a data set: a folder that ``save_to_disk`` wrote, or ``hub:OWNER/NAME``.

    Nothing is fetched but what ``hub:`` names, and no code of a data set is run.

    Raises
    ------
    DataSetError
        If there is no such data set, or no such part of it.
    """
    with needs("huggingface"):
        import datasets
    hub = name.startswith(_HUB)
    try:
        if hub:
            found = datasets.load_dataset(name.removeprefix(_HUB), split=split or None)
        elif Path(name).is_dir():
            found = datasets.load_from_disk(name)
        else:
            raise DataSetError(
                f"{name} is no folder that save_to_disk wrote; hub:{name} fetches it from the hub"
            )
    except DataSetError:
        raise
    except Exception as error:  # of the library, of the network, of a damaged folder
        text = " ".join(str(error).split())[:200]
        raise DataSetError(f"{name}: no data set can be read ({text})") from error
    if isinstance(found, dict):
        if split not in found:
            raise DataSetError(f"{name} has the parts {', '.join(found)}: say --part")
        found = found[split]
    return _of_set(name, found, said)


def _of_set(name: str, found: Any, said: Columns) -> tuple[Recordings, list[str]]:
    names = list(found.column_names)
    places = places_of(names, said, name)
    wanted = [names[n] for n in sorted({n for each in places.values() for n in each})]
    label = names[places["label"][0]] if places["label"] else ""
    kind = found.features.get(label)
    classes = tuple(getattr(getattr(kind, "feature", kind), "names", None) or ())
    table = found.select_columns(wanted).with_format("arrow")[:]
    if classes and not said.labels.names:
        table = _named(table, label, classes)
        ignore = said.labels.ignore
        said = _with(said, Labels(classes, ignore))
    return of_arrow([(name, Path(name).name, table)], said)


def _with(said: Columns, labels: Labels) -> Columns:
    from dataclasses import replace

    return replace(said, labels=labels)


def _named(table: Any, label: str, classes: tuple[str, ...]) -> Any:
    """The names of classes instead of their numbers."""
    import pyarrow as pa

    at = table.column_names.index(label)
    column = table.column(label)
    if not pa.types.is_integer(column.type):
        return table  # a list for each frame: numbers stay
    numbers = column.to_pylist()
    texts = [classes[n] if n is not None and 0 <= n < len(classes) else None for n in numbers]
    return table.set_column(at, label, pa.array(texts, pa.string()))


def of_arrow(tables: Sequence[tuple[str, str, Any]], said: Columns) -> tuple[Recordings, list[str]]:
    """Recordings of tables, each with where it is from and its short name."""
    nested = [_is_nested(where, table, said) for where, _, table in tables]
    if len(set(nested)) > 1:
        raise DataSetError("some tables have a frame in each row, some a sequence: give one kind")
    if nested[0]:
        return _sequences(tables, said)
    flat = [_flat(where, name, table, said) for where, name, table in tables]
    return recordings_of(flat, said)


def _is_nested(where: str, table: Any, said: Columns) -> bool:
    names = table.column_names
    features = [names[n] for n in places_of(names, said, where)["features"]]
    lists = [name for name in features if _is_list(table.column(name).type)]
    if lists and len(lists) < len(features):
        other = next(name for name in features if name not in lists)
        raise DataSetError(
            f"{where}: column {lists[0]!r} has a list in each row, {other!r} has none: name the "
            "features, --features"
        )
    return bool(lists)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _flat(where: str, name: str, table: Any, said: Columns) -> Table:
    names = table.column_names
    places = places_of(names, said, where)
    if not table.num_rows:
        raise DataSetError(f"{where} has no row")
    features, targets = (
        np.stack([_numbers(where, table, names[n]) for n in places[key]], axis=1)
        if places[key] else np.zeros((table.num_rows, 0))
        for key in ("features", "targets")
    )  # fmt: skip
    coded = {
        key: _coded(where, table, names[places[key][0]]) if places[key] else None
        for key in ("sequence", "label", "group")
    }
    return Table(
        name, features, targets, coded["sequence"], coded["label"], coded["group"],
        lambda row: f"row {row + 1}", tuple(names[n] for n in places["features"]),
    )  # fmt: skip


def _column(where: str, table: Any, name: str) -> Any:
    found = table.column(name).combine_chunks()
    if found.null_count:
        row = int(np.flatnonzero(found.is_null().to_numpy(zero_copy_only=False))[0]) + 1
        raise DataSetError(
            f"{where}: row {row} has nothing in column {name!r}: fill missing values in, or leave "
            "the row or the column out"
        )
    return found


def _numbers(where: str, table: Any, name: str) -> npt.NDArray[np.float64]:
    return _as_numbers(where, name, _column(where, table, name))


def _as_numbers(where: str, name: str, found: Any) -> npt.NDArray[np.float64]:
    import pyarrow as pa

    kind, types = found.type, pa.types
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
            or types.is_decimal(kind)):  # fmt: skip
        raise DataSetError(
            f"{where}: column {name!r} holds {kind}, no numbers: name the features, --features"
        )
    if found.null_count:
        raise DataSetError(f"{where}: column {name!r} has a list with nothing in one place")
    values = found.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0]) + 1
        raise DataSetError(f"{where}: value {row} of column {name!r} is NaN or infinite")
    return np.asarray(values, np.float64)


def _coded(where: str, table: Any, name: str) -> Coded:
    import pyarrow as pa

    found = _column(where, table, name)
    try:
        text = found.cast(pa.string())
    except pa.ArrowException as error:
        raise DataSetError(f"{where}: column {name!r} holds {found.type}, no text") from error
    encoded = text.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return Coded(codes, [str(one) for one in encoded.dictionary.to_pylist()])


def _parts(where: str, name: str, found: Any) -> tuple[npt.NDArray[np.int64], Any]:
    """Where each row's list begins and ends, and the values of all."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(found.type):
        found = found.cast(pa.list_(found.type.value_type))
    ends = found.offsets.to_numpy().astype(np.int64)
    return ends - ends[0], found.values[ends[0] : ends[-1]] if len(ends) else found.values


def _lists(where: str, table: Any, name: str) -> list[npt.NDArray[np.float64]]:
    """Rows (T, F) or (T, 1) of a column of lists."""
    ends, values = _parts(where, name, _column(where, table, name))
    width = 1
    if _is_list(values.type):
        if values.null_count:
            raise DataSetError(f"{where}: column {name!r} has a list with nothing in one place")
        inner, values = _parts(where, name, values)
        widths = np.diff(inner)
        width = int(widths[0]) if len(widths) else 1
        if (widths != width).any() or not width:
            raise DataSetError(f"{where}: column {name!r} has frames of different widths")
    flat = _as_numbers(where, name, values).reshape(-1, width)
    check_values(flat.size)
    return np.split(flat, ends[1:-1])


def _sequences(
    tables: Sequence[tuple[str, str, Any]], said: Columns
) -> tuple[Recordings, list[str]]:
    """A sequence in each row."""
    parts = [_rows_of(where, name, table, said) for where, name, table in tables]
    found: dict[str, list[Any]] = {key: [] for key in parts[0]}
    for part in parts:
        for key, values in part.items():
            found[key] += values
    names: tuple[str, ...] = ()
    where, _, first = tables[0]
    features = [
        first.column_names[n] for n in places_of(first.column_names, said, where)["features"]
    ]
    told = [features_told(features, chosen=bool(said.features))]
    answers = found["answers"]
    if said.label and answers:
        texts = list(dict.fromkeys(one for row in answers for one in row))
        classes, names = classes_of(texts, said.labels, told)
        of = dict(zip(texts, classes.tolist(), strict=True))
        answers = [np.array([of[one] for one in row], np.int64) for row in answers]
    answers = [
        np.broadcast_to(a, (len(s), *a.shape[1:])) if len(a) == 1 else a
        for a, s in zip(answers, found["sequences"], strict=bool(answers))
    ]
    for answer, sequence, called in zip(
        answers, found["sequences"], found["called"], strict=bool(answers)
    ):
        if len(answer) != len(sequence):
            raise DataSetError(f"{called}: {len(answer)} answers and {len(sequence)} frames")
    sequences, sources, called_ = (tuple(found[k]) for k in ("sequences", "sources", "called"))
    return Recordings(sequences, tuple(answers), sources, called_, names), told


def _rows_of(where: str, name: str, table: Any, said: Columns) -> dict[str, list[Any]]:
    names = table.column_names
    places = places_of(names, said, where)
    columns = [_lists(where, table, names[n]) for n in places["features"]]
    called = [f"row {n + 1} of {name}" for n in range(table.num_rows)]
    if places["sequence"]:
        coded = _coded(where, table, names[places["sequence"][0]])
        called = [f"sequence {coded.names[n]!r} of {name}" for n in coded.codes]
    sources = called
    if places["group"]:
        coded = _coded(where, table, names[places["group"][0]])
        sources = [coded.names[n] for n in coded.codes]
    sequences = []
    for row, parts in enumerate(zip(*columns, strict=True)):
        if len({len(part) for part in parts}) > 1 or not len(parts[0]):
            raise DataSetError(f"{where}: row {row + 1} has features of different lengths, or none")
        sequences.append(np.concatenate(parts, axis=1))
    return {
        "sequences": sequences,
        "answers": _row_answers(where, table, [names[n] for n in places["targets"]],
                                [names[n] for n in places["label"]]),
        "sources": list(sources),
        "called": called,
    }  # fmt: skip


def _row_answers(where: str, table: Any, targets: Sequence[str], label: Sequence[str]) -> list[Any]:
    """Of each row: texts of labels, or numbers (1, Y) or (T, Y)."""
    if label:
        if not _is_list(table.column(label[0]).type):
            coded = _coded(where, table, label[0])
            return [[coded.names[n]] for n in coded.codes]
        rows = _lists(where, table, label[0])
        return [[f"{value:g}" for value in row.ravel()] for row in rows]
    if not targets:
        return []
    columns = [
        _lists(where, table, name)
        if _is_list(table.column(name).type)
        else list(_numbers(where, table, name).reshape(-1, 1, 1))
        for name in targets
    ]
    return [np.concatenate(parts, axis=1) for parts in zip(*columns, strict=True)]
