"""Frames of speech with a class each, out of NLTK's sample of TIMIT; or noise for a trial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.fft import dct

from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.data.timit import FILTERS, IGNORED, PHONES, Utterance, load_timit
from pruning.tasks.data.wrong_data import IGNORED as LEFT_OUT

__all__ = ["FEATURES", "STATES", "WINDOW", "noise", "phones", "states", "women"]

FEATURES, WINDOW = 39, 100
THIRDS, STATES = 3, 96
Labels = npt.NDArray[np.int64]


def phones(path: Path) -> tuple[SequenceData, SequenceData]:
    """Windows to train on, and whole sentences of four other speakers; of 39 phones one a frame."""
    data = load_timit(path)
    train, test = ([_plain(u.phones) for u in part] for part in (data.train, data.test))
    return _cut(_frames(data.train), train), _whole(_frames(data.test), test)


def women(path: Path) -> tuple[SequenceData, SequenceData]:
    """Windows of the eight men to train on, and whole sentences of the eight women; 39 phones."""
    data = load_timit(path)
    everybody = (*data.train, *data.test)
    men = [u for u in everybody if u.speaker.partition("-")[2].startswith("m")]
    others = [u for u in everybody if u.speaker.partition("-")[2].startswith("f")]
    every = np.concatenate([u.frames for u in men]).astype(np.float64)
    mean, std = every.mean(axis=0), every.std(axis=0)
    frames = (
        [_cepstra(((u.frames - mean) / std).astype(np.float32)) for u in part]
        for part in (men, others)
    )
    labels = ([_plain(u.phones) for u in part] for part in (men, others))
    return _cut(next(frames), next(labels)), _whole(next(frames), next(labels))


def states(path: Path) -> tuple[SequenceData, SequenceData]:
    """The same with a third of a phone a frame; of those 117 the 96 most frequent ones count."""
    data = load_timit(path)
    train, test = ([_thirds(_plain(u.phones)) for u in part] for part in (data.train, data.test))
    seen = Counter(np.concatenate(train).tolist())
    del seen[LEFT_OUT]
    kept = sorted(state for state, _ in sorted(seen.items(), key=lambda n: (-n[1], n[0]))[:STATES])
    place = np.full(THIRDS * len(PHONES) + 1, LEFT_OUT)  # its last entry is that of LEFT_OUT
    place[kept] = np.arange(len(kept))
    known = ([place[each] for each in part] for part in (train, test))
    return _cut(_frames(data.train), next(known)), _whole(_frames(data.test), next(known))


def noise(classes: int) -> tuple[SequenceData, SequenceData]:
    """Two short sequences for both; nothing can be learnt of them."""
    random = np.random.default_rng(0)
    frames = [random.normal(size=(6, FEATURES)).astype(np.float32) for _ in range(2)]
    data = _whole(frames, [random.integers(0, classes, 6) for _ in frames])
    return data, data


def _frames(part: Sequence[Utterance]) -> list[npt.NDArray[np.float32]]:
    """13 cepstra of the 50 normalised mel filters, and of their first and second differences."""
    return [_cepstra(u.frames) for u in part]


def _cepstra(frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    blocks = np.split(frames, THIRDS, axis=1)
    found = [dct(b[:, :FILTERS], norm="ortho")[:, : FEATURES // THIRDS] for b in blocks]
    return np.ascontiguousarray(np.concatenate(found, axis=1) / 3, np.float32)  # deviations near 1


def _plain(labels: Labels) -> Labels:
    return np.where(labels == IGNORED, LEFT_OUT, labels)


def _thirds(labels: Labels) -> Labels:
    """Three times the phone, and 0, 1 or 2 for the third of it that a frame is in."""
    edges = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1, append=labels[-1] - 1))
    found = np.empty_like(labels)
    for first, end in pairwise(edges.tolist()):
        found[first:end] = THIRDS * labels[first] + THIRDS * np.arange(end - first) // (end - first)
    return np.where(labels == LEFT_OUT, LEFT_OUT, found)


def _cut(frames: Sequence[npt.NDArray[np.float32]], labels: Sequence[Labels]) -> SequenceData:
    places = [(n, at) for n, f in enumerate(frames) for at in range(0, len(f) - WINDOW + 1, WINDOW)]
    cut = [slice(at, at + WINDOW) for _, at in places]
    whose = [n for n, _ in places]
    return _whole(
        [frames[n][part] for n, part in zip(whose, cut, strict=True)],
        [labels[n][part] for n, part in zip(whose, cut, strict=True)],
    )


def _whole(frames: Sequence[npt.NDArray[np.float32]], labels: Sequence[Labels]) -> SequenceData:
    every = np.concatenate(labels).astype(np.int64)
    return SequenceData(tuple(frames), every, "timit.npz", framewise=True)
