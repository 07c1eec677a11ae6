"""``sparseflow cpu``: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import sparseflow as sf
from csb_format.files.modelfile import save_model
from csb_format.files.ownership import PlaceError
from csb_format.model import Model
from csb_format.random_models import random_network
from engine.native.model import NativeModel
from engine.reference import IntegerModel, Trace
from sparseflow.commands.cli import app

RNG = np.random.default_rng(1)
MODEL = random_network(RNG, 5, 6, 2, (1, 2, 0), head=3)
FRAMES = RNG.normal(size=(9, 5)).astype(np.float32)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    path, data = tmp_path / "model.safetensors", tmp_path / "data.npz"
    save_model(path, MODEL)
    np.savez(data, frames=FRAMES, lengths=np.array([4, 5]), labels=np.array([0, 2]))
    return str(path), str(data)


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["cpu", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_run_writes_what_the_integer_model_gives(files: tuple[str, str], tmp_path: Path) -> None:
    out, figures = tmp_path / "out.npz", tmp_path / "figures.json"
    text = run(
        "run", files[0], "--data", files[1], "--check", "--out", str(out), "--json", str(figures)
    )
    reference = IntegerModel(MODEL)
    traces = reference.run(reference.quantise([FRAMES[:4], FRAMES[4:]]))
    found = np.load(out)
    np.testing.assert_array_equal(found["outputs"], np.concatenate([t.output for t in traces]))
    logits = [MODEL.logits(trace.output) for trace in traces]
    np.testing.assert_array_equal(found["logits"], logits)
    right = np.mean(np.argmax(logits, axis=1) == [0, 2])
    told = json.loads(figures.read_text())
    assert (told["frames"], told["compared"], told["score"]["accuracy"]) == (9, 9, right)
    assert "9 frames are the integer model's in every bit" in text
    assert f"accuracy: {right:.2%}" in text


def test_another_bit_ends_it_with_1(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = IntegerModel.run

    def other(model: IntegerModel, sequences: list[np.ndarray]) -> list[Trace]:
        traces = whole(model, sequences)
        traces[1].cell[2, 3] += 1
        return traces

    monkeypatch.setattr(IntegerModel, "run", other)
    with pytest.raises(RuntimeError, match="sequence 1, frame 2: cell 3 is") as told:
        run("run", files[0], "--data", files[1], "--check")
    assert told.value.exit_code == 1  # type: ignore[attr-defined]


def test_bench_and_plan_give_figures(files: tuple[str, str], tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    run("bench", files[0], "--steps", "100", "--batch", "2", "--json", str(figures))
    found = json.loads(figures.read_text())
    each = found["latency_us"]
    assert 0 < each["p50"] <= each["p99"] <= each["p99.9"] <= each["most"]
    assert list(found["batches"]) == ["2"]
    text = run("plan", files[0], "--kernel", "plain", "--clocks", "--json", str(figures))
    kinds = json.loads(figures.read_text())["kinds"]
    cores = [core for kind in kinds for core in kind["cores"]]
    assert sorted(cores) == sorted(os.sched_getaffinity(0))
    assert text.count(" us a step") >= len(kinds)
    assert all("clocks" in kind for kind in kinds)
    (layer,) = json.loads(figures.read_text())["layers"]
    assert (layer["kernel"], layer["weights"]) == ("plain", layer["entries"])
    assert "us a step of one stream by kernel" in " ".join(text.split())


def test_hints_at_files_that_look_like_options_work_as_they_are_printed(
    files: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(files[0]).rename("-m.safetensors")
    text = run("plan", "./-m.safetensors")
    assert "\nnext: sparseflow cpu run ./-m.safetensors --data DATA --check\n" in text
    text = run(*shlex.split(text.split("next: sparseflow cpu ")[1].replace("DATA", files[1])))
    assert "\nnext: sparseflow cpu bench ./-m.safetensors\n" in text


def test_what_cannot_be_is_refused(files: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "two.safetensors"
    save_model(path, random_network(RNG, 5, 6, 2, (1, 1, 0), directions=2))
    done = CliRunner().invoke(app, ["cpu", "bench", str(path)])
    assert done.exit_code
    with pytest.raises(ValueError, match="kernel 'mmx': this CPU has"):
        run("plan", files[0], "--kernel", "mmx")
    with pytest.raises(ValueError, match="batch = 0: must be 1 to 65536"):
        run("bench", files[0], "--steps", "100", "--batch", "0")
    twice = ("--out", str(tmp_path / "x"), "--json", str(tmp_path / "x"))
    with pytest.raises(PlaceError, match="--out and --json are both"):
        run("run", files[0], "--data", files[1], *twice)
    with pytest.raises(PlaceError, match="is read by the same command"):
        run("plan", files[0], "--json", files[0])


def test_a_model_is_put_on_the_cpu(files: tuple[str, str]) -> None:
    model = sf.load(files[0])
    assert isinstance(model, Model)
    native = model.on("cpu", kernel="plain")
    assert isinstance(native, NativeModel)
    assert native.layers[0].kernel == "plain"
    with pytest.raises(ValueError, match="target 'gpu': there is 'cpu'"):
        model.on("gpu")
