"""Temporary files of tools: in the folder of their run, gone with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from csb_format.files.folders import is_plain
from hdl.verilog import VerilogFiles
from sim.run import verilog
from sim.run.processes import scratch, watched
from sim.run.scenario import Job
from sim.run.verilog import simulate_verilog

LEAVES = 'test -d "$TMPDIR" && touch "$TMPDIR/left" && echo "$TMPDIR"'


@pytest.mark.parametrize("name", ["run", "a run"])
def test_temporary_files_go_with_the_run(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    log = tmp_path / name / "build.log"
    with scratch(log) as extra:
        watched("build", ["sh", "-c", LEAVES], log, 10, extra=extra)
        assert (Path(extra["TMPDIR"]) / "left").exists()
    place = Path(log.read_text().strip())
    assert is_plain(place)  # tools can take it
    assert (place.parent == log.parent) == (name == "run")
    assert not place.exists()


def test_what_a_killed_run_left_goes_at_the_next(tmp_path: Path) -> None:
    (tmp_path / "build.tmp").mkdir()
    (tmp_path / "build.tmp" / "ivrlg1").touch()
    with scratch(tmp_path / "build.log") as extra:
        assert not list(Path(extra["TMPDIR"]).iterdir())
    assert not list(tmp_path.iterdir())


def test_simulators_are_given_it(
    case: Any,
    files: VerilogFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own_builds: Path,
) -> None:
    """Icarus' files lie there while it builds and runs."""
    seen: list[str] = []

    def noted(action: str, *given: Any, extra: dict[str, str], **others: Any) -> None:
        seen.append(f"{action} {Path(extra['TMPDIR']).name}")
        watched(action, *given, extra=extra, **others)

    monkeypatch.setattr(verilog, "watched", noted)
    simulate_verilog(files, Job.of(case.image, case.sequences), tmp_path, simulator="icarus")
    assert seen == ["build build.tmp", "test simulation.tmp"]
