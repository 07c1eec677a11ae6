"""Who runs the tasks: processes of this machine, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

from csb_format.extras import install

from . import jobs

__all__ = ["DaskEngine", "Engine", "LocalEngine", "Task"]

Result = dict[str, Any]
RETRIES = 3  # workers that may die under a task


@dataclass(frozen=True)
class Task:
    """Something to run.

    Parameters
    ----------
    key : str
        Unique in a run.
    spec : dict
        For :func:`sim.regress.jobs.jobs.run`.
    after : str
        Key of the task that must be done before; empty for none.
    """

    key: str
    spec: dict[str, Any]
    after: str = ""


class Engine(Protocol):
    """Runs tasks; each key comes back exactly once, in any order."""

    def results(self, tasks: Sequence[Task]) -> Iterator[tuple[str, Result]]:
        """Run all tasks."""


class LocalEngine:
    """Processes of this machine.

    Parameters
    ----------
    workers : int
        How many at a time.
    """

    def __init__(self, workers: int):
        self._workers = workers

    def results(self, tasks: Sequence[Task]) -> Iterator[tuple[str, Result]]:
        """Run all tasks; leaving the iteration early ends those that run."""
        waiting: dict[str, list[Task]] = {}
        for task in tasks:
            waiting.setdefault(task.after, []).append(task)
        running: dict[Future[Result], str] = {}
        with ThreadPoolExecutor(self._workers) as pool:

            def start(after: str) -> None:
                for task in waiting.pop(after, []):
                    running[pool.submit(jobs.run, task.spec)] = task.key

            try:
                start("")
                while running:
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        key = running.pop(future)
                        start(key)
                        yield key, future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                jobs.stop()


class DaskEngine:
    """A Dask cluster: a worker that dies loses nothing, its tasks run elsewhere.

    Parameters
    ----------
    workers : int
        Of a cluster on this machine, where no address is given.
    address : str
        Of a scheduler. Its workers need this package, the simulators, and the suite's files
        at the same paths. Dask sends pickled calls: only join clusters that you trust.
    """

    def __init__(self, workers: int, address: str = ""):
        self._workers, self._address = workers, address

    def results(self, tasks: Sequence[Task]) -> Iterator[tuple[str, Result]]:
        """Run all tasks."""
        try:
            from dask import config
            from distributed import Client, LocalCluster, as_completed
        except ImportError as error:
            raise ValueError(f"--engine dask needs it: {install('distributed')}") from error

        with config.set({"distributed.scheduler.allowed-failures": RETRIES}):
            cluster: Any = self._address or LocalCluster(
                n_workers=self._workers, threads_per_worker=1, dashboard_address=None
            )
            with Client(cluster) as client:
                futures: dict[str, Any] = {}
                for task in tasks:
                    before = [futures[task.after]] if task.after else []
                    futures[task.key] = client.submit(
                        jobs.run, task.spec, *before, key=f"regress-{task.key}", pure=False
                    )
                names = {future.key: key for key, future in futures.items()}
                for future in as_completed(list(futures.values())):
                    key, result = names[future.key], _fetched(future)
                    # else it would run again if the worker that keeps it died
                    futures.pop(key).release()
                    yield key, result
            if not self._address:
                cluster.close()


def _fetched(future: Any) -> Result:
    """A task's result; a task that killed worker after worker is a crash."""
    error = future.exception()
    if error is None:
        found: Result = future.result()
        return found
    text = f"the task ended {RETRIES} workers: {type(error).__name__}: {error}"
    failure = {"kind": "crash", "text": text, "details": {}}
    return {"figures": {}, "times": {}, "bins": [], "reach": [], "failure": failure,
            "log": "", "work": ""}  # fmt: skip
