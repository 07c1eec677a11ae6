"""Builds follow hardware and tools; runs at the same time do not meet; any path will do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler.lower.compile import compile_model
from csb_format.files.ownership import PlaceError
from hdl.verilog import VerilogFiles, emit_verilog
from sim.run import build_cache, builds
from sim.run.builds import build_name, built, is_built, plain_sources, tools, workplace
from sim.run.errors import SimulationError
from sim.run.free_running import simulate_free_running
from sim.run.processes import CHANGES_TOOLS, environment, watched
from sim.run.scenario import Job
from sim.run.verilog import simulate_verilog

ODD = "a b#c:d$e'é"


@pytest.fixture
def other(case: Any, tmp_path: Path) -> tuple[VerilogFiles, Any]:
    """Another model on the same hardware: the same Verilog, other memories."""
    layer = case.image.model.layers[0]
    changed = replace(layer, bias=layer.bias[::-1].copy())
    image = compile_model(replace(case.image.model, layers=(changed,)), case.image.design)
    return emit_verilog(image.design, tmp_path / "other", image), image


def test_a_build_is_of_its_tools(files: VerilogFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build_name(files, "icarus")
    assert files.sha256[:16] in before
    assert set(tools("icarus")) == {"python", "iverilog", "cocotb", "ours"}
    assert set(tools("verilator")) == {
        "python", "verilator", "g++", "make", "perl", "cocotb", "ours",
    }  # fmt: skip
    assert all(tools("verilator").values())
    assert sys.prefix in tools("icarus")["python"]
    assert "Icarus Verilog version" in tools("icarus")["iverilog"]
    for name, value in {"prefix": "/moved/venv", "version": "3.99"}.items():
        with monkeypatch.context() as patch:
            patch.setattr(sys, name, value)
            tools.cache_clear()
            assert build_name(files, "icarus") != before
        tools.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(builds, "version", lambda name: "99")
        tools.cache_clear()
        assert build_name(files, "icarus") != before
    tools.cache_clear()
    assert build_name(files, "icarus") == before


def test_a_build_runs_once_for_all(tmp_path: Path) -> None:
    calls = []

    def make(place: Path) -> None:
        calls.append(place)
        time.sleep(0.1)
        (place / "program").touch()

    with ThreadPoolExecutor(4) as pool:
        seconds = list(pool.map(lambda _: built(tmp_path / "b" / "x", make), range(4)))
    assert calls == [tmp_path / "b" / "x"]
    assert sum(s > 0 for s in seconds) == 1
    assert is_built(tmp_path / "b" / "x")


def test_half_a_build_is_done_again(tmp_path: Path) -> None:
    def dies(place: Path) -> None:
        (place / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built(tmp_path / "b", dies)
    assert not (tmp_path / "b").exists()  # Ctrl-C leaves nothing behind
    (tmp_path / "b").mkdir()  # who is killed does
    (tmp_path / "b" / "half").touch()
    assert not is_built(tmp_path / "b")
    built(tmp_path / "b", lambda place: (place / "whole").touch())
    assert not (tmp_path / "b" / "half").exists()


def test_runs_at_the_same_time_have_folders_of_their_own(tmp_path: Path) -> None:
    with workplace(tmp_path, "n") as one, workplace(tmp_path, "n") as two:
        assert one.build == two.build
        assert one.run != two.run
        (one.run / "log").write_text("one")
    assert (tmp_path / "run" / "n" / "log").read_text() == "one"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["n"]


def test_a_build_folder_of_others_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a user has no folder for caches, builds lie beside the run."""
    monkeypatch.setattr(builds, "builds_of_user", lambda: None)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "thesis.pdf").touch()
    with pytest.raises(PlaceError, match=r"holds build/thesis\.pdf"), workplace(tmp_path, "n"):
        pytest.fail("it was taken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build"]


@pytest.mark.slow
def test_two_models_of_one_design_in_one_folder(
    case: Any, files: VerilogFiles, other: tuple[VerilogFiles, Any], tmp_path: Path
) -> None:
    work, (second, image) = tmp_path / "work", other
    assert second.sha256 == files.sha256
    jobs = [(files, Job.of(case.image, case.sequences)), (second, Job.of(image, case.sequences))]

    def run(given: tuple[VerilogFiles, Job]) -> list[int]:
        return simulate_verilog(*given, work, simulator="icarus").outcome.payloads

    alone = [run(job) for job in jobs]
    assert alone[0] != alone[1]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, jobs * 2)) == alone * 2


def test_any_path_will_do(
    case: Any, files: VerilogFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, job = tmp_path / ODD, Job.of(case.image, case.sequences)
    monkeypatch.setenv(build_cache.FOLDER, str(work / "kept"))
    odd = emit_verilog(case.image.design, work / "verilog", case.image)
    first = simulate_verilog(odd, job, work, simulator="icarus", waves=True)
    again = simulate_verilog(odd, job, work, simulator="icarus", waves=True)
    assert first.outcome == again.outcome
    assert (first.build_seconds > 0, again.build_seconds) == (True, 0)
    assert len(list(work.rglob("*.fst"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("free", [False, True])
def test_any_path_will_do_for_verilator(
    case: Any, tmp_path: Path, quick_builds: None, free: bool
) -> None:
    work, job = tmp_path / ODD, Job.of(case.image, case.sequences)
    odd = emit_verilog(case.image.design, work / "verilog", case.image)
    run: Callable[..., Any] = simulate_free_running if free else simulate_verilog
    assert run(odd, job, work).outcome == run(odd, job, work).outcome


def test_an_environment_that_linkers_cannot_take_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a b" / "cocotb").mkdir(parents=True)
    (tmp_path / "a b" / "cocotb" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "a b")
    monkeypatch.delitem(sys.modules, "cocotb", raising=False)
    with pytest.raises(SimulationError, match=r"cocotb lies in .*a b.*: make the environment in"):
        plain_sources([], tmp_path)


def test_a_checkout_that_python_cannot_find_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builds, "ROOT", Path("/a:b"))
    with pytest.raises(SimulationError, match=r"/a:b has a ':' in its path"):
        plain_sources([], tmp_path)


CHANGING = [
    "COCOTB_TEST_FILTER", "COCOTB_TEST_MODULES", "GPI_EXTRA", "GPI_USERS", "LIBPYTHON_LOC",
    "VERILATOR_ROOT", "VERILATOR_TEST_FLAGS", "VERILATOR_BIN", "SIM_CMD_PREFIX", "WAVES",
    "CXXFLAGS", "CFLAGS", "CPPFLAGS", "LDFLAGS", "LDLIBS", "CXX", "CC", "OPT_FAST", "OBJCACHE",
    "MAKEFILES", "MAKELEVEL", "MFLAGS", "GNUMAKEFLAGS", "CPATH", "CPLUS_INCLUDE_PATH",
    "PYTHONHOME", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PERL5OPT", "PERL5LIB", "IVERILOG_ICONFIG",
]  # fmt: skip
HARMLESS = [
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "PYTHONHASHSEED",
    "OMP_NUM_THREADS",
]


def test_what_changes_tools_stays_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*CHANGING, *HARMLESS):
        monkeypatch.setenv(name, "given")
    found = environment()
    assert [name for name in CHANGING if name in found] == []
    assert [name for name in HARMLESS if "given" not in found[name]] == []
    assert CHANGES_TOOLS.fullmatch("OPTIONS") is None
    monkeypatch.setenv("MAKEFLAGS", "--touch")
    assert "--touch" not in environment()["MAKEFLAGS"]


def test_a_users_settings_do_not_reach_a_simulation(
    case: Any, files: VerilogFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {"COCOTB_TEST_FILTER": "nothing", "GPI_EXTRA": "no:where", "SIM_CMD_PREFIX": "false"}
    bad |= {
        "PYTHONHOME": "/nowhere",
        "COCOTB_RESULTS_FILE": "/nowhere/x",
        "PYTHONWARNINGS": "error",
    }
    for name, value in bad.items():
        monkeypatch.setenv(name, value)
    run = simulate_verilog(files, Job.of(case.image, case.sequences), tmp_path, simulator="icarus")
    assert run.outcome.payloads


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


PROGRAM = """
import signal
import sys
from pathlib import Path
from sim.run.processes import watched
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it, and so would we
tree = "sleep 600 & echo $! >pid; sleep 600"
watched("it", ["sh", "-c", tree], Path(sys.argv[1]) / "log", 600, folder=Path(sys.argv[1]))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_no_tool_outlives_us_however_we_end(tmp_path: Path, number: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)])
    note, deadline = tmp_path / "pid", time.monotonic() + 60
    while not (note.exists() and note.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, number)
    assert process.wait() == -number
    while alive(int(note.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_tool_that_ends_leaves_no_guard(tmp_path: Path) -> None:
    before = {path.name for path in Path("/proc").glob("[0-9]*")}
    watched("it", ["true"], tmp_path / "log", 10)
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    assert set(children) <= before
