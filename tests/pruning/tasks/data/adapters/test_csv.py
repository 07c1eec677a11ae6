"""Tables of text: what is read of them, and what is refused with its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pruning.tasks.data.adapters.classes import Labels
from pruning.tasks.data.adapters.csv_file import read_csv
from pruning.tasks.data.adapters.recordings import Recordings
from pruning.tasks.data.adapters.table import Columns, recordings_of
from pruning.tasks.data.wrong_data import DataSetError

ROWS = "id,x,y,kind\na,1,2,run\na,3,4,run\nb,5,6,walk\n"
IDS = Columns(sequence="id", label="kind")


def recordings(path: Path, text: str, said: Columns, **more: Any) -> Recordings:
    (path / "t.csv").write_text(text, encoding="utf-8")
    return recordings_of([read_csv(path / "t.csv", said, **more)], said)[0]


def test_rows_become_sequences_with_classes_and_names(tmp_path: Path) -> None:
    found = recordings(tmp_path, ROWS, IDS)
    assert [s.tolist() for s in found.sequences] == [[[1, 2], [3, 4]], [[5, 6]]]
    assert [a.tolist() for a in found.answers] == [[0, 0], [1]]
    assert (found.label_names, found.sources) == (("run", "walk"), ("a", "b"))


def test_columns_that_nobody_named_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(ROWS, encoding="utf-8")
    for said, end in ((IDS, r"x, y, all columns .*--features"), (Columns(("y",), "id"), "y$")):
        _, told = recordings_of([read_csv(tmp_path / "t.csv", said)], said)
        assert re.match(f"features: {end}", told[0])


def test_other_columns_marks_names_and_numbers(tmp_path: Path) -> None:
    text = "\ufeffa;1.5;7;3\nb;2.5;8;-1\n"
    said = Columns(features=("2-3",), label="4")
    found = recordings(tmp_path, text, said, delimiter=";", header=False)
    assert found.sequences[0].tolist() == [[1.5, 7], [2.5, 8]]
    assert (found.answers[0].tolist(), found.label_names) == ([3, -1], ())
    said = Columns(features=("y",), sequence="id", targets=("x", "y"))
    assert recordings(tmp_path, ROWS, said).answers[0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (Labels(("walk", "run")), [[1, 1], [0]]),
        (Labels(ignore=("walk",)), [[0, 0], [-1]]),
        (Labels(("sit", "run", "walk")), [[1, 1], [2]]),
    ],
)
def test_classes_in_an_order_that_is_said(
    tmp_path: Path, labels: Labels, classes: list[list[int]]
) -> None:
    said = Columns(sequence="id", label="kind", labels=labels)
    assert [a.tolist() for a in recordings(tmp_path, ROWS, said).answers] == classes


def test_rows_that_are_not_together_are_joined_only_where_that_is_said(tmp_path: Path) -> None:
    text = ROWS + "a,7,8,run\n"
    with pytest.raises(DataSetError, match=r"'a' began at line 2 and comes again at line 5: sort"):
        recordings(tmp_path, text, IDS)
    said = Columns(sequence="id", label="kind", gather=True)
    assert [len(s) for s in recordings(tmp_path, text, said).sequences] == [3, 1]


WRONG = [
    (ROWS.replace("3,4", ",4"), "line 3 has nothing in column 'x': fill missing"),
    (ROWS.replace("3,4", "NaN,4"), "line 3 has 'NaN', no finite number in column 'x'"),
    (ROWS.replace("3,4", "3_0,4"), "line 3 has '3_0', no finite number in column 'x'"),
    (ROWS.replace("5,6", "5,1e999"), "line 4 has '1e999', no finite number in column 'y'"),
    (ROWS.replace("3,4", "3"), "line 3 has 3 columns, the first 4"),
    (ROWS.replace("5,6,walk", "5,6,"), "line 4 has nothing in column 'kind'"),
    (ROWS.replace("id,x,y,kind", "id,x,x,kind"), "two columns are called 'x'"),
    (ROWS.replace(",", ";"), "no ',' in line 1, but ';': --delimiter ';'"),
    ("1,2,3,4\n5,6,7,8\n", "line 1 has numbers, no names of columns: --no-header"),
    ("", "is empty"),
    ("id,x,y,kind\n", "a header and no row"),
    ("id,kind\na,run\n", "no column left for features"),
    (ROWS.replace("id", "who"), "has no column 'id': it has who, x, y, kind"),
    (ROWS + "\0", "line 5 has a byte 0"),
    (ROWS + '"' + "x\n" * 100_000, "larger than field limit"),
    ("x" * (1 << 21), "line 1 has more than 1,048,576 characters"),
    ("id,kind," + ",".join(f"c{n}" for n in range(9000)), "9,002 columns: at most 4,096"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataSetError, match=message.replace("(", r"\(")):
        recordings(tmp_path, text, IDS)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("-2", "label -2: classes are counted from 0"),
        ("9" * 30, "label 9+: classes are counted from 0"),
        ("70000", "below 65,536"),
    ],
)
def test_numbers_that_are_no_class(tmp_path: Path, label: str, message: str) -> None:
    with pytest.raises(DataSetError, match=message):
        recordings(tmp_path, f"x,k\n1,0\n2,{label}\n", Columns(label="k"))


def test_a_label_that_has_no_name(tmp_path: Path) -> None:
    said = Columns(sequence="id", label="kind", labels=Labels(("run",)))
    with pytest.raises(DataSetError, match="label 'walk' is none of the classes run: name it"):
        recordings(tmp_path, ROWS, said)


def test_an_ignored_label_that_does_not_occur_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(ROWS)
    said = Columns(sequence="id", label="kind", labels=Labels(ignore=("wlak",)))
    _, told = recordings_of([read_csv(tmp_path / "t.csv", said)], said)
    assert told[1:] == ["note: --ignore wlak: no label here is called so; there are run, walk"]


def test_no_utf8(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("x,k\u00e4\n1,2\n".encode("latin-1"))
    with pytest.raises(DataSetError, match="byte 3 is no UTF-8"):
        read_csv(tmp_path / "t.csv", Columns())


def test_numbers_are_the_nearest_float64(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=50)
    found = recordings(tmp_path, "x\n" + "\n".join(map(repr, values.tolist())), Columns())
    assert np.array_equal(found.sequences[0][:, 0], values)
