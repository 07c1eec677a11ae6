"""docs/watch.md: its commands as far as they take moments, and the reader that loads no pickle."""

from __future__ import annotations

import pickle
import runpy
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from csb_format import InputScale, save_model
from csb_format.random_models import random_model
from pruning.tasks.data.datasets import load_sequences
from sparseflow.commands.cli import app
from tests.docs.blocks import ROOT, one

PAGE = "docs/watch.md"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "examples/watch.py"))


class Spy:
    """What a pickle would run."""

    def __reduce__(self) -> Any:
        return (exec, ("raise ValueError('it was run')",))


def test_numbers_and_texts_of_a_pickle_without_loading_it(example: dict[str, Any]) -> None:
    frames = np.random.default_rng(0).normal(size=(300, 6))
    held = np.empty(2, object)
    held[:] = [frames, np.asfortranarray(frames[:5])]
    names, numbers = ["ax", "ay"], np.arange(300, dtype=np.int32)
    wanted: list[dict[str, Any]] = [{"X": held, "y": numbers, "names": names}]
    text = pickle.dumps(wanted, 2).replace(b"numpy._core", b"numpy.core")
    (found,) = example["followed"](text)
    assert found["names"] == ["ax", "ay"]
    assert np.array_equal(found["y"], wanted[0]["y"])
    assert np.array_equal(found["X"][0], frames)
    assert np.array_equal(found["X"][1], frames[:5])


def test_nothing_in_a_pickle_is_run(example: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match=r"asks for \w+ exec: it is not the known one"):
        example["followed"](pickle.dumps(["fine", Spy()], 2))
    with pytest.raises(SystemExit, match=r"opcode FRAME: it is not the known one"):
        example["followed"](pickle.dumps(Spy(), 4))


def commands() -> list[list[str]]:
    text = one(PAGE, "sh").replace("\\\n", " ")
    return [words for line in text.splitlines() if (words := shlex.split(line))]


def test_the_table_becomes_the_data_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, rows = np.random.default_rng(1), ["recording,person,ax,ay,az,wx,wy,wz,exercise"]
    for n in range(30):
        for _ in range(130):
            frame = ",".join(f"{x:.4g}" for x in random.normal(size=6))
            rows.append(f"r{n},p{n // 3},{frame},{'ABC'[n % 3]}")
    (tmp_path / "watch.csv").write_text("\n".join(rows))
    monkeypatch.chdir(tmp_path)
    (words,) = [words for words in commands() if words[:2] == ["sparseflow", "data"]]
    done = CliRunner().invoke(app, words[1:])
    assert done.exit_code == 0, done.output
    assert "divided by source: 8 train, 2 validate (seed 0)" in done.output
    assert [len(load_sequences(tmp_path / f"watch-{n}.npz")) for n in ("train", "val")] == [48, 12]


def test_the_python_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = random_model(np.random.default_rng(1), 6, 8, 2, 1, 1, head=7)
    scale = InputScale(np.zeros(6), np.ones(6))
    named = replace(plain, input_scale=scale, label_names=tuple("abcdefg"))
    save_model(tmp_path / "model.safetensors", named)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(one(PAGE, "python"), PAGE, "exec"), names)
    assert names["states"].given == "raw"
