"""Each result exactly once, with the bytes of a serial run, whatever dies on the way."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sim.jobs.child import run_call
from sim.jobs.engines import DaskEngine, LocalEngine
from sim.jobs.run import run_tasks
from sim.jobs.store import Store
from sim.jobs.task import Outcome, Task, TaskError, canonical

CALLS = "tests.sim.jobs.calls"


def task(key: str, call: str = "mixed", **more: Any) -> Task:
    fields = {n: more.pop(n) for n in list(more) if n in Task.__dataclass_fields__}
    return Task(key, f"{CALLS}:{call}", more, **fields)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def gone(pid: int) -> bool:
    """Whether a process that was killed ends."""
    end = time.monotonic() + 10
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(pid)


def mixed(store: Store, count: int, pause: float) -> list[Task]:
    """Tasks with inputs, files, predecessors, and two of each seventh."""
    blobs = [store.put(bytes([n]) * (n + 1)) for n in range(4)]
    found: list[Task] = []
    for n in range(count):
        more: dict[str, Any] = {"pause": pause} if n % 5 == 0 else {}
        if n % 4 == 1:
            more["inputs"] = {"blob": blobs[n % 3], "other": blobs[3]}
        if n % 6 == 5:
            more["after"] = f"t{n - 3}"
        number = n - 1 if n % 7 == 1 else n  # the same work twice
        found.append(task(f"t{n}", number=number, retries=50, **more))
    return found


def serial(store: Store, tasks: list[Task], folder: Path) -> dict[str, bytes]:
    """What they give one after the other, in this process."""
    found = {}
    for n, one in enumerate(tasks):
        (work := folder / str(n)).mkdir(parents=True)
        inputs = {name: str(store.path(digest)) for name, digest in one.inputs.items()}
        given = {"call": one.call, "inputs": inputs, "folder": str(work)}
        arguments = {k: v for k, v in one.arguments.items() if k != "pause"}
        found[one.key] = canonical(run_call(given | {"arguments": arguments})["value"])
    return found


def files_of(number: int) -> dict[str, bytes]:
    return {"more/numbers.bin": bytes(range(number % 256))} if number % 3 == 0 else {}


@contextmanager
def killing(
    pids: Callable[[], list[int]], every: float, seed: int, most: int = 1000, at_once: bool = False
) -> Iterator[list[int]]:
    """Kill one of some processes again and again, ``at_once`` the first; those that it was."""
    rng, end, killed = random.Random(seed), threading.Event(), list[int]()

    def kill() -> None:
        while not end.wait(every * rng.uniform(0.5, 1.5) if killed or not at_once else 0.02):
            if len(killed) < most and (found := pids()):
                pid = rng.choice(found)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        end.set()
        thread.join()


def children() -> list[int]:
    """Processes of tasks that this process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"sim.jobs.child" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
    return found


def checked(tasks: list[Task], found: list[tuple[str, Outcome]], wanted: dict[str, bytes]) -> None:
    assert sorted(key for key, _ in found) == sorted(one.key for one in tasks)  # exactly once
    by = dict(found)
    for one in tasks:
        assert by[one.key].failure is None, by[one.key]
        assert canonical(by[one.key].value) == wanted[one.key]
        assert dict(by[one.key].files) == files_of(one.arguments["number"])


@pytest.mark.parametrize(
    ("count", "every"), [(10, 1.0), pytest.param(200, 1.5, marks=pytest.mark.slow)]
)
def test_mixed_tasks_whose_processes_are_killed(tmp_path: Path, count: int, every: float) -> None:
    store = Store(tmp_path / "store")
    tasks = mixed(store, count, pause=0.5)
    wanted = serial(store, tasks, tmp_path / "serial")
    with killing(children, every, seed=1, at_once=True) as killed:
        found = list(run_tasks(tasks, store, LocalEngine(2)))
    assert killed
    checked(tasks, found, wanted)
    kept = store.result(tasks[0])
    assert kept is not None
    assert canonical(kept.value) == wanted["t0"]


@pytest.mark.slow
def test_200_mixed_tasks_on_a_cluster_whose_workers_are_killed(tmp_path: Path) -> None:
    import distributed
    from dask import config

    store = Store(tmp_path / "store")
    tasks = mixed(store, 200, pause=0.5)
    wanted = serial(store, tasks, tmp_path / "serial")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        config.set({"distributed.scheduler.allowed-failures": 50}),
        distributed.LocalCluster(**options) as cluster,
    ):

        def workers() -> list[int]:
            """Those at work: a nanny gives up whose worker ends before it has begun."""
            if len(cluster.scheduler.workers) < 2:
                return []
            return [w.pid for w in cluster.workers.values() if getattr(w, "pid", None)]

        with killing(workers, 10.0, seed=2, most=4) as killed:
            found = list(run_tasks(tasks, store, DaskEngine(2, cluster.scheduler_address)))
    assert len(killed) >= 2
    checked(tasks, found, wanted)


def test_a_run_goes_on_and_does_nothing_twice(tmp_path: Path) -> None:
    store, note = Store(tmp_path / "store"), tmp_path / "note"
    tasks = [task("a", "dies", note=str(note), times=0), task("b", number=3), task("c", number=4)]
    run = run_tasks(tasks, store, LocalEngine(1))
    assert next(run)[0] == "a"
    run.close()  # type: ignore[attr-defined]
    found = dict(run_tasks(tasks, store, LocalEngine(1)))
    assert found["a"].value == 1  # of the first run
    assert len(note.read_text().split()) == 1
    assert found["b"].files == files_of(3)
    assert found["b"].value["squares"] == [0, 1, 4]
    path = store.path(store.put(canonical(found["c"].value)))
    path.write_bytes(b"damaged")
    assert dict(run_tasks(tasks, store, LocalEngine(1)))["c"].value == found["c"].value
    assert path.read_bytes() == canonical(found["c"].value)


def test_what_fails_is_told_and_runs_again(tmp_path: Path) -> None:
    store, note = Store(tmp_path / "store"), tmp_path / "note"
    tasks = [
        task("raises", "raises", text="no such thing", work=str(tmp_path / "work")),
        task("dies", "dies", note=str(note), times=9, retries=1),
        task("hangs", "sleeps", note=str(tmp_path / "pid"), limit=4.0),
        task("nan", "not_plain"),
        task("nowhere", "no_such_call"),
    ]
    found = dict(run_tasks(tasks, store, LocalEngine(2)))
    failures = {key: outcome.failure for key, outcome in found.items()}
    assert failures["raises"] == {"kind": "error", "text": "ValueError: no such thing"}
    assert (Path(found["raises"].work) / "left").read_text() == "this"
    assert "raise ValueError" in found["raises"].log
    assert failures["dies"] == {"kind": "crash", "text": "its process ended with signal 9"}
    assert found["dies"].attempts == 2
    assert failures["hangs"] == {"kind": "timeout", "text": "its process killed after 4 s"}
    assert gone(int((tmp_path / "pid").read_text()))
    assert failures["nan"] is not None
    assert "not JSON compliant" in failures["nan"]["text"]
    assert failures["nowhere"] is not None
    assert "no_such_call" in failures["nowhere"]["text"]
    assert all(store.result(one) is None for one in tasks)


def test_resources_are_not_exceeded(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    tasks = [
        task(f"{n}", "at_work", name=f"{n}", folder=str(tmp_path / "place"),
             resources={"cores": 1, "memory": 3e9})
        for n in range(4)
    ]  # fmt: skip
    found = dict(LocalEngine(4, memory=4e9).results(tasks))
    assert [found[one.key].value for one in tasks] == [1, 1, 1, 1]
    with pytest.raises(TaskError, match=r"0 takes 3e\+09 of memory, this machine gives 0: ask"):
        list(LocalEngine(4).results(tasks))


def test_tasks_that_cannot_run_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for tasks, text in [
        ([task("a", number=1), task("a", number=2)], "two tasks are called a"),
        ([task("a", number=1, after="b")], "a comes after b, which is no task before it"),
        ([task("a", number=1, inputs={"x": "0" * 64})], "no object 000000000000 in .*: put it"),
        ([task("a", number={1})], "what JSON has"),
    ]:
        with pytest.raises(TaskError, match=text):
            list(run_tasks(tasks, store, LocalEngine(1)))
    digest = store.put(b"mine")
    store.path(digest).write_bytes(b"ours")
    with pytest.raises(TaskError, match="is damaged"):
        list(LocalEngine(1).results([task("a", number=1, inputs={"x": digest})], store))


def test_leaving_ends_what_runs(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    tasks = [task("quick", number=1), task("hangs", "sleeps", note=str(note))]
    results = LocalEngine(2).results(tasks)
    assert next(iter(results))[0] == "quick"
    end = time.monotonic() + 60
    while not (note.exists() and note.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    results.close()  # type: ignore[attr-defined]
    assert gone(int(note.read_text()))


def test_a_cluster_without_workers_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    monkeypatch.setattr("sim.jobs.engines.PATIENCE", 0.2)
    tasks = [Task("a", f"{CALLS}:sleeps", {"seconds": 0})]
    with distributed.LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        engine = DaskEngine(1, cluster.scheduler_address)
        with pytest.raises(TaskError, match=r"1 tasks wait, and tcp.* has no worker: start some"):
            list(run_tasks(tasks, Store(tmp_path), engine))
