"""Steps shared by threads whose cores are busy, throttled, or of unequal speed.

Every row compares steps of one thread and of several, in turns, by the clock. Unequal cores are
made of equal ones: the library is compiled anew with ``SPARSEFLOW_RUN_SLOW``, where every thread
but the caller's does all its work twice; with ``SPARSEFLOW_RUN_EQUAL`` shares stay equal and nobody
takes of others, which is what a plan without speeds would be. A throttled core is a thread
in a control group with a quota; where none can be made (no root, no control groups of version 1)
the row is left out, and said so.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from csb_format import Model
from csb_format.files.folders import temporary_folder
from engine.native import library as native
from engine.native import model as native_model
from engine.native.model import NativeModel
from engine.native.stream import NativeStream

from ..record import processor

__all__ = ["rows"]

TURN = 500  # steps
QUOTA = 20  # percent of a core
GROUPS = Path("/sys/fs/cgroup/cpu")
Streams = dict[str, NativeStream[NativeModel]]
Place = Callable[[int], AbstractContextManager[None]]


def rows(
    model: Model, what: str, frames: Any, rounds: int, every: bool
) -> Iterator[dict[str, Any]]:
    """Of a model that is large enough to be shared.

    Parameters
    ----------
    model : Model
    what : str
        Its name in the rows.
    frames : array (T, X)
    rounds : int
        Turns of each.
    every : bool
        Not idle cores alone.
    """
    if (os.cpu_count() or 1) < 2:
        return
    yield _row(f"{what}, two cores", _shared(model, frames, rounds), least=True)
    if not every:
        return
    yield _row(f"{what}, a busy neighbour", _shared(model, frames, rounds, _neighbour))
    if found := _throttled(model, frames, rounds):
        yield _row(f"{what}, one core throttled to {QUOTA} %", found)
    yield _row(f"{what}, one core half as fast", _unequal(model, frames, rounds), least=True)


def _row(what: str, each: dict[str, Any], least: bool = False) -> dict[str, Any]:
    """Two threads beside the others: the fastest hundredth, or the mean of all steps."""
    ours = each.pop("ours")
    ratios = {name: _ratio(times, ours, least) for name, times in each.items()}
    us = [np.percentile(turn, 1) if least else turn.mean() for turn in ours]
    return {
        "what": what,
        "batch": 1,
        "threads": 2,
        "kernel": native.kernels()[0],
        "cpu": processor(),
        "us": float(np.min(us) if least else statistics.median(us)),
        "times_as_fast": ratios,
    }


def _ratio(theirs: list[Any], ours: list[Any], least: bool) -> float:
    """Of the fastest hundredth of all turns; or of means, the median of all turns."""
    if least:
        one, other = (float(np.percentile(np.concatenate(t), 1)) for t in (theirs, ours))
        return one / other
    pairs = zip(theirs, ours, strict=True)
    return statistics.median(float(a.mean() / b.mean()) for a, b in pairs)


def _turns(streams: Streams, frames: Any, rounds: int) -> dict[str, Any]:
    """Microseconds of each step, by turns."""
    turns = [{name: s.time(frames, TURN) for name, s in streams.items()} for _ in range(rounds)]
    return {name: [turn[name] for turn in turns] for name in streams}


def _alone(model: Model) -> Streams:
    return {"one thread": NativeModel(model).start()}


@contextmanager
def _nobody(thread: int) -> Iterator[None]:
    yield


def _shared(model: Model, frames: Any, rounds: int, beside: Place = _nobody) -> dict[str, Any]:
    streams = _alone(model)
    with _member() as found:
        streams["ours"] = NativeModel(model, threads=2).start()
    with beside(found[0]):
        return _turns(streams, frames, rounds)


@contextmanager
def _member() -> Iterator[list[int]]:
    """The thread that begins meanwhile."""
    found, before = list[int](), set(os.listdir("/proc/self/task"))
    yield found
    found.extend(int(name) for name in set(os.listdir("/proc/self/task")) - before)


@contextmanager
def _neighbour(thread: int) -> Iterator[None]:
    """A process that never rests, on the core of a thread."""
    cores = os.sched_getaffinity(thread)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.sched_setaffinity(busy.pid, cores)
        yield
    finally:
        busy.kill()
        busy.wait()


def _throttled(model: Model, frames: Any, rounds: int) -> dict[str, Any] | None:
    group = GROUPS / f"sparseflow-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_quota_us").write_text(str(1000 * QUOTA))
        (group / "cpu.cfs_period_us").write_text("100000")
    except OSError as error:
        print(f"no row of a throttled core: {error}", file=sys.stderr)
        return None

    @contextmanager
    def slowed(thread: int) -> Iterator[None]:
        (group / "tasks").write_text(str(thread))
        try:
            yield
        finally:
            (GROUPS / "tasks").write_text(str(thread))

    try:
        return _shared(model, frames, rounds, slowed)
    finally:
        group.rmdir()


def _unequal(model: Model, frames: Any, rounds: int) -> dict[str, Any]:
    streams = _alone(model)
    with _built("-DSPARSEFLOW_RUN_SLOW", "-DSPARSEFLOW_RUN_EQUAL"):
        streams["an equal split"] = NativeModel(model, threads=2).start()
    with _built("-DSPARSEFLOW_RUN_SLOW"):
        streams["ours"] = NativeModel(model, threads=2).start()
    want = streams["one thread"].step(frames[:1])
    for name, stream in streams.items():
        if name != "one thread" and not np.array_equal(stream.step(frames[:1]), want):
            raise SystemExit(f"error: {name} differs from one thread")
    return _turns(streams, frames, rounds)


@contextmanager
def _built(*flags: str) -> Iterator[None]:
    """Models that are made meanwhile run on a library of their own."""
    usual = native.library
    with temporary_folder("cores") as folder:
        made = folder / native.NAME
        words = [native.compiler(), *native.FLAGS, *flags, "-o", str(made)]
        subprocess.run([*words, *map(str, native.sources())], check=True)
        other = ctypes.CDLL(str(made))
        native.declare(other)
        vars(native_model)["library"] = lambda: other
        try:
            yield
        finally:
            vars(native_model)["library"] = usual
