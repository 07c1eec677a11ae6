"""Scores against figures worked out by hand, and taken apart without losing anything."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.data.wrong_data import DataSetError
from pruning.tasks.scores.answers import Answers, check_answers
from pruning.tasks.scores.details import BINS, details
from pruning.tasks.scores.score import Score

LENGTHS = (3, 1, 2)
LABELS = np.array([0, 1, -1, 1, 2, 0])
#: Twice the logarithm of what each class is held likely by, as integers with one fraction bit.
LOGITS = np.array([[4, 0, 0], [0, 0, 2], [9, 9, 9], [0, 6, 0], [2, 2, 2], [0, 0, 1]])


def data(labels: Any = LABELS, targets: Any = None, framewise: bool = True) -> SequenceData:
    frames = tuple(np.zeros((n, 1), np.float32) for n in LENGTHS)
    return SequenceData(frames, np.asarray(labels), "d.npz", framewise, targets)


def numbers(values: Any, framewise: bool = True) -> SequenceData:
    given = np.asarray(values, np.float64)
    return data(np.zeros(len(given), np.int64), given, framewise)


def test_accuracy_and_perplexity_of_the_frames_that_count() -> None:
    found = Answers.of(data(), [LOGITS[:2], LOGITS[2:]], last_bit=0.5).score()
    e = np.exp(1.0)
    shares = [e**2 / (e**2 + 2), 1 / (e + 2), e**3 / (e**3 + 2), 1 / 3, 1 / (2 + e**0.5)]
    assert found.figures == {
        "accuracy": 2 / 5,  # of equal logits the lowest class is the answer
        "perplexity": pytest.approx(np.prod(shares) ** (-1 / 5)),
    }
    assert str(found) == f"40.00% (perplexity {found.figures['perplexity']:.4g})"


def test_a_class_that_is_held_impossible_is_a_perplexity_that_json_can_hold() -> None:
    found = Answers.of(data(), [LOGITS * 10_000]).score()
    json.dumps(found.figures, allow_nan=False)
    assert str(Answers.of(data([0, 1, 2], framewise=False), [LOGITS[:3]]).score()) == "33.33%"


def test_errors_of_numbers() -> None:
    given = np.array([[1, 2], [3, 4], [6, 0]])
    found = Answers.of(numbers([[1, 1], [2, 2], [3, 3]], False), [given], last_bit=0.5).score()
    assert found.figures == {
        "mse": pytest.approx((0.25 + 0 + 0.25 + 0 + 0 + 9) / 6),
        "mae": pytest.approx((0.5 + 0.5 + 3) / 6),
        "r2": pytest.approx(((1 - 0.5 / 2) + (1 - 9 / 2)) / 2),
    }
    assert str(found) == "MSE 1.583, MAE 0.6667, R2 -1.375"
    assert Score({"mse": 1.0}) >= found
    assert not found >= Score({"mse": 1.0})


def test_parts_make_the_whole() -> None:
    answers = Answers.of(data(), [LOGITS])
    found = details(answers)
    assert found["confusion"] == [[1, 0, 1], [0, 1, 1], [1, 0, 0]]
    assert found["by_class"][0] == {"class": 0, "count": 2, "right": 1, "given": 2}
    rows = found["by_length"]
    assert [(row["from"], row["to"], row["sequences"], row["count"]) for row in rows] == [
        (1, 1, 1, 1), (2, 2, 1, 2), (3, 3, 1, 2),
    ]  # fmt: skip
    assert sum(row["accuracy"] * row["count"] for row in rows) == pytest.approx(2)


def test_parts_of_numbers_make_the_whole() -> None:
    random = np.random.default_rng(0)
    answers = Answers.of(numbers(random.normal(size=(6, 2))), [random.normal(size=(6, 2))])
    found, whole = details(answers), answers.score().figures
    assert np.mean([row["mse"] for row in found["by_output"]]) == pytest.approx(whole["mse"])
    squares = [row["mse"] * row["count"] for row in found["by_length"]]
    assert sum(squares) / 6 == pytest.approx(whole["mse"])
    assert found["by_length"][0]["r2"] is None  # of one number there is none
    assert "confusion" not in found


@pytest.mark.parametrize("lengths", [[5] * 9, [1, 1, 1, 9], list(range(1, 40))])
def test_every_sequence_is_in_one_part_by_length(lengths: list[int]) -> None:
    frames = tuple(np.zeros((n, 1), np.float32) for n in lengths)
    labels = np.zeros(len(lengths), np.int64)
    logits = np.eye(2, dtype=np.int64)[labels]
    rows = details(Answers.of(SequenceData(frames, labels), [logits]))["by_length"]
    assert len(rows) <= BINS
    for row in rows:
        assert row["sequences"] == sum(row["from"] <= n <= row["to"] for n in lengths) > 0
    assert sum(row["sequences"] for row in rows) == len(lengths)


def test_a_part_in_which_nothing_counts_has_no_score() -> None:
    rows = details(Answers.of(data([0, 1, 1, -1, 0, 0]), [LOGITS]))["by_length"]
    assert rows[0] == {"from": 1, "to": 1, "sequences": 1, "count": 0}


def test_targets_that_the_head_cannot_answer() -> None:
    each = numbers(np.zeros((3, 2)), False)
    check_answers(each, 2, "last", "net.pt")
    with pytest.raises(DataSetError, match=r"d.npz: targets of 2 numbers, but the head of net.pt"):
        check_answers(each, 3, "last", "net.pt")
    with pytest.raises(DataSetError, match=r"one target for each sequence, .* at every frame"):
        check_answers(each, 2, "every", "net.pt")
    with pytest.raises(DataSetError, match=r"one target for each frame, .* once a sequence") as at:
        check_answers(numbers(np.zeros((6, 2))), 2, "mean", "net.pt")
    assert 'd["targets"] = d["targets"]' in at.value.snippet
    with pytest.raises(ValueError, match="NaN or infinity: train it to finite weights"):
        Answers.of(each, [np.full((3, 2), np.nan)])
