from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from csb_format.extras import MissingExtraError
from pruning.tasks.training.record import Step, noted
from tests.installed import brought

STEP = Step(1, 1, 0.5, 0.01, math.inf)


def test_a_line_is_there_as_soon_as_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "logs/run.jsonl"
    with noted(path) as note:
        assert note is not None
        note("step", STEP.figures("prune 1/2"))
        (line,) = path.read_text().splitlines()
    found = json.loads(line)
    assert found.pop("seconds") >= 0
    assert found == {
        "event": "step", "stage": "prune 1/2", "epoch": 1, "step": 1, "loss": 0.5,
        "learning_rate": 0.01, "gradient_norm": None,
    }  # fmt: skip


def test_nowhere_to_write_is_nothing_to_tell() -> None:
    with noted() as note:
        assert note is None


def test_without_tensorboard_the_extra_is_named_and_nothing_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with (
        pytest.raises((MissingExtraError, ModuleNotFoundError), match="tensorboard"),
        noted(tmp_path / "run.jsonl", tmp_path / "board"),
    ):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_tensorboard_reads_what_was_noted(tmp_path: Path) -> None:
    accumulate = brought("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    with noted(board=tmp_path) as note:
        assert note is not None
        note("began", {"seed": 0})
        for step in range(1, 4):
            note("step", Step(1, step, 1.0 / step, 0.1, 2.0).figures("prune 1/1"))
        note("increment", {"number": 1, "of": 1, "sparsity": 0.5, "score": 0.75})
    found = accumulate(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in found.Scalars("step/loss")] == [
        (1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3)),
    ]  # fmt: skip
    assert [(e.step, e.value) for e in found.Scalars("increment/score")] == [(3, 0.75)]
