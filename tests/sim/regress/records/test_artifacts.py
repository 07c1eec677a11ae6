"""Artifacts: what red cases need and nothing else, in a folder that may be replaced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from csb_format.files.ownership import PlaceError
from sim.regress.jobs.runner import Places
from sim.regress.jobs.verdicts import Run, judged
from sim.regress.records import artifacts
from sim.regress.records.artifacts import check_artifacts, keep_artifacts
from sim.regress.suite.suite import Case, ModelRecipe, Suite

SUITE = Suite("s", {"m": ModelRecipe()}, (), {}, Path())
FAILURE = {"kind": "crash", "text": "it fell", "details": {}}


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "s.toml", tmp_path / "out", tmp_path / "cache")


def run_of(places: Places, *cases: tuple[Case, dict[str, Any] | None]) -> Run:
    results = []
    for case, failure in cases:
        work = places.case(case) / "run-1"
        (work / "inner").mkdir(parents=True)
        (work / "case.log").write_text("")
        (work / "command.log").write_text(f"last words of {case.name}")
        (work / "inner/command.log").write_text("inner words")
        (work / "huge.bin").write_text("x")
        found = {"figures": {}, "times": {}, "bins": [], "reach": [], "log": "", "work": str(work)}
        results.append(
            judged(SUITE, case, found | {"failure": failure}, None, f"again {case.name}")
        )
    return Run("s", 0.0, 1.0, tuple(results), (), True, 0)


def kept(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def program(name: str) -> Case:
    return Case(name, kind="command", command=["x"])


def test_red_cases_alone_are_kept(tmp_path: Path, places: Places) -> None:
    run = run_of(places, (program("good"), None), (program("bad"), FAILURE))
    folder = tmp_path / "red"
    keep_artifacts(SUITE, places, run, folder, "icarus", lambda text: None)
    assert kept(folder) == {
        ".sparseflow.json", "bad/story.txt", "bad/replay.txt", "bad/command.log",
        "bad/inner-command.log",
    }  # fmt: skip
    assert "bad\n\ncrash: it fell\n" in (folder / "bad/story.txt").read_text()
    told = (folder / "bad/story.txt").read_text()
    assert told.endswith("\n\nkind = command\ncommand = ['x']\ntimeout = 600.0\n")
    assert (folder / "bad/replay.txt").read_text() == "again bad\n"
    green = replace(run, results=run.results[:1])
    keep_artifacts(SUITE, places, green, folder, "icarus", lambda text: None)
    assert list(folder.iterdir()) == []
    keep_artifacts(SUITE, places, run, folder, "icarus", lambda text: None)
    assert (folder / "bad").exists()


def test_a_case_that_breaks_what_looks_at_it_is_kept_all_the_same(
    tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No hardware can be made of either; of one nobody even tries."""
    monkeypatch.setattr(artifacts, "MOST_WAVES", 1)
    cases = [(Case(name, model="m", lanes=3), FAILURE) for name in ("one", "two")]
    cases.insert(0, (program("first"), FAILURE))  # it has no waveforms, and takes nobody's place
    told: list[str] = []
    keep_artifacts(SUITE, places, run_of(places, *cases), tmp_path / "red", "icarus", told.append)
    assert told == ["waveforms of one"]
    first, second = ((tmp_path / "red" / n / "no-waves.txt").read_text() for n in ("one", "two"))
    assert first.startswith("no waveforms: DesignError: ")
    assert second.startswith("no waveforms: only the first 1 red cases are run again")
    assert (tmp_path / "red/two/command.log").exists()


def test_logs_are_bounded_together(
    tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "MOST_KEPT", 40)
    run = run_of(places, *((program(name), FAILURE) for name in "abc"))
    keep_artifacts(SUITE, places, run, tmp_path / "red", "icarus", lambda text: None)
    logs = [path for path in kept(tmp_path / "red") if path.endswith(".log")]
    assert sum((tmp_path / "red" / path).stat().st_size for path in logs) <= 40
    assert logs
    assert (tmp_path / "red/c/replay.txt").exists()


def test_a_simulator_writes_no_larger_file(tmp_path: Path) -> None:
    writes = f"open({str(tmp_path / 'f')!r}, 'wb').write(bytes(1 << 20))"
    with artifacts._files_up_to(1 << 16):
        done = subprocess.run([sys.executable, "-c", writes], capture_output=True, check=False)
    assert done.returncode != 0
    assert (tmp_path / "f").stat().st_size <= 1 << 16
    subprocess.run([sys.executable, "-c", writes], check=True)


def test_places_of_others_are_refused(tmp_path: Path, places: Places) -> None:
    for folder in (places.out, places.cache, tmp_path):
        with pytest.raises(PlaceError, match="give a folder of its own"):
            check_artifacts(folder, places)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text(json.dumps("keep me"))
    with pytest.raises(PlaceError, match=r"holds notes\.txt: give a new or an empty folder"):
        check_artifacts(mine, places)
    check_artifacts(places.out / "red", places)
    os.symlink(mine, tmp_path / "link")
    with pytest.raises(PlaceError, match="is a link"):
        check_artifacts(tmp_path / "link", places)
