"""The commands that know boards, as a user sees them: nothing cut off at 80 columns."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from boards import resources as fitting
from boards.board import BoardError, board, board_names
from csb_format import save_model
from csb_format.random_models import random_model, random_network
from sparseflow.commands import board_commands
from sparseflow.commands.activity import _finish, _tellers, activities


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, random_model(np.random.default_rng(0), 4, 16, banks=4, k_ih=1, k_hh=1))
    return path


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_boards_lists_all_of_them_with_what_fits(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board_commands.boards(model)
    text = capsys.readouterr().out
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= 80
    rows = {line.split()[0]: line for line in text.splitlines() if line.split()[:1]}
    for name in board_names():
        assert " x " in rows[name] or rows[name].rstrip().endswith("none")
    assert "10AX115S2F45I1SG" in text


def test_boards_takes_the_size_of_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    board_commands.boards()
    text = capsys.readouterr().out
    assert "12 inputs, 128 units, 8 banks" in text
    assert "16 x 8" in next(line for line in text.splitlines() if "ulx3s" in line)


@pytest.mark.slow
def test_boards_shows_what_build_takes(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board_commands.boards(model)
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.split()}
    for name in ("arty_a7", "arty_a7_35t", "de10_nano", "kv260"):
        board_commands.build(model, name, tmp_path / name)
        data = json.loads((tmp_path / name / "summary.json").read_text())
        assert f"{data['M']} x {data['N']}" in rows[name]


def test_a_board_of_ones_own_is_known_to_all(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "my_board.toml"
    text = resources.files("boards").joinpath("data", "ulx3s.toml").read_text("utf-8")
    own.write_text(text.replace('"ULX3S-25F"', '"Of mine"'))
    board_commands.boards(model, board=f"{own}:25f")
    text = capsys.readouterr().out
    assert "my_board_25f" in text
    assert "icebreaker" not in text
    board_commands.fit(model, f"{own}:25f")
    assert "Of mine: " in capsys.readouterr().out


def test_fit_shows_the_fastest_first(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board_commands.fit(model, "ecpix5")
    text = capsys.readouterr().out
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    rows = [line.split() for line in text.splitlines() if " yes " in line]
    assert f"{' '.join(rows[0][:3])} is the fastest, {rows[0][-1]} us a step" in text
    times = [float(row[-1]) for row in rows]
    assert times == sorted(times)
    assert "as measured" in text


def test_fit_says_where_gates_wait_for_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    k = (4, 2, 13, 5), (2, 1, 5, 3), 1
    save_model(tmp_path / "gates", random_network(np.random.default_rng(0), 200, 200, 8, k))
    board_commands.fit(tmp_path / "gates", "ulx3s")
    text = capsys.readouterr().out
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "padded: gates wait for the one that keeps most weights." in text
    assert " padded" not in next(line for line in text.splitlines() if " yes " in line)


def test_fit_says_that_a_clock_is_guessed(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board_commands.fit(model, "arty_a7")
    assert "MHz: a guess" in capsys.readouterr().out


def test_fit_shows_the_nearest_where_nothing_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = random_model(np.random.default_rng(0), 12, 256, banks=1, k_ih=2, k_hh=128)
    save_model(tmp_path / "large", large)
    with pytest.raises(BoardError, match="no array of ECPIX-5 45F holds this model: the smallest"):
        board_commands.fit(tmp_path / "large", "ecpix5")
    text = capsys.readouterr().out
    assert "nothing fits" in text
    assert 0 < sum(" no " in line for line in text.splitlines()) <= board_commands.NEAR


@pytest.mark.parametrize(("units", "k"), [(32, 4), pytest.param(384, 192, marks=pytest.mark.slow)])
def test_fit_proposes_streamed_designs_where_nothing_fits(
    units: int,
    k: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = random_model(np.random.default_rng(0), 16, units, banks=2, k_ih=8, k_hh=k)
    save_model(tmp_path / "large", large)
    if units == 32:  # it would fit: as if it did not
        one = replace(fitting.choice(large, board("kv260"), 4, 2, 2), fits=False)
        monkeypatch.setattr(fitting, "choices", lambda *given: [one])
    places = {name: tmp_path / f"fit.{name}" for name in ("json", "html")}
    board_commands.fit(tmp_path / "large", "kv260", contexts=2, **places)
    text = capsys.readouterr().out
    assert "nothing fits" in text
    found = json.loads(places["json"].read_text())
    assert not any(row["fits"] for row in found["arrays"])
    assert [row["streams"] for row in found["streamed"]] == [1, 2]
    html = places["html"].read_text()
    for row in found["streamed"]:
        assert row["command"] in text
        assert row["command"].endswith("--base 0")
        assert re.sub(r"<[^>]+>", "", html).count(row["command"]) == 1
        assert f"{row['cycles']:,}" in html
    assert found["streamed"][1]["bytes_a_frame"] == found["streamed"][1]["bytes"] / 2
    lines = [line for line in text.splitlines() if not line.startswith("sparseflow verilog")]
    assert max(len(line.rstrip()) for line in lines) <= 80


def test_build_ends_with_the_page(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "project"
    board_commands.build(model, "de10_nano", out, pes=4, lanes=2)
    printed = capsys.readouterr()
    assert (out / "summary.md").read_text() in printed.out
    assert "s  writing the Quartus project" in printed.err
    with pytest.raises(ValueError, match="--pes and --lanes go together"):
        board_commands.build(model, "de10_nano", out, pes=4)


Until = Callable[[Callable[[], bool]], None]


def children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_build_that_is_ended_leaves_nothing(model: Path, tmp_path: Path, until: Until) -> None:
    """Neither a folder nor a tool that runs on alone."""
    line = [sys.executable, "-m", "sparseflow", "build", str(model), "--board", "ecpix5"]
    line += ["--out", str(tmp_path / "out"), "--pes", "4", "--lanes", "2"]
    with subprocess.Popen(line, stderr=subprocess.DEVNULL) as run:
        try:
            until(lambda: bool(children(run.pid)) and any(tmp_path.rglob("yosys.log")))
            tools = children(run.pid)
            run.terminate()
            assert run.wait(300) == 143
        finally:
            run.kill()
    assert list(tmp_path.iterdir()) == [model]
    assert tools
    until(lambda: not any(Path(f"/proc/{tool}").exists() for tool in tools))


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with activities("build") as (begin, note):
        begin("synthesis")
        note("ABC")
    assert capsys.readouterr().err.split()[1:] == ["s", "synthesis"]


def test_bars_have_a_stage_each_and_its_news() -> None:
    columns = (TextColumn("{task.description}"), TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=Console(file=io.StringIO())) as bars:
        begin, note = _tellers(bars)
        begin("synthesis")
        note("ABC")
        assert bars.tasks[0].fields["note"] == "ABC"
        begin("packing")
        assert [task.finished for task in bars.tasks] == [True, False]
        _finish(bars)
    assert [task.description for task in bars.tasks] == ["synthesis", "packing"]
    assert all(task.finished for task in bars.tasks)
