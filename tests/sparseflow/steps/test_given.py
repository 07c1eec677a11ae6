"""What is given for sequences in Python, and is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sparseflow as sf
from csb_format.arguments import frames_of
from csb_format.random_models import random_model


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("data.npz", "sequences are the path 'data.npz': give a list"),
        ([], r"no sequences: give a list of arrays \(frames, 3\)"),
        (np.zeros((5, 3)), r"sequence 0 has shape \(3,\): .*stands in brackets"),
        (np.zeros((2, 4, 5)), r"sequence 0 has shape \(4, 5\): give a list"),
        ([np.zeros((0, 3))], r"shape \(0, 3\)"),
        ([np.zeros((2, 3)), np.full((2, 3), np.nan)], "sequence 1 holds NaN or infinity"),
        ([np.array([["a"] * 3])], "sequence 0 holds <U1, no numbers"),
        ([[[1, 2, 3], [1, 2]]], "sequence 0 is a list that is no array"),
        ([torch.zeros(2, 3, requires_grad=True)], r"\.detach\(\)\.cpu\(\)\.numpy\(\)"),
    ],
)
def test_what_is_no_list_of_sequences(given: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        frames_of(given, 3)


def test_padded_arrays_of_the_right_width_are_sequences() -> None:
    assert [found.shape for found in frames_of(list(np.zeros((2, 4, 3))), 3)] == [(4, 3)] * 2


def test_verify_and_simulate_look_first() -> None:
    image = sf.compile(random_model(np.random.default_rng(0), 3, 4, 2, 1, 1), 4, 1)
    for run in (sf.verify, sf.simulate):
        with pytest.raises(ValueError, match=r"sequence 0 has shape \(2, 4\)"):
            run(image, [np.zeros((2, 4))])


def test_only_what_is_packed_is_saved(tmp_path: Path) -> None:
    for what in (torch.nn.LSTM(3, 4), {"w": torch.zeros(2, 2)}, "model"):
        with pytest.raises(TypeError, match=r"sf.save takes a model or packed matrices, not "):
            sf.save(what, tmp_path / "m")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["{", "[1]", '{"rows": 3}', "pes = 4"])
def test_a_file_that_is_no_design(tmp_path: Path, text: str) -> None:
    (tmp_path / "design.json").write_text(text)
    with pytest.raises(ValueError, match=r"design.json is no design"):
        sf.open("model", tmp_path)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("serial:/dev/ttyX?baud=abc", "baud 'abc': give the bitstream's rate"),
        ("serial:/dev/ttyX?baud=", "baud '': give"),
        ("serial:/dev/ttyX?baud=0", "baud '0': give"),
        ("serial:/dev/ttyX?baud=-9", "baud '-9': give"),
        ("serial:?baud=9600", "names no port"),
        ("serial:nothing://x", "pyserial cannot open it; name a port"),
    ],
)
def test_a_serial_target_that_is_none(target: str, words: str) -> None:
    image = sf.compile(random_model(np.random.default_rng(0), 3, 4, 2, 1, 1), 4, 1)
    with pytest.raises(ValueError, match=words):
        sf.open(target, image)
