"""Points are routed at the fastest clock that they reach, and what came of them is kept."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.board import board
from boards.tools.errors import BitstreamError
from csb_format import save_model
from csb_format.random_models import random_network
from sim.jobs import engines
from sim.jobs.store import Store
from sparseflow.commands.cli import app
from sparseflow.steps import build as building
from sparseflow.tune.route import Ordered, Site, best_of, routed, unpack
from tests.sparseflow.tune.routing import Inline, Tools

HOW = Ordered("ulx3s", 7, 2, 60.0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    save_model(path, random_network(np.random.default_rng(0), 12, 24, 4, (1, 1, 1)))
    return path


def test_the_fastest_clock_that_is_met_is_kept(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = Tools({(4, 4): 125.0, (8, 4): 60.0, (16, 4): 0.0})
    monkeypatch.setattr(building, "build", tools)
    store, engine = Store(tmp_path / "store"), Inline(tmp_path)
    digest = store.put(model.read_bytes())
    sites = [Site(f"{m}", digest, m, 4, 250.0) for m in (4, 8, 16)]
    lines: list[str] = []
    found = routed(sites, HOW, store, engine, lines.append)
    # the board's clock is met and a faster one tried; what misses it is left as it is
    assert tools.asked == [100.0, 125.0, 100.0, 100.0]
    assert [one.built.get("clock_mhz") for one in found] == [125.0, 60.0, None]
    assert [one.microseconds for one in found] == [2.0, pytest.approx(250 / 60), None]
    assert "came to nothing" in found[2].failure
    assert best_of(found) is found[0]
    assert lines[0] == "1 of 3 routed: 4 x 4: 125 MHz (125.5 reached, seed 8), 2.00 us (0 s)"
    unpack(found[0], tmp_path / "out")
    assert (tmp_path / "out/sparseflow.bit").read_text() == "(4, 4) 125"
    assert (tmp_path / "out/verilog/top.v").exists()
    unpack(found[1], tmp_path / "out")  # it is ours, so it is replaced
    # nothing runs twice, whether it came to something or not
    again = routed(sites, HOW, store, engine, lines.append)
    assert engine.ran == 3
    assert [(one.built, one.failure) for one in again] == [(o.built, o.failure) for o in found]


def test_what_is_no_matter_of_the_design_is_told(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "build", lambda *a, **b: 1 / 0)
    store = Store(tmp_path / "store")
    site = Site("one", store.put(model.read_bytes()), 4, 4, 9.0)
    with pytest.raises(ValueError, match="place and route of one failed: ZeroDivisionError"):
        routed([site], HOW, store, Inline(tmp_path), print)


def test_a_board_of_ones_own_goes_along(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path("boards/data/ulx3s.toml").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(text)
    seen: list[str] = []

    def build(model: Any, name: str, *rest: Any, **more: Any) -> str:
        seen.append(name)
        assert board(name).part == board("ulx3s_45f").part
        raise BitstreamError("enough")

    monkeypatch.setattr(building, "build", build)
    store = Store(tmp_path / "store")
    site = Site("one", store.put(model.read_bytes()), 4, 4, 9.0)
    how = Ordered("./mine.toml:45f", 1, 1, 60.0)
    (found,) = routed([site], how, store, Inline(tmp_path), print)
    assert found.failure == "enough"
    assert Path(seen[0]).parent != tmp_path  # it was read where the job ran


def test_the_command_builds_the_one_that_stands(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["tune", str(model), "--board", "ulx3s", "--json", "f.json", "--html", "f.html"]
    assert command(words) == 0
    first, second = json.loads(Path("f.json").read_text())["front"][:2]
    sizes = [(row["pes"], row["lanes"]) for row in (first, second)]
    tools = Tools({sizes[0]: 0.0, sizes[1]: 80.0})
    monkeypatch.setattr(building, "build", tools)
    monkeypatch.setattr(engines, "LocalEngine", lambda workers: Inline(tmp_path))
    more = ["--route", "2", "--seeds", "2", "--out", "best", "--work", "store"]
    assert command([*words, *more]) == 0
    shown = capsys.readouterr().out
    found = json.loads(Path("f.json").read_text())
    assert [row.get("failure", "") for row in found["routed"]] == [
        "place and route came to nothing", "",
    ]  # fmt: skip
    assert found["routed"][1]["microseconds"] == second["cycles"] / 80
    assert shlex.split(found["front"][1]["command"])[-4:] == ["--clock", "80", "--seed", "2"]
    assert found["front"][0]["command"] == first["command"]
    assert (Path("best") / "sparseflow.bit").read_text() == f"{sizes[1]} 80"
    assert "placed and routed" in shown
    page = Path("f.html").read_text()
    assert "Placed and routed" in page
    assert "place and route came to nothing" in page


def command(words: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        app(words)
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seeds", "2"], "--seeds is of points that are routed: give --route too"),
        (["--board", "kv260", "--route", "1"], "--route: no open tools place and route"),
        (["--out", "x"], "--out is of a search with trainings: give --data, or no --out"),
        (["--route", "1", "--epochs", "3"], "--epochs is of a search with trainings"),
    ],
)
def test_wrong_options_are_told(model: Path, words: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        app(["tune", str(model), "--board", "ulx3s", *words])
