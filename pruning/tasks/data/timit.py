"""The TIMIT sample of NLTK: 160 of TIMIT's 6,300 utterances, as frames and phones.

The archive is under a non-commercial licence: it is read from a path that you give and never
shipped. 51 features a frame (50 mel filters and the energy, in logarithms) and their first and
second differences make 153, the width of the networks in Cao et al. (FPGA'19).
"""

from __future__ import annotations

import io
import os
import tarfile
import wave
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .datasets import DataSetError, FloatArray
from .wrong_data import reason_of

__all__ = ["IGNORED", "PHONES", "SpeechData", "Utterance", "features", "fold_phone", "load_timit"]

RATE = 16_000
WINDOW, SHIFT, TRANSFORM = 400, 160, 512  # samples: 25 ms every 10 ms
FILTERS = 50
IGNORED = -100  # torch's own mark of a target that does not count

_FOLDED = {
    "aa": "ao",
    "ah": "ax ax-h",
    "er": "axr",
    "hh": "hv",
    "ih": "ix",
    "l": "el",
    "m": "em",
    "n": "en nx",
    "ng": "eng",
    "sh": "zh",
    "uw": "ux",
    "sil": "pcl tcl kcl bcl dcl gcl h# pau epi",
}
_ALONE = "ae aw ay b ch d dh dx eh ey f g iy jh k ow oy p r s t th uh v w y z"

#: The 39 classes of Lee & Hon (1989), sorted.
PHONES: tuple[str, ...] = tuple(sorted([*_FOLDED, *_ALONE.split()]))
_TO_CLASS = {name: PHONES.index(name) for name in PHONES} | {
    name: PHONES.index(kept) for kept, names in _FOLDED.items() for name in names.split()
}


@dataclass(frozen=True, eq=False)
class Utterance:
    """One sentence.

    Parameters
    ----------
    name : str
        ``"dr1-fvmh0/si836"``.
    speaker : str
    frames : float32 array (T, 153)
    phones : int64 array (T,)
        Places in ``PHONES``, or ``IGNORED`` at glottal stops, which the fold drops.
    """

    name: str
    speaker: str
    frames: FloatArray
    phones: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SpeechData:
    """Utterances to train on and to test on, of different speakers.

    Parameters
    ----------
    train, test : tuple of Utterance
        Normalised to mean 0 and standard deviation 1 over the frames of ``train``.
    """

    train: tuple[Utterance, ...]
    test: tuple[Utterance, ...]


def fold_phone(label: str) -> int:
    """Class of one of TIMIT's 61 labels; ``IGNORED`` for the glottal stop ``q``.

    Raises
    ------
    DataSetError
        For another label.
    """
    if label == "q":
        return IGNORED
    if label not in _TO_CLASS:
        raise DataSetError(f"phone {label!r}: TIMIT has 61 labels, and this is none of them")
    return _TO_CLASS[label]


def load_timit(path: str | os.PathLike[str], fold: int = 0) -> SpeechData:
    """The NLTK TIMIT sample, four of its 16 speakers held out.

    Sentences ``sa1`` and ``sa2`` are left out: every speaker says them, so that they would be
    known from training.

    Parameters
    ----------
    path : path
        ``nltk_timit.tar.xz``, or another compression of the folder ``timit`` of NLTK.
    fold : int
        0..3: which speakers are held out, two women and two men of four dialects; every
        speaker is in one fold.

    Returns
    -------
    SpeechData
        96 utterances to train on, 32 to test on.

    Raises
    ------
    DataSetError
        If the file is missing or is no such archive.
    ValueError
        For another fold.
    """
    if fold not in range(4):
        raise ValueError(f"fold {fold}: must be 0 to 3, there are 16 speakers and 4 are held out")
    utterances = _utterances(os.fspath(path))
    speakers = sorted({u.speaker for u in utterances})
    if len(speakers) != 16 or len(utterances) != 128:
        raise DataSetError(
            f"{os.fspath(path)} holds {len(utterances)} utterances of {len(speakers)} speakers "
            "without sa1 and sa2, expected 128 of 16: give NLTK's TIMIT sample"
        )
    held_out = set(_held_out(speakers, fold))
    train = [u for u in utterances if u.speaker not in held_out]
    test = [u for u in utterances if u.speaker in held_out]
    every = np.concatenate([u.frames for u in train]).astype(np.float64)
    mean, std = every.mean(axis=0), every.std(axis=0)
    return SpeechData(*(tuple(_scaled(u, mean, std) for u in part) for part in (train, test)))


def _held_out(speakers: list[str], fold: int) -> list[str]:
    # Sorted by name, a woman stands before the man of her dialect: the shift by one from
    # group to group gives every fold two of each.
    return [speakers[4 * group + (fold + group) % 4] for group in range(4)]


def _scaled(u: Utterance, mean: npt.NDArray[Any], std: npt.NDArray[Any]) -> Utterance:
    return Utterance(u.name, u.speaker, ((u.frames - mean) / std).astype(np.float32), u.phones)


@lru_cache(maxsize=1)
def _utterances(path: str) -> tuple[Utterance, ...]:
    try:
        with tarfile.open(path) as archive:
            files = _files(archive)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise DataSetError(
            f"{path} cannot be read as an archive ({reason_of(error)}): give nltk_timit.tar.xz, "
            "or the folder timit of NLTK's data as a tar file"
        ) from error
    whole = {name: parts for name, parts in files.items() if {"wav", "phn"} <= set(parts)}
    return tuple(_utterance(name, parts) for name, parts in sorted(whole.items()))


def _files(archive: tarfile.TarFile) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = defaultdict(dict)
    for member in archive:
        stem, _, suffix = member.name.rpartition(".")
        content = archive.extractfile(member) if suffix in ("wav", "phn") else None
        name = "/".join(stem.split("/")[-2:])
        if content is not None and name.rpartition("/")[2] not in ("sa1", "sa2"):
            found[name][suffix] = content.read()
    return found


def _utterance(name: str, parts: dict[str, bytes]) -> Utterance:
    with wave.open(io.BytesIO(parts["wav"])) as file:
        kind = (file.getframerate(), file.getsampwidth(), file.getnchannels())
        if kind != (RATE, 2, 1):
            raise DataSetError(f"{name}.wav has {kind}, expected one channel of 16 bits at 16 kHz")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    frames = features(samples)
    speaker = name.partition("/")[0]
    return Utterance(name, speaker, frames, _phones(parts["phn"].decode(), len(frames)))


def _phones(text: str, count: int) -> npt.NDArray[np.int64]:
    """The phone at the middle of every frame."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    ends = np.array([int(end) for _, end, _ in lines])
    classes = np.array([fold_phone(label) for *_, label in lines], np.int64)
    middles = np.arange(count) * SHIFT + WINDOW // 2
    return classes[np.minimum(np.searchsorted(ends, middles, side="right"), len(ends) - 1)]


def features(samples: npt.NDArray[np.integer]) -> FloatArray:
    """Features of speech at 16 kHz.

    Parameters
    ----------
    samples : int array (N,)
        At least one window of 400.

    Returns
    -------
    float32 array (1 + (N - 400) // 160, 153)
        Logarithms of 50 mel filters and of the energy, their first, their second differences.

    Raises
    ------
    ValueError
        For fewer samples.
    """
    if len(samples) < WINDOW:
        raise ValueError(f"{len(samples)} samples: at least {WINDOW} (25 ms) make a frame")
    sound = samples.astype(np.float64)
    sound[1:] -= 0.97 * sound[:-1].copy()
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::SHIFT] * np.hamming(WINDOW)
    power = np.abs(np.fft.rfft(frames, TRANSFORM)) ** 2 / TRANSFORM
    bands = np.concatenate([power @ _mel_filters().T, power.sum(axis=1, keepdims=True)], axis=1)
    still = np.log(np.maximum(bands, 1.0))  # one step of a 16-bit sample
    first = _differences(still)
    return np.concatenate([still, first, _differences(first)], axis=1).astype(np.float32)


@lru_cache(maxsize=1)
def _mel_filters() -> npt.NDArray[np.float64]:
    """Triangles of equal width on the mel scale, (50, 257)."""
    mel = 1127 * np.log1p(np.linspace(0, RATE / 2, TRANSFORM // 2 + 1) / 700)
    edges = np.linspace(0, mel[-1], FILTERS + 2)
    low, middle, high = (edges[n : n + FILTERS, None] for n in range(3))
    triangles = np.minimum((mel - low) / (middle - low), (high - mel) / (high - middle))
    return np.asarray(np.maximum(triangles, 0))


def _differences(frames: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Slope of a line through five frames; the first and last are repeated at the ends."""
    wide = np.pad(frames, ((2, 2), (0, 0)), mode="edge")
    count = len(frames)
    slope = sum(n * (wide[2 + n : 2 + n + count] - wide[2 - n : 2 - n + count]) for n in (1, 2))
    return np.asarray(slope) / 10
