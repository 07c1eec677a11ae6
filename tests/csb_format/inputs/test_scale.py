from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format import InputScale, ModelFileError, ScaleError, load_model, save_model
from csb_format.random_models import random_model

RNG = np.random.default_rng


def scale_of(mean: list[float], factor: list[float]) -> InputScale:
    return InputScale(np.array(mean, np.float64), np.array(factor, np.float64))


PLAIN = random_model(RNG(1), 3, 4, 1, 1, 1, 8, 8, 2)


def test_a_fitted_scale_gives_mean_0_and_deviation_1() -> None:
    frames = [RNG(n).normal([5, -3, 1e6], [2, 0.01, 1e4], (40, 3)) for n in range(3)]
    scaled = np.concatenate([InputScale.fit(frames, "standard").apply(f) for f in frames])
    assert scaled.dtype == np.float32
    assert scaled.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-5)
    assert scaled.std(axis=0) == pytest.approx([1, 1, 1], rel=1e-5)
    ranged = np.concatenate([InputScale.fit(frames, "minmax").apply(f) for f in frames])
    assert (ranged.min(axis=0).tolist(), ranged.max(axis=0).tolist()) == ([0] * 3, [1] * 3)


@pytest.mark.parametrize("value", [0.0, 0.1, -7e9])
def test_a_constant_input_becomes_0(value: float) -> None:
    scale = InputScale.fit([np.full((7, 1), value)], "standard")
    assert (scale.factor.tolist(), scale.apply([[value]]).tolist()) == ([1.0], [[0.0]])


WRONG: list[tuple[Any, str]] = [
    (lambda: scale_of([0.0, 1.0], [1.0]), "2 means and 1 factors"),
    (lambda: scale_of([0.0], [0.0]), "factor 0 of input 0: it must be above 0"),
    (lambda: scale_of([np.nan], [1.0]), "mean of an input scale"),
    (lambda: scale_of([], []), "mean of an input scale"),
    (lambda: InputScale.fit([np.ones((2, 1))], "log"), "scale 'log': choose one of standard"),
    (lambda: InputScale.fit([np.array([[1e300], [-1e300]])], "standard"), "in other units"),
    (lambda: scale_of([0.0], [1.0]).apply(np.ones((2, 2))), r"shape \(2, 2\): give numbers, 1"),
    (lambda: scale_of([0.0], [1.0]).apply([["a"]]), "raw features of <U1"),
    (lambda: scale_of([0.0], [1e30]).apply([[1.0], [1e20]]), r"at \(1, 0\) is 1e\+20: scaled"),
    (lambda: scale_of([0.0], [1.0]).apply([[np.nan]]), r"at \(0, 0\) is nan"),
]


@pytest.mark.parametrize(("made", "message"), WRONG, ids=range(len(WRONG)))
def test_scales_that_are_none(made: Any, message: str) -> None:
    with pytest.raises(ScaleError, match=message):
        made()


def test_model_files_carry_scale_and_names_bit_for_bit(tmp_path: Path) -> None:
    scale = scale_of([0.1, -1 / 3, 1e-300], [1e300, 5e-324, np.pi])
    model = replace(PLAIN, input_scale=scale, label_names=("l\u00e4uft", "steht still"))
    save_model(tmp_path / "a", model)
    loaded = load_model(tmp_path / "a")
    assert loaded.equals(model)
    assert not loaded.equals(PLAIN)
    assert loaded.input_scale is not None
    assert loaded.input_scale.factor.tobytes() == scale.factor.tobytes()
    assert loaded.label_names == model.label_names
    save_model(tmp_path / "b", replace(loaded, input_scale=None, label_names=()))
    save_model(tmp_path / "c", PLAIN)
    assert (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()
    assert b"input" not in (tmp_path / "c").read_bytes().replace(b"inputs", b"").replace(
        rb"\"input\"", b""
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_scale": scale_of([0.0], [1.0])}, "a scale of 1 inputs, and a model of 3"),
        ({"label_names": ("a",)}, "1 names of classes, and 2 classes"),
        ({"label_names": ("a", "a")}, "two classes are called 'a'"),
        ({"label_names": ("a", "b\n")}, r"name 'b\\n' of a class: give printable"),
        ({"label_names": ("a", "")}, "name '' of a class"),
        ({"head": None, "label_names": ("a",)}, "1 names of classes, and 0 classes"),
    ],
)
def test_what_does_not_fit_a_model(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **change)


def test_a_changed_factor_is_a_changed_file(tmp_path: Path) -> None:
    save_model(tmp_path / "a", replace(PLAIN, input_scale=scale_of([1.5] * 3, [2.5] * 3)))
    data = (tmp_path / "a").read_bytes()
    at = data.index(np.float64(2.5).tobytes())
    (tmp_path / "a").write_bytes(data[:at] + np.float64(2.25).tobytes() + data[at + 8 :])
    with pytest.raises(ModelFileError, match="checksum does not match"):
        load_model(tmp_path / "a")
