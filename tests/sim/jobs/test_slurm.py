"""Tasks on Slurm: the cluster that is here with ``SPARSEFLOW_SLURM=1``, else a stand-in for it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sim.jobs import slurm
from sim.jobs.engines import engine_named
from sim.jobs.run import run_tasks
from sim.jobs.slurm import MEMORY, SlurmEngine
from sim.jobs.store import Store
from sim.jobs.task import CORES, TaskError
from tests.sim.jobs.slurm_stand_in import install
from tests.sim.jobs.test_jobs import checked, killing, mixed, serial, task

REAL = bool(os.environ.get("SPARSEFLOW_SLURM"))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm on the path; where the stand-in notes what it does."""
    if not REAL:
        install(tmp_path / "bin", tmp_path / "state")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
        monkeypatch.setattr(slurm, "LOOK", 0.05)
        monkeypatch.setattr(slurm, "SETTLED", 1.0)
    return tmp_path / "state"


def jobs() -> list[int]:
    """Processes that Slurm, or its stand-in, runs tasks in."""
    found = subprocess.run(["pgrep", "-f", "sim.jobs.node"], capture_output=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


@pytest.mark.parametrize("count", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_each_result_comes_once_whatever_is_lost(tmp_path: Path, state: Path, count: int) -> None:
    store = Store(tmp_path / "store")
    tasks = mixed(store, count, pause=0.5 if count > 6 else 0.0)
    wanted = serial(store, tasks, tmp_path / "serial")
    engine = engine_named("slurm", 2)
    if count > 6:
        with killing(jobs, 3.0, seed=3, most=10) as killed:
            found = list(run_tasks(tasks, store, engine))
        assert killed
    else:
        if not REAL:
            (state / "lose").write_text("0 3")
        found = list(run_tasks(tasks, store, engine))
        assert REAL or max(outcome.attempts for _, outcome in found) == 2
    checked(tasks, found, wanted)
    assert sorted(path.name for path in store.folder.iterdir()) == ["objects", "results"]
    assert not list(engine.results([], store))


def test_what_fails_is_told(tmp_path: Path, state: Path) -> None:
    store = Store(tmp_path / "store")
    blob = store.put(b"what is read")
    damaged = task("damaged", number=3, inputs={"blob": blob})
    store.path(blob).write_bytes(b"another")
    tasks = [task("raises", "raises", text="no such thing"), damaged]
    amounts = {CORES: 1, MEMORY: 1 << 28}
    failures = {
        key: outcome.failure
        for key, outcome in SlurmEngine(2).results(
            [replace(one, resources=amounts) for one in tasks], store
        )
    }
    assert failures["raises"] == {"kind": "error", "text": "ValueError: no such thing"}
    assert failures["damaged"] is not None
    assert "is damaged: remove it" in failures["damaged"]["text"]


def test_a_task_whose_job_is_always_lost_is_a_crash(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "ELEMENT", ("-c", "print('no room')"))
    ((_, outcome),) = SlurmEngine(1, str(tmp_path)).results([task("a", number=1, retries=1)])
    assert outcome.failure == {
        "kind": "crash",
        "text": "Slurm has ended its job 2 times without a result",
    }
    assert "no room" in outcome.log


def test_leaving_early_cancels(tmp_path: Path, state: Path) -> None:
    slow = [task(f"s{n}", "sleeps", note=str(tmp_path / f"pid{n}")) for n in range(2)]
    run = SlurmEngine(2).results([task("quick", number=1), *slow], Store(tmp_path / "store"))
    assert next(run)[0] == "quick"
    run.close()  # type: ignore[attr-defined]
    if not REAL:
        assert not list(state.glob("*.job"))
    assert not list((tmp_path / "store").glob("slurm-*"))


def test_what_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TaskError, match="needs sbatch, which is not here: apt-get install slurm"):
        next(iter(SlurmEngine(1).results([task("a", number=1)])))
    licence = replace(task("a", number=1), resources={"licence": 1})
    with pytest.raises(TaskError, match="a takes licence: Slurm counts cores and memory here"):
        next(iter(SlurmEngine(1).results([licence])))
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho 'invalid partition' >&2; exit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    with pytest.raises(TaskError, match="sbatch refuses: invalid partition"):
        next(iter(SlurmEngine(1, str(tmp_path)).results([task("a", number=1)])))
