"""`simulate --head`: all logits leave the array, are compared and scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.board import board
from boards.resources import choice
from csb_format import Model, save_model
from csb_format.random_models import random_model
from pruning.tasks.data.datasets import SequenceData, save_sequences
from sparseflow.pages import figures
from sparseflow.pages.hardware.beside import dense_cycles
from sparseflow.pages.measured import read_figures
from sparseflow.pages.scores.integers import answers_given
from sparseflow.steps.generating.hardware import compile_array

Run = Callable[..., int]
Text = pytest.CaptureFixture[str]
ARRAY = ("--pes", 4, "--lanes", 2)
LAYERS = {"linear": (), "several": (4,)}


def network(hidden: tuple[int, ...] = (), **options: Any) -> Model:
    return random_model(np.random.default_rng(4), 2, 4, 2, 1, 1, head=3, hidden=hidden, **options)


def written(at: Path, model: Model) -> tuple[Path, Path]:
    """Files of a model and of two sequences with a label for each."""
    rng = np.random.default_rng(1)
    frames = tuple(rng.normal(0, 2, (n, 2)).astype(np.float32) for n in (3, 2))
    save_sequences(at / "data.npz", SequenceData(frames, np.array([0, 2])))
    save_model(at / "model.safetensors", model)
    return at / "model.safetensors", at / "data.npz"


CASES = [
    pytest.param(kind, dense, marks=() if (kind, dense) == ("several", True) else pytest.mark.slow)
    for kind in LAYERS
    for dense in (True, False)
]


@pytest.mark.parametrize(("kind", "dense"), CASES)
def test_logits_of_the_array_are_compared_and_scored(
    run: Run,
    capsys: Text,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    dense: bool,
) -> None:
    monkeypatch.setattr("sparseflow.pages.hardware.beside.board_names", lambda: ["ulx3s"])
    model = network(LAYERS[kind])
    path, data = written(tmp_path, model)
    more = ("--dense-head",) if dense else ()
    given = ("--data", data, "--build", tmp_path / "b", "--simulator", "icarus")
    assert run("simulate", path, *given, *ARRAY, "--head", *more) == 0
    # of five frames: h, c and three logits; activations of a hidden layer stay inside
    assert f"{5 * (4 + 4 + 3)} states equal" in capsys.readouterr().err
    found = read_figures(tmp_path / "b")
    assert found["accuracy"]["rtl"] == found["accuracy"]["fixed"] is not None
    assert "--head" in found["commands"][-1]


def test_flags_of_a_design_are_simulated(run: Run, tmp_path: Path) -> None:
    path, data = written(tmp_path, network())
    seen = []
    for n, flags in enumerate(
        ((), ("--shallow", "--block-banks", "--unguarded"), ("--streamed", "--deep", "--parts"))
    ):
        given = ("--data", data, "--build", tmp_path / str(n), "--simulator", "icarus")
        assert run("simulate", path, *given, *ARRAY, *flags) == 0
        found = read_figures(tmp_path / str(n))
        assert found["mismatches"] == 0
        seen.append((found["hashes"]["verilog"], found["cycles_per_step"]["rtl"]))
    plain, shallow, deep = seen
    assert len({code for code, _ in seen}) == 3
    assert shallow[1] < plain[1] < deep[1]


def test_of_a_head_on_the_array_the_figures_count_its_weights() -> None:
    model = network((4,))
    alone, whole = (compile_array(model, 4, 2, head=head).design for head in (False, True))
    lstm, more = figures.weights(model)["nonzeros"], 4 * 4 + 4 * 3
    assert figures.floor(model, alone) == lstm / 8
    assert figures.floor(model, whole) == (lstm + more) / 8
    assert figures.multiplied(model, whole)["total"] == 16 * (2 + 4) + more
    cycles = [dense_cycles(model, design) or 0 for design in (alone, whole)]
    assert 0 < cycles[0] < cycles[1]
    rows = [choice(model, board("ulx3s"), 4, 2, head=head) for head in (False, True)]
    assert rows[0].cycles < rows[1].cycles
    assert [row.design.linear > 0 for row in rows] == [False, True]


def test_of_every_frame_or_of_the_last_logits_are_scored() -> None:
    model, logits = network(), [np.eye(3, dtype=np.int64)[[0, 1, 2]], np.eye(3, dtype=np.int64)[:2]]
    frames = tuple(np.zeros((len(each), 2), np.float32) for each in logits)
    last = SequenceData(frames, np.array([2, 0]))
    assert answers_given(model, logits, last).score().figures["accuracy"] == 0.5
    every = replace(model, pool="every")
    data = SequenceData(frames, np.array([0, 1, 0, 0, 0]), framewise=True)
    assert answers_given(every, logits, data).score().figures["accuracy"] == 0.6


@pytest.mark.parametrize(
    ("model", "asked", "message"),
    [
        (network(), ("--dense-head",), "--dense-head is how --head stores its weights"),
        (
            network((4,)),
            ("--head", "--batched", "--contexts", 2),
            "--head with hidden linear layers",
        ),
        (network(), ("--head", "--dense-head", "--batched"), "--dense-head does not run with"),
        (replace(network(), head=None), ("--head",), "the model has no linear output layer"),
        (replace(network(), pool="mean"), ("--head",), "this head takes the mean over time"),
        (network(), ("--head", "--largest", 2), "largest = 2 beside head"),
    ],
    ids=["alone", "several", "batched", "none", "mean", "largest"],
)
def test_what_cannot_be_is_said(
    run: Run, capsys: Text, tmp_path: Path, model: Model, asked: tuple[object, ...], message: str
) -> None:
    path, data = written(tmp_path, model)
    given = ("--data", data, "--build", tmp_path / "b", "--simulator", "icarus")
    assert run("simulate", path, *given, *ARRAY, *asked) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "b").exists()
