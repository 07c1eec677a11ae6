"""Windows, answers and parts: nothing of one source is on both sides, nothing is left unsaid."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.tasks.data.adapters.dividing import divided
from pruning.tasks.data.adapters.recordings import Recordings, ahead, one_each, windows
from pruning.tasks.data.wrong_data import DataSetError


def counted(lengths: list[int], labels: list[list[int]] | None = None) -> Recordings:
    """Frames that are numbered through, so that each can be found again."""
    ends = np.cumsum([0, *lengths])
    frames = [np.arange(a, b, dtype=float)[:, None] for a, b in pairwise(ends)]
    answers = [np.array(one, np.int64) for one in labels or [[0] * n for n in lengths]]
    names = tuple(f"r{n}" for n in range(len(lengths)))
    return Recordings(tuple(frames), tuple(answers), names, names)


def frames_of(found: Recordings) -> set[float]:
    return {x for sequence in found.sequences for x in sequence.ravel().tolist()}


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 6), st.integers(1, 6),
    st.floats(0.05, 0.9), st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_no_frame_is_on_both_sides(
    lengths: list[int], size: int, stride: int, share: float, seed: int
) -> None:
    try:
        cut, _ = windows(counted(lengths), size, stride)
        overlap = max(0, -(-size // stride) - 1)
        train, val, told = divided(cut, share, seed, overlap)
    except DataSetError:
        return
    assert len(train.sequences)
    assert len(val.sequences)
    assert not frames_of(train) & frames_of(val)
    assert told
    assert all(len(sequence) == size for sequence in cut.sequences)
    again = divided(cut, share, seed, overlap)
    assert [s.tolist() for s in again[1].sequences] == [s.tolist() for s in val.sequences]


def test_every_class_has_its_share_and_seeds_differ() -> None:
    labels = [[n % 4] * 3 for n in range(40)]
    each = [divided(counted([3] * 40, labels), 0.25, seed, 0)[1] for seed in range(5)]
    for val in each:
        assert np.bincount([a[0] for a in val.answers]).min() >= 2
        assert len(val.sequences) == 10
    assert len({val.sources for val in each}) > 1


def test_windows_of_several_classes_are_left_out_and_told() -> None:
    given_ = counted([6], [[0, 0, 0, 1, 1, 1]])
    cut, told = windows(given_, 2, 2)
    joined, more = one_each(cut, cut=True)
    assert [int(a) for a in joined.answers] == [0, 1]
    assert told == ["1 recordings make 3 windows of 2 frames"]
    assert more == ["1 windows with several classes are left out"]
    with pytest.raises(DataSetError, match="frame 3 differs from frame 0; say --per frame"):
        one_each(given_, cut=False)


def test_sequences_that_do_not_count_are_left_out() -> None:
    joined, told = one_each(counted([2, 2], [[-1, -1], [1, 1]]), cut=False)
    assert [int(a) for a in joined.answers] == [1]
    assert told == ["1 sequences do not count, left out"]


def test_answers_of_later_frames() -> None:
    moved, told = ahead(counted([5, 2], [[0, 1, 2, 3, 4], [7, 8]]), 2)
    assert moved.sequences[0].ravel().tolist() == [0, 1, 2]
    assert moved.answers[0].tolist() == [2, 3, 4]
    assert told == ["1 sequences of at most 2 frames are left out"]


WRONG: list[tuple[Any, str]] = [
    (lambda: windows(counted([3]), 4, 1), "the longest recording has 3 frames"),
    (lambda: ahead(counted([3]), 3), "no sequence has more frames"),
    (lambda: divided(counted([3]), 0.5, 0, 0), "leave none to train on"),
    (lambda: one_each(counted([1], [[-1]]), cut=False), "no sequence has one class"),
]


@pytest.mark.parametrize(("made", "message"), WRONG, ids=range(len(WRONG)))
def test_nothing_is_left(made: Any, message: str) -> None:
    with pytest.raises(DataSetError, match=message):
        made()
