"""Figures after place and route: what is reached, also where the board wants more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from boards.build import timing
from boards.build.bitstream import BitstreamError
from csb_format.random_models import demo_sized

REACHED = {"lut": 10, "ff": 20, "ram": 3, "dsp": 4, "fmax_mhz": 83.5, "seed": 1, "board": "x"}


def test_a_clock_that_is_missed_is_a_figure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(board: Any, design: Any, image: Any, out: Path, **_: Any) -> None:
        out.mkdir()
        (out / "summary.json").write_text(json.dumps(REACHED))
        raise BitstreamError("the design misses its clock")

    monkeypatch.setattr(timing, "build_bitstream", missing)
    found = timing.measured("ecpix5", demo_sized(), 4, 1, seed=1)
    assert found == {name: REACHED[name] for name in ("lut", "ff", "ram", "dsp", "fmax_mhz")}


def test_a_design_that_does_not_fit_has_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise BitstreamError("does not fit")

    monkeypatch.setattr(timing, "build_bitstream", refused)
    with pytest.raises(BitstreamError, match="does not fit"):
        timing.measured("ecpix5", demo_sized(), 4, 1, seed=1)
