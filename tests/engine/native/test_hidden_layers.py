"""Heads of several linear layers beside the C library, which has none and says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from csb_format import Model, save_model
from csb_format.random_models import random_frames, random_network
from engine.native.library import NativeError
from engine.native.model import NativeModel
from engine.reference import IntegerModel


def model(pool: str = "last") -> Model:
    rng = np.random.default_rng(0)
    return replace(random_network(rng, 6, 8, 2, (2, 2, 2), head=5, hidden=(7, 4)), pool=pool)


@pytest.mark.parametrize("pool", ["last", "every"])
def test_logits_are_those_of_the_model(tmp_path: Path, pool: str) -> None:
    save_model(tmp_path / "model.sft", model(pool))
    frames = random_frames(np.random.default_rng(1), model(), [5])
    (wanted,) = IntegerModel(model()).run(frames)
    for native in (NativeModel(model(pool)), NativeModel(tmp_path / "model.sft")):
        (found,) = native.run(frames)
        np.testing.assert_array_equal(found.output, wanted.output)
        logits = model(pool).logits(wanted.output)
        np.testing.assert_array_equal(native.logits(found.output), logits)
        assert native.shape.classes == 5
        with pytest.raises(ValueError, match="the head has several linear layers, of which the l"):
            native.top(found.output, 2)


def test_the_library_says_what_it_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.sft"
    save_model(path, model())
    plain = replace(model(), head=None)
    monkeypatch.setattr("engine.native.model.load_model", lambda _: plain)
    with pytest.raises(NativeError, match=r"model.sft: its head has several linear layers: this"):
        NativeModel(path)
