"""Settings of features: told in words, kept as text, refused where they are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from csb_format.inputs.sounds import SoundError, SoundFeatures

PLAIN = SoundFeatures("logmel", 40, 1, 32.0, 8.5, 16_000)


def test_text_and_back() -> None:
    assert SoundFeatures.of(PLAIN.text()) == PLAIN
    assert json.loads(PLAIN.text())["by"] == "kaldi-native-fbank"
    assert str(PLAIN) == (
        "40 logmel and 1 orders of differences, frames of 32 ms every 8.5 ms at 16000 Hz"
    )


@pytest.mark.parametrize(
    "text",
    [None, "", "[]", "7", "{}", "[" * 900, "x" * 2000, PLAIN.text().replace("kaldi", "other"),
     PLAIN.text().replace("rate", "r")],
)  # fmt: skip
def test_text_of_something_else(text: Any) -> None:
    with pytest.raises(SoundError, match="settings of features are damaged"):
        SoundFeatures.of(text)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"kind": "plp"}, "--features plp: choose one of mfcc, logmel"),
        ({"count": 0}, "count 0: give a whole number, 1 to 128"),
        ({"count": True}, "count True: give a whole number"),
        ({"deltas": 3}, "deltas 3: give a whole number, 0 to 2"),
        ({"rate": 2.5}, "rate 2.5: give a whole number"),
        ({"hop_ms": 0.0}, "--hop-ms 0.0: give 1 to 1000 milliseconds"),
        ({"frame_ms": "25"}, "--frame-ms 25: give 1 to 1000"),
    ],
)
def test_settings_out_of_range(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(SoundError, match=told):
        SoundFeatures(**changed)
