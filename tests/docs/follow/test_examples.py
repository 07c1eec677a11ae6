"""The pages of examples (watch, phones, ...): commands as far as they take moments."""

from __future__ import annotations

import json
import re
import runpy
import wave
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.examples.run import CASES, commands
from csb_format import InputScale, load_model, save_model
from csb_format.random_models import random_model
from pruning.tasks.data.datasets import SequenceData, load_sequences
from sparseflow.commands.cli import app
from tests.docs.blocks import ROOT, one

PAGES = tuple(f"docs/{name}.md" for name in CASES)
OPTION = re.compile(r"--[a-z-]+")


def words_of(page: str, *first: str) -> list[list[str]]:
    """Words of the commands of a page that begin so."""
    found = commands((ROOT / page).read_text("utf-8"))
    return [words for words in found if words[: len(first)] == list(first)]


def run(words: list[str]) -> str:
    done = CliRunner().invoke(app, words[1:])
    assert done.exit_code == 0, done.output
    return done.output


def start(name: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], dict[str, Any]]:
    """A function that runs a command of an example, and gives its names."""

    def started(words: list[str]) -> dict[str, Any]:
        monkeypatch.setattr("sys.argv", words[1:])
        return runpy.run_path(str(ROOT / name), run_name="__main__")

    return started


@pytest.mark.parametrize("page", PAGES)
def test_every_option_of_the_page_is_there(page: str) -> None:
    for words in words_of(page, "sparseflow"):
        command = words[1:3] if words[1] == "data" else words[1:2]
        shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"}).output
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        for option in (word for word in words if word.startswith("--")):
            assert option in OPTION.findall(plain), (words[1], option)


@pytest.mark.parametrize("name", ["glucose", "phones", "watch"])
def test_the_committed_model_is_of_the_page_and_of_its_scores(name: str) -> None:
    model = load_model(ROOT / f"examples/{name}/model.safetensors")
    made = json.loads(model.provenance["commands"])
    page = f"docs/{name}.md"
    steps = [words_of(page, "sparseflow", step) for step in ("prune", "pack")]
    assert made == [" ".join(words) for found in steps for words in found]
    rows = json.loads((ROOT / "bench/results/examples.json").read_text("utf-8"))["rows"]
    (row,) = (row for row in rows if row["case"] == name)
    (layer,) = model.layers
    assert sum(weights.matrix.real_nonzeros for weights in layer.matrices) == row["kept"]


def voice(folder: Path, sentences: int) -> None:
    """Sentences of noise, half a second of one phone and the rest of another."""
    random = np.random.default_rng(0)
    (folder / "wav").mkdir(parents=True)
    (folder / "lab").mkdir()
    for n in range(sentences):
        with wave.open(str(folder / f"wav/s{n}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(random.integers(-9000, 9000, 40_000, np.int16).tobytes())
        (folder / f"lab/s{n}.lab").write_text("#\n0.50000 125 pau\n2.50000 125 a\n")


def test_a_voice_becomes_the_data_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = "docs/phones.md"
    (words,) = words_of(page, "python", "examples/phones.py")
    voice(tmp_path / words[2], 4)
    monkeypatch.chdir(tmp_path)
    words[-1] = "4"
    start("examples/phones.py", monkeypatch)(words)
    told = capsys.readouterr().out
    assert "phones.csv: 4 sentences, 992 frames, 2 phones\nalways a: " in told
    run(*words_of(page, "sparseflow", "data"))
    train = load_sequences("phones-train.npz")
    labels = train.split(train.labels)[0]
    # Half a second, of which the middle of frame 49 is at 0.5025 s, heard five frames later.
    assert labels[:5].tolist() == [-1] * 5
    assert np.flatnonzero(np.diff(labels)).tolist() == [4, 53]


@pytest.mark.parametrize(
    "words",
    ["dense.py no.npz out.safetensors", "glucose.py baselines no.npz no.npz",
     "watch.py train no.npz out.safetensors"],
)  # fmt: skip
def test_data_that_is_not_there_is_one_clear_error(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, *rest = words.split()
    with pytest.raises(SystemExit, match=r"^error: .*No such file or directory: 'no\.npz'"):
        start(f"examples/{name}", monkeypatch)(["python", name, *rest])


def test_labels_that_are_none_are_an_error(tmp_path: Path) -> None:
    ends = runpy.run_path(str(ROOT / "examples/phones.py"))["ends"]
    (label := tmp_path / "a.lab").write_text("#\n0.5 125\n")
    with pytest.raises(SystemExit, match=r"a.lab: line 2 is no end and phone: '0.5 125'"):
        ends(label)
    label.write_text("0.5 125 a\n0.4 125 b\n")
    with pytest.raises(SystemExit, match="do not rise"):
        ends(label)


COUNT = 1000


def table(count: int) -> str:
    """Readings of a slow wave, one of them missing, and one too many."""
    lines, when = ["isig,datetime,glucose"], datetime(2020, 1, 1)
    for n in range(count):
        current = "nil" if n == 40 else f"{20 + 5 * np.sin(n / 9):.2f}"
        lines.append(f"{current},{when},{150 + 40 * np.sin(n / 9):.0f}")
        if n == 60:
            lines.append(f"20,{when + timedelta(minutes=4)},999")
        when += timedelta(minutes=5)
    return "\n".join(lines)


def test_readings_become_the_data_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = "docs/glucose.md"
    example = runpy.run_path(str(ROOT / "examples/glucose.py"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(example["write_csv"].__globals__, "content", lambda: table(COUNT))
    example["write_csv"](Path("train.csv"), Path("val.csv"))
    assert "train.csv: 2 runs, 787 readings from 01 January 2020" in capsys.readouterr().out
    for words in words_of(page, "sparseflow", "data"):
        run(words)
    example["write_scores"](Path("train.npz"), Path("val.npz"))
    told = dict(re.findall(r"(.*): MSE ([\d.]+)", capsys.readouterr().out))
    assert float(told["linear"]) < 0.01 < 0.5 < float(told["last value"])


def test_the_linear_forecast_sees_nothing_later() -> None:
    seen = runpy.run_path(str(ROOT / "examples/glucose.py"))["seen"]
    frames = np.arange(30.0, dtype=np.float32)[:, None]
    found = seen(SequenceData((frames,), np.zeros(1, np.int64)))
    assert found[:, :-1].max(axis=1).tolist() == frames[:, 0].tolist()
    assert found[20].tolist() == [*range(9, 21), 1]
    assert found[2].tolist() == [*[0] * 10, 1, 2, 1]


@pytest.mark.parametrize(("page", "width"), [("docs/phones.md", 16), ("docs/glucose.md", 4)])
def test_the_python_of_the_page(
    page: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = random_model(np.random.default_rng(1), width, 8, 2, 1, 1, head=1)
    scale = InputScale(np.zeros(width), np.ones(width))
    names = ("a",) if "phones" in page else ()
    every = replace(plain, pool="every", input_scale=scale, label_names=names)
    save_model(tmp_path / "model.safetensors", every)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(compile(one(page, "python"), page, "exec"), found)
    assert found["states"].given == "raw"
