"""What the driver takes frames for: nothing is scaled twice, nothing in silence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from boards.host.driver import Accelerator
from boards.host.inputs import integers_of
from compiler.array.needs import design_for
from csb_format import InputScale
from csb_format.random_models import random_model
from engine.reference import IntegerModel

PLAIN = random_model(np.random.default_rng(1), 3, 4, 1, 1, 1, 8, 8, 2)
SCALE = InputScale(np.array([100.0, -3.0, 0.0]), np.array([0.01, 2.0, 1.0]))
MODEL = replace(PLAIN, input_scale=SCALE)
RAW = np.array([[150.0, -2.5, 0.25], [-20.0, -3.5, 1.0]])


def test_the_driver_scales_raw_features_and_says_so() -> None:
    fixed = MODEL.layers[0].input
    integers = fixed.quantise(SCALE.apply(RAW))
    (trace,) = IntegerModel(MODEL).run([integers])
    with Accelerator.open("model", design_for(MODEL, 4, 1)) as board:
        board.load(MODEL)
        for frames, given, told in [
            (RAW, None, "raw"),
            (RAW.astype(np.float32), "raw", "raw"),
            (SCALE.apply(RAW), "scaled", "scaled"),
            (integers, None, "integers"),
        ]:
            states = board.run(frames, given=given)  # type: ignore[arg-type]
            assert np.array_equal(states.hidden, trace.hidden), told
            assert states.given == told


def test_whole_numbers_are_raw_only_where_that_is_said() -> None:
    counts = np.array([[90, -3, 0]])
    wanted = MODEL.layers[0].input.quantise(SCALE.apply(counts))
    assert np.array_equal(integers_of(MODEL, counts, "raw")[0], wanted)
    assert integers_of(MODEL, counts)[0].tolist() == counts.tolist()


WRONG: list[tuple[Any, Any, str | None, str]] = [
    (PLAIN, RAW, None, "frames are float64: quantise them to integers first"),
    (PLAIN, RAW, "raw", "the model knows no scale: pack it"),
    (MODEL, RAW, "integers", "frames are float64: quantise"),
    (MODEL, [[300, 0, 0]], None, 'quantise them to it, or say given="raw"'),
    (MODEL, RAW[:, :2], None, r"shape \(2, 2\): give \(T, 3\)"),
    (MODEL, RAW * np.nan, None, r"raw feature at \(0, 0\) is nan"),
    (MODEL, RAW * np.inf, "scaled", "remove NaN and infinity"),
    (MODEL, RAW, "maybe", "given = 'maybe': choose one of integers, raw, scaled"),
    (MODEL, [["a", "b", "c"]], "scaled", "give numbers"),
]


@pytest.mark.parametrize(("model", "frames", "given", "message"), WRONG, ids=range(len(WRONG)))
def test_frames_that_are_none(model: Any, frames: Any, given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        integers_of(model, frames, given)
