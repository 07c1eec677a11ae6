"""How frames were made of sounds: enough to make the same ones again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["KINDS", "SoundError", "SoundFeatures"]

#: Features of sounds.
KINDS = ("mfcc", "logmel")
LONGEST_MS = 1000
HIGHEST_RATE = 1_000_000  # Hz
MOST = 128
MAKER = "kaldi-native-fbank"
_TEXT = 1000  # characters


class SoundError(ValueError):
    """Settings of features that are none."""


@dataclass(frozen=True)
class SoundFeatures:
    """What kaldi-native-fbank is told; the rest is as it is by default there, without dither.

    Parameters
    ----------
    kind : {"mfcc", "logmel"}
    count : int
        Coefficients, or mel bands, 1..128.
    deltas : int
        Orders of differences in time beside them, 0..2.
    frame_ms, hop_ms : float
        Length of a frame, and from frame to frame, 1..1000.
    rate : int
        Samples a second; 0 where it is not known yet.

    Raises
    ------
    SoundError
        Naming the setting.
    """

    kind: str = "mfcc"
    count: int = 13
    deltas: int = 0
    frame_ms: float = 25.0
    hop_ms: float = 10.0
    rate: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SoundError(f"--features {self.kind}: choose one of {', '.join(KINDS)}")
        for name in ("frame_ms", "hop_ms"):
            value = getattr(self, name)
            if not _is(value, float | int) or not 1 <= value <= LONGEST_MS:
                option = name.replace("_", "-")
                raise SoundError(f"--{option} {value}: give 1 to {LONGEST_MS} milliseconds")
        for name, least, most in (("count", 1, MOST), ("deltas", 0, 2), ("rate", 0, HIGHEST_RATE)):
            value = getattr(self, name)
            if not _is(value, int) or not least <= value <= most:
                raise SoundError(f"{name} {value}: give a whole number, {least} to {most}")

    def __str__(self) -> str:
        rate = f" at {self.rate} Hz" if self.rate else ""
        more = f" and {self.deltas} orders of differences" if self.deltas else ""
        frames = f"frames of {self.frame_ms:g} ms every {self.hop_ms:g} ms"
        return f"{self.count} {self.kind}{more}, {frames}{rate}"

    def text(self) -> str:
        """As files have it: JSON."""
        return json.dumps({"by": MAKER} | asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def of(cls, text: object) -> SoundFeatures:
        """What :meth:`text` gave.

        Raises
        ------
        SoundError
            If it is something else.
        """
        try:
            if not isinstance(text, str) or len(text) > _TEXT:
                raise TypeError
            found: dict[str, Any] = dict(json.loads(text))
            if found.pop("by", None) != MAKER or set(found) != {each.name for each in fields(cls)}:
                raise TypeError
        except (TypeError, ValueError, RecursionError):
            raise SoundError("its settings of features are damaged: write it again") from None
        return cls(**found)


def _is(value: object, kinds: Any) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)
