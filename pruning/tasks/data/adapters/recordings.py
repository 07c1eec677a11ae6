"""Recordings with an answer at every frame, and what is done with them before they are written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.inputs.sounds import SoundFeatures

from ..wrong_data import IGNORED, DataSetError

__all__ = [
    "MOST_CLASSES",
    "MOST_FEATURES",
    "MOST_VALUES",
    "Recordings",
    "ahead",
    "check_values",
    "one_each",
    "windows",
]

#: More are no features of one frame, and no classes.
MOST_FEATURES = 4096
MOST_CLASSES = 65536
#: Numbers of all frames together, 2 GB of them.
MOST_VALUES = 1 << 28

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recordings:
    """Sequences as they were found.

    Parameters
    ----------
    sequences : tuple of float64 arrays (T, X)
        Raw features.
    answers : tuple of arrays (T,) or (T, Y)
        At every frame a class, int64 (``IGNORED`` where none counts), or numbers, float64.
        Empty where there are none.
    sources : tuple of str
        What each sequence comes from: those of one source are never divided.
    called : tuple of str
        Where each sequence stands, for messages.
    label_names : tuple of str
        Of the classes, where they have names.
    one_each : bool
        Whether the answers have been joined: shapes are () and (Y,) then.
    sounds : SoundFeatures, optional
        How frames were made of sounds.
    """

    sequences: tuple[FloatArray, ...]
    answers: tuple[npt.NDArray[Any], ...]
    sources: tuple[str, ...]
    called: tuple[str, ...]
    label_names: tuple[str, ...] = ()
    one_each: bool = False
    sounds: SoundFeatures | None = None

    @property
    def classes(self) -> bool:
        """Whether the answers are classes."""
        return bool(self.answers) and self.answers[0].dtype.kind == "i"

    @property
    def frames(self) -> int:
        """Frames of all sequences together."""
        return sum(map(len, self.sequences))

    def chosen(self, places: list[int]) -> Recordings:
        """The sequences at these places, with what belongs to them."""
        parts = (self.sequences, self.answers, self.sources, self.called)
        found = (tuple(part[n] for n in places) if part else () for part in parts)
        sequences, answers, sources, called = found
        return replace(self, sequences=sequences, answers=answers, sources=sources, called=called)  # type: ignore[arg-type]


def check_values(count: int) -> None:
    """Refuse more numbers than memory is meant for; a small file may claim any number.

    Raises
    ------
    DataSetError
        Naming both.
    """
    if count > MOST_VALUES:
        raise DataSetError(
            f"{count:,} numbers, at most {MOST_VALUES:,}: give fewer rows, fewer features, or "
            "larger strides"
        )


def ahead(given: Recordings, frames: int) -> tuple[Recordings, list[str]]:
    """Every frame with the answer of so many frames later; the last ones have none and go.

    Returns
    -------
    Recordings, list of str
        And what was left out, in words.

    Raises
    ------
    DataSetError
        If no sequence is longer.
    """
    kept = [n for n, sequence in enumerate(given.sequences) if len(sequence) > frames]
    if not kept:
        raise DataSetError(f"--horizon {frames}: no sequence has more frames; look less far ahead")
    left = given.chosen(kept)
    moved = replace(
        left,
        sequences=tuple(s[:-frames] for s in left.sequences),
        answers=tuple(a[frames:] for a in left.answers),
    )
    gone = len(given.sequences) - len(kept)
    return moved, [f"{gone} sequences of at most {frames} frames are left out"] * bool(gone)


def windows(given: Recordings, size: int, stride: int) -> tuple[Recordings, list[str]]:
    """Cut every recording into windows; frames at the end that fill none go.

    Raises
    ------
    DataSetError
        If no recording is as long.
    """
    places = [
        (n, at)
        for n, sequence in enumerate(given.sequences)
        for at in range(0, len(sequence) - size + 1, stride)
    ]
    check_values(len(places) * size * given.sequences[0].shape[1])
    if not places:
        longest = max(map(len, given.sequences))
        raise DataSetError(f"--window {size}: the longest recording has {longest} frames")
    cut = Recordings(
        tuple(given.sequences[n][at : at + size] for n, at in places),
        tuple(given.answers[n][at : at + size] for n, at in places) if given.answers else (),
        tuple(given.sources[n] for n, _ in places),
        tuple(f"{given.called[n]}, frames {at} to {at + size - 1}" for n, at in places),
        given.label_names,
        sounds=given.sounds,
    )
    short = sum(len(sequence) < size for sequence in given.sequences)
    told = [f"{len(given.sequences)} recordings make {len(places)} windows of {size} frames"]
    return cut, told + [f"{short} recordings are shorter and left out"] * bool(short)


def one_each(given: Recordings, cut: bool) -> tuple[Recordings, list[str]]:
    """One answer a sequence instead of one a frame.

    Parameters
    ----------
    given : Recordings
    cut : bool
        Whether the sequences are windows: one with several classes is left out then, and of
        numbers the last frame's count.

    Raises
    ------
    DataSetError
        If the answers of a whole recording differ.
    """
    if not given.answers:
        return given, []
    mixed = [n for n, answer in enumerate(given.answers) if (answer != answer[0]).any()]
    if mixed and not cut:
        n = mixed[0]
        at = int((given.answers[n] != given.answers[n][0]).reshape(len(given.answers[n]), -1)
                 .any(axis=1).argmax())  # fmt: skip
        raise DataSetError(
            f"{given.called[n]} has more than one answer: frame {at} differs from frame 0; say "
            "--per frame, or cut windows with --window"
        )
    joined = replace(given, answers=tuple(a[-1] for a in given.answers), one_each=True)
    if not given.classes:
        return joined, ["the target of a window is that of its last frame"] * bool(mixed)
    unanswered = [n for n, answer in enumerate(joined.answers) if answer == IGNORED]
    gone = {*mixed, *unanswered}
    kept = [n for n in range(len(given.sequences)) if n not in gone]
    if not kept:
        raise DataSetError("no sequence has one class: say --per frame, or cut shorter windows")
    told = [f"{len(mixed)} windows with several classes are left out"] * bool(mixed)
    rest = len(gone) - len(mixed)
    return joined.chosen(kept), told + [f"{rest} sequences do not count, left out"] * bool(rest)
