"""Parquet: a frame in each row, or a sequence in each row as lists; and data sets on a disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pruning.tasks.data.adapters.arrow import read_hugging_face, read_parquet
from pruning.tasks.data.adapters.recordings import Recordings
from pruning.tasks.data.adapters.table import Columns
from pruning.tasks.data.wrong_data import DataSetError

FLAT = {"id": ["a", "a", "b"], "x": [1, 2, 3], "y": [0.5, 1.5, 2.5], "kind": ["u", "u", "v"]}
LISTS = [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]]
LABEL = Columns(label="label")


def read(folder: Path, columns: dict[str, Any], said: Columns) -> Recordings:
    pq.write_table(pa.table(columns), folder / "t.parquet")
    return read_parquet([folder / "t.parquet"], said)[0]


def test_a_frame_in_each_row(tmp_path: Path) -> None:
    found = read(tmp_path, FLAT, Columns(sequence="id", label="kind"))
    assert [s.tolist() for s in found.sequences] == [[[1, 0.5], [2, 1.5]], [[3, 2.5]]]
    assert ([a.tolist() for a in found.answers], found.label_names) == ([[0, 0], [1]], ("u", "v"))
    two = pa.chunked_array([pa.array([1, 2]), pa.array([3])])
    assert read(tmp_path, FLAT | {"x": two}, Columns(sequence="id", label="kind")).frames == 3


@pytest.mark.parametrize(
    "columns",
    [
        {"x": LISTS},
        {"x": pa.array(LISTS, pa.list_(pa.list_(pa.float32(), 2)))},
        {"x": pa.array(LISTS, pa.large_list(pa.list_(pa.float64())))},
        {"p": [[1.0, 3.0], [5.0]], "q": [[2, 4], [6]]},
        {"x": pa.array([[[0.0, 0.0]], *LISTS], pa.list_(pa.list_(pa.float32()))).slice(1)},
    ],
)
@pytest.mark.parametrize("labels", [[0, 1], [[0, 0], [1]]])
def test_a_sequence_in_each_row(tmp_path: Path, columns: dict[str, Any], labels: list[Any]) -> None:
    found = read(tmp_path, columns | {"label": labels}, LABEL)
    assert [s.tolist() for s in found.sequences] == LISTS
    assert [a.tolist() for a in found.answers] == [[0, 0], [1]]


def test_numbers_to_be_predicted(tmp_path: Path) -> None:
    for numbers, wanted in ([0.5, 1.5], [[0.5], [0.5]]), ([[0.5, 7.0], [1.5]], [[0.5], [7.0]]):
        found = read(tmp_path, {"x": LISTS, "t": numbers}, Columns(targets=("t",)))
        assert found.answers[0].tolist() == wanted


SEQUENCES = {"x": LISTS, "label": [0, 1]}
WRONG: list[tuple[dict[str, Any], Columns, str]] = [
    (FLAT | {"x": [1, None, 3]}, Columns(label="kind", sequence="id"), "row 2 has nothing in"),
    (FLAT | {"y": [1, 2, np.nan]}, Columns(label="kind", sequence="id"), "value 3 of column 'y'"),
    (FLAT, Columns(sequence="id"), "column 'kind' holds string, no numbers"),
    (FLAT, Columns(label="nope"), "no column 'nope': it has id, x, y, kind"),
    (SEQUENCES | {"x": [[[1.0], [2.0, 3.0]], [[1.0]]]}, LABEL, "frames of different widths"),
    (SEQUENCES | {"x": [[[1.0, None]], [[1.0, 2.0]]]}, LABEL, "a list with nothing in one place"),
    (SEQUENCES | {"x": [[[1.0], None], [[1.0]]]}, LABEL, "a list with nothing in one place"),
    (SEQUENCES | {"x": [[[1.0]], []]}, LABEL, "row 2 has features of different lengths, or none"),
    (SEQUENCES | {"z": [1, 2]}, LABEL, "'x' has a list in each row, 'z' has none"),
    (SEQUENCES | {"label": [[0], [1, 1, 1]]}, LABEL, "row 2 of t.parquet: 3 answers and 1 frames"),
    ({"x": pa.array([], pa.float32())}, Columns(), "has no row"),
    ({"x": pa.nulls(3)}, Columns(), "row 1 has nothing in column 'x'"),
]


@pytest.mark.parametrize(("columns", "said", "message"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_told(
    tmp_path: Path, columns: dict[str, Any], said: Columns, message: str
) -> None:
    with pytest.raises(DataSetError, match=message):
        read(tmp_path, columns, said)


def test_no_parquet_and_too_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataSetError, match="is no Parquet file"):
        read_parquet([tmp_path / "t.parquet"], Columns())
    rows = pa.table({f"c{n}": pa.array(np.zeros(500)) for n in range(3)})
    pq.write_table(rows, tmp_path / "t.parquet")
    monkeypatch.setattr("pruning.tasks.data.adapters.recordings.MOST_VALUES", 1000)
    with pytest.raises(DataSetError, match="1,500 numbers, at most 1,000"):
        read_parquet([tmp_path / "t.parquet"], Columns())


@pytest.mark.slow
def test_a_data_set_of_hugging_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", None)  # nothing is fetched
    kinds = datasets.Features({
        "x": datasets.Sequence(datasets.Sequence(datasets.Value("float32"))),
        "label": datasets.ClassLabel(names=["no", "yes"]),
        "text": datasets.Value("string"),
    })  # fmt: skip
    rows = {"x": [*LISTS, *LISTS], "label": [1, 0, 1, 0], "text": ["a"] * 4}
    made = datasets.Dataset.from_dict(rows, features=kinds).select([3, 2, 0])
    datasets.DatasetDict({"train": made}).save_to_disk(str(tmp_path / "set"))
    said = Columns(features=("x",), label="label")
    found, _ = read_hugging_face(str(tmp_path / "set"), "train", said)
    assert [s.tolist() for s in found.sequences] == [LISTS[1], LISTS[0], LISTS[0]]
    assert [int(a[0]) for a in found.answers] == [0, 1, 1]
    assert found.label_names == ("no", "yes")
    for name, part, message in [
        (str(tmp_path / "set"), "", "has the parts train: say --part"),
        ("owner/name", "train", "hub:owner/name fetches it"),
        (str(tmp_path), "train", "no data set can be read"),
    ]:
        with pytest.raises(DataSetError, match=message):
            read_hugging_face(name, part, said)
