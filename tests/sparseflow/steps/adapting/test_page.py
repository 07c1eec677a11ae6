"""docs/data.md: its commands write what they say, its options are there, its errors are named."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.io import wavfile
from typer.testing import CliRunner

from pruning.tasks.data.datasets import load_sequences
from pruning.tasks.data.inputs import inputs_of
from sparseflow.commands.cli import app
from sparseflow.steps.adapting.options import CsvOptions
from tests.docs.blocks import ROOT, blocks

PAGE = "docs/data.md"


def prepare(folder: Path) -> None:
    """What a reader has."""
    rows = [(f"s{n // 4}", n % 7, n % 5, "ab"[n // 4 % 2]) for n in range(40)]
    text = "id,x,y,state\n" + "\n".join(",".join(map(str, row)) for row in rows)
    (folder / "recordings.csv").write_text(text)
    table = {name: [row[n] for row in rows] for n, name in enumerate(("id", "x", "y", "state"))}
    pq.write_table(pa.table(table), folder / "table.parquet")
    x, lengths = np.random.default_rng(0).normal(size=(6, 5, 3)), np.array([5, 4, 3, 2, 1, 5])
    np.save(folder / "X.npy", x)
    np.save(folder / "y.npy", np.arange(6) % 2)
    np.savez(folder / "arrays.npz", X=x, y=np.arange(6) % 2, lengths=lengths)
    for kind in "ab":
        (folder / "sounds" / kind).mkdir(parents=True)
        for n in range(4):
            sound = np.random.default_rng(n).normal(0, 1000, 4000).astype(np.int16)
            wavfile.write(folder / "sounds" / kind / f"{n}.wav", 8000, sound)


def test_every_command_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks(PAGE, "sh") for line in block.text.splitlines()]
    assert len(lines) == 5
    for line in lines:
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
        name = "data-train.npz" if "--split" in line else "data.npz"
        assert len(load_sequences(tmp_path / name)) > 4
        assert inputs_of(tmp_path / name).scaled
    widths = [load_sequences(tmp_path / name).width for name in ("data.npz", "data-train.npz")]
    assert widths == [2, 39]


def test_the_page_has_every_option_of_tables_and_no_other() -> None:
    text = (ROOT / PAGE).read_text("utf-8").partition("## From files")[2]
    named = set(re.findall(r"^\| `--([a-z-]+)", text, re.M)) | {"stride", "seed", "scale", "raw"}
    known = {field.name.replace("_", "-") for field in fields(CsvOptions)}
    assert named | {"classes"} == known - {"files", "out", "delimiter", "no-header", "gather"} - {
        "ignore"
    } | {"ignore"}


def test_the_arrays_of_the_page_are_those_that_are_written(tmp_path: Path) -> None:
    prepare(tmp_path)
    words = ["data", "from-csv", str(tmp_path / "recordings.csv"), "--sequence", "id"]
    words += ["--label", "state", "--out", str(tmp_path / "d.npz")]
    assert CliRunner().invoke(app, words).exit_code == 0
    first = re.findall(r"^\| (`.*?) \|", (ROOT / PAGE).read_text("utf-8"), re.M)
    named = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    with np.load(tmp_path / "d.npz") as file:
        assert set(file.files) <= named
