"""Less than all of the data: every class and every length has its share of it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pruning.tasks.data.datasets import SequenceData
from sparseflow.steps.runs.share import share_of


def by_class(classes: int, each: int) -> SequenceData:
    """As data sets often are: one class after the other, short sequences first."""
    frames = [np.zeros((1 + n // 5, 2), np.float32) for _ in range(classes) for n in range(each)]
    return SequenceData(tuple(frames), np.repeat(np.arange(classes), each))


@pytest.mark.parametrize("seed", [0, 1, 7])
@pytest.mark.parametrize("count", [10, 60, 100, 299])
def test_every_class_and_every_length_has_its_share(count: int, seed: int) -> None:
    data = by_class(10, 30)
    share = share_of(data, count, seed)
    assert len(share.data) == count == len(set(share.places or ()))
    counts = Counter(share.data.labels.tolist())
    assert max(abs(counts[label] - count / 10) for label in range(10)) < 1
    lengths = Counter(len(sequence) for sequence in share.data.sequences)
    assert max(abs(lengths[n] - count / 6) for n in range(1, 7)) <= 10  # to one in every class
    mean = np.mean([len(sequence) for sequence in share.data.sequences])
    assert abs(mean - 3.5) < 1


def test_a_rare_class_takes_part_as_often_as_it_is_there() -> None:
    frames = tuple(np.zeros((2, 1), np.float32) for _ in range(100))
    data = SequenceData(frames, (np.arange(100) >= 90).astype(np.int64))
    for seed in range(5):
        assert share_of(data, 20, seed).data.labels.sum() == 2


def test_the_same_seed_is_the_same_choice_in_the_order_of_the_file() -> None:
    data = by_class(3, 20)
    first = share_of(data, 7, 0)
    assert first.places == share_of(data, 7, 0).places == tuple(sorted(first.places or ()))
    assert len({share_of(data, 7, seed).places for seed in range(9)}) > 1
    assert [len(data.sequences[n]) for n in first.places or ()] == [
        len(sequence) for sequence in first.data.sequences
    ]
    assert str(first).startswith("7 of 60 sequences, spread over classes and lengths (seed 0): ")


@pytest.mark.parametrize("count", [None, 60, 99])
def test_all_of_it_stays_as_it_is(count: int | None) -> None:
    data = by_class(3, 20)
    share = share_of(data, count, 5)
    assert share.data is data
    assert share.places is None
    assert str(share) == "all 60 sequences"


def test_a_sequence_with_labels_of_frames_is_of_the_class_that_most_have() -> None:
    frames = tuple(np.zeros((3, 1), np.float32) for _ in range(40))
    labels = np.concatenate([[0, label, label] for label in np.repeat([0, 1, 2, 3], 10)])
    data = SequenceData(frames, labels, framewise=True)
    found = share_of(data, 8, 0).data
    assert found.classes.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(found.labels) == 24
