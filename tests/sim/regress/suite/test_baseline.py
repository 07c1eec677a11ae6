"""Figures against a baseline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sim.regress.suite.baseline import Baseline, BaselineError, accepted, compare, read_baseline

FIGURES = {"cycles": 33, "outputs": "ab", "synthesis.cells": 100}


def changes(was: dict[str, object], now: dict[str, object], **tolerance: float) -> list[str]:
    return [str(change) for change in compare("c", was, now, tolerance)]


def test_figures_are_exact_but_for_those_with_a_tolerance() -> None:
    assert changes(FIGURES, dict(FIGURES), cells=0.02) == []
    assert changes(FIGURES, FIGURES | {"synthesis.cells": 102}, cells=0.02) == []
    assert changes(FIGURES, FIGURES | {"synthesis.cells": 103}, cells=0.02) == [
        "c: synthesis.cells 100 -> 103 (+3.00 %, 2 % allowed)"
    ]
    assert changes(FIGURES, FIGURES | {"cycles": 34}, cells=0.02) == [
        "c: cycles 33 -> 34 (+3.03 %)"
    ]
    assert changes(FIGURES, FIGURES | {"outputs": "b" * 64}) == ["c: outputs ab -> bbbbbbbbbbbb..."]


def test_each_metric_has_its_own_tolerance() -> None:
    was: dict[str, object] = {"cells.LUT4": 1000, "timing.fmax_mhz": 100.0, "cycles": 33}
    now: dict[str, object] = {"cells.LUT4": 1020, "timing.fmax_mhz": 96.0, "cycles": 33}
    assert changes(was, now, LUT4=0.02, fmax_mhz=0.05) == []
    assert changes(was, now, LUT4=0.02, fmax_mhz=0.03) == [
        "c: timing.fmax_mhz 100 -> 96 (-4.00 %, 3 % allowed)"
    ]
    assert changes(was, now, fmax_mhz=0.05) == ["c: cells.LUT4 1000 -> 1020 (+2.00 %)"]


def test_figures_that_come_and_go_are_changes() -> None:
    assert changes({"a": 1}, {"b": 1}) == ["c: a 1 -> none", "c: b none -> 1"]


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    assert read_baseline(path) is None
    Baseline({"c": FIGURES}).write(path, "s")
    assert read_baseline(path) == Baseline({"c": FIGURES})
    assert path.read_text().count("\n") > len(FIGURES)


def test_accepting_a_part_keeps_the_rest() -> None:
    old = Baseline({"a": {"x": 1}, "b": {"x": 2}})
    assert accepted(old, {"b": {"x": 3}}, whole=False).cases == {"a": {"x": 1}, "b": {"x": 3}}
    assert accepted(old, {"b": {"x": 3}}, whole=True).cases == {"b": {"x": 3}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
)


@given(JSON | st.fixed_dictionaries({"cases": JSON}))
def test_any_json_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(content))
    try:
        found = read_baseline(path)
    except BaselineError:
        return
    assert found is not None
    assert all(isinstance(figures, dict) for figures in found.cases.values())


@given(st.binary(max_size=100))
@example(b'{"cases":{"":{"":0}},"":0}')
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(content)
    try:
        found = read_baseline(path)
    except BaselineError:
        return
    assert found is not None
    assert repr(found.cases) == repr(json.loads(content)["cases"])  # NaN is not itself


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"3", b'{"cases": 3}', b"[" * 5000])
def test_what_is_no_baseline_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(BaselineError, match="is no baseline"):
        read_baseline(path)


@pytest.mark.parametrize(
    "figure", ["NaN", "-Infinity", "1e999", "9" * 30, "[1]", "null"], ids=range(6)
)
def test_a_baseline_of_figures_that_never_match_is_refused(tmp_path: Path, figure: str) -> None:
    path = tmp_path / "b.json"
    path.write_text(f'{{"cases": {{"a": {{"x": {figure}}}}}}}')
    with pytest.raises(BaselineError, match=r"finite numbers|no baseline"):
        read_baseline(path)


def test_a_baseline_with_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Baseline({"a": {"x": float("nan")}}).write(tmp_path / "b.json", "s")
    assert not (tmp_path / "b.json").exists()
