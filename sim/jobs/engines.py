"""Who runs tasks: processes of this machine, a Dask cluster, or Slurm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol

from csb_format.extras import install
from csb_format.files.folders import temporary_folder

from .attempt import Attempts
from .slurm import SlurmEngine
from .store import Store, paths_of
from .task import CORES, RETRIES, Outcome, Task, TaskError, checked

__all__ = ["DaskEngine", "Engine", "LocalEngine", "engine_named"]


PATIENCE = 30.0  # seconds without a result until workers are looked for


class Engine(Protocol):
    """Runs tasks; each key comes back exactly once, in any order."""

    def results(
        self, tasks: Sequence[Task], store: Store | None = None
    ) -> Iterator[tuple[str, Outcome]]:
        """Run all tasks; inputs are in the store."""


class LocalEngine:
    """Processes of this machine.

    Parameters
    ----------
    workers : int
        Cores that tasks take together.
    **resources : float
        What else there is, such as ``memory`` in bytes; tasks that take none need none.
    """

    def __init__(self, workers: int, **resources: float):
        self._all = {**resources, CORES: workers}

    def results(
        self, tasks: Sequence[Task], store: Store | None = None
    ) -> Iterator[tuple[str, Outcome]]:
        """Run all tasks; leaving the iteration early ends those that run."""
        left = checked(tasks)
        for task in left:
            self._check(task)
        running: dict[Future[Outcome], Task] = {}
        done: set[str] = {""}
        free, attempts = dict(self._all), Attempts()
        with ThreadPoolExecutor(max(1, len(left))) as pool:
            try:
                while left or running:
                    for task in _ready(left, done, free):
                        _take(free, task, -1)
                        running[pool.submit(attempts.run, task, paths_of(task, store))] = task
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        task = running.pop(future)
                        _take(free, task, 1)
                        done.add(task.key)
                        yield task.key, future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                attempts.stop()

    def _check(self, task: Task) -> None:
        for name, amount in task.resources.items():
            if amount > (there := self._all.get(name, 0)):
                raise TaskError(
                    f"{task.key} takes {amount:g} of {name}, this machine gives {there:g}: ask "
                    "for less, or give more"
                )


def _ready(left: list[Task], done: set[str], free: Mapping[str, float]) -> Iterator[Task]:
    """Tasks that may begin; they are taken out. Those that find no room let others pass."""
    for task in list(left):
        if task.after in done and all(n <= free[name] for name, n in task.resources.items()):
            left.remove(task)
            yield task


def _take(free: dict[str, float], task: Task, sign: int) -> None:
    for name, amount in task.resources.items():
        free[name] += sign * amount


class DaskEngine:
    """A Dask cluster: a worker that dies loses nothing, its tasks run elsewhere.

    Inputs travel by their digests, each once to every worker that needs it.

    Parameters
    ----------
    workers : int
        Of a cluster on this machine, where no address is given.
    address : str
        Of a scheduler. Its workers need this package and what the tasks run; and the same paths
        only if the tasks' arguments name any. Dask sends pickled calls: only join clusters that
        you trust.
    """

    def __init__(self, workers: int, address: str = ""):
        self._workers, self._address = workers, address

    def results(
        self, tasks: Sequence[Task], store: Store | None = None
    ) -> Iterator[tuple[str, Outcome]]:
        """Run all tasks.

        Raises
        ------
        TaskError
            If the scheduler has had no worker for ``PATIENCE`` seconds, twice in a row: Dask
            itself would wait for ever.
        """
        try:
            from dask import config
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise ValueError(f"--engine dask needs it: {install('distributed')}") from error

        ready = checked(tasks)
        with config.set({"distributed.scheduler.allowed-failures": RETRIES}):
            cluster: Any = self._address or LocalCluster(
                n_workers=self._workers, threads_per_worker=1, dashboard_address=None
            )
            with Client(cluster) as client:
                futures = _submitted(client, ready, store)
                names = {future.key: key for key, future in futures.items()}
                for future in _completed(client, list(futures.values())):
                    key, result = names[future.key], _fetched(future)
                    # else it would run again if the worker that keeps it died
                    futures.pop(key).release()
                    yield key, result
            if not self._address:
                cluster.close()


def _completed(client: Any, futures: Sequence[Any]) -> Iterator[Any]:
    """Futures as they end; an error where nobody is left to end them."""
    from distributed import wait as waited

    left, alone = set(futures), False
    while left:
        try:
            done = waited(list(left), timeout=PATIENCE, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            nobody = not client.scheduler_info(n_workers=-1)["workers"]
            if nobody and alone:
                raise TaskError(
                    f"{len(left)} tasks wait, and {client.scheduler.address} has no worker: start "
                    "some (dask worker ADDRESS), and run again; what is done is kept"
                ) from None
            alone = nobody
            continue
        left, alone = left - done, False
        yield from done


def _submitted(client: Any, tasks: Sequence[Task], store: Store | None) -> dict[str, Any]:
    """Futures of all tasks. The scheduler keeps inputs: no worker's death loses one."""
    objects: dict[str, Any] = {}
    futures: dict[str, Any] = {}
    for task in tasks:
        paths_of(task, store)
        for digest in task.inputs.values():
            if digest not in objects:
                assert store is not None
                data = store.get(digest)
                objects[digest] = client.submit(bytes, data, key=f"input-{digest}", pure=False)
        given = {name: objects[digest] for name, digest in task.inputs.items()}
        before = futures[task.after] if task.after else None
        # Dask counts what workers declare; of cores a worker is one
        more = {name: n for name, n in task.resources.items() if (name, n) != (CORES, 1)}
        futures[task.key] = client.submit(
            _elsewhere, task, given, before, key=f"task-{task.key}", pure=False,
            resources=more or None,
        )  # fmt: skip
    return futures


def _elsewhere(task: Task, inputs: Mapping[str, bytes], _: object) -> Outcome:
    """Run a task on a worker; its inputs are files for as long as it runs."""
    with temporary_folder("inputs") as folder:
        store = Store(folder)
        paths = {name: store.path(store.put(data)) for name, data in inputs.items()}
        return Attempts().run(task, paths)


def _fetched(future: Any) -> Outcome:
    """A task's result; a task that killed worker after worker is a crash."""
    error = future.exception()
    if error is None:
        found: Outcome = future.result()
        return found
    text = f"the task ended {RETRIES} workers: {type(error).__name__}: {error}"
    return Outcome(failure={"kind": "crash", "text": text})


def engine_named(name: str, workers: int, address: str = "") -> Engine:
    """The engine that a command is told.

    Parameters
    ----------
    name : {"local", "dask", "slurm"}
    workers : int
        Tasks at a time.
    address : str
        Of a Dask scheduler, a cluster of its own by default; for Slurm a folder that all nodes
        see, by default the store's.
    """
    if name == "slurm":
        return SlurmEngine(workers, address)
    return DaskEngine(workers, address) if name == "dask" else LocalEngine(workers)
