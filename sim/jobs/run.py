"""Runs tasks that have not run before; each result is kept, and comes back, exactly once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from .engines import Engine
from .store import Store
from .task import Outcome, Task, checked

__all__ = ["run_tasks"]


def run_tasks(
    tasks: Sequence[Task], store: Store, engine: Engine, *, fresh: bool = False
) -> Iterator[tuple[str, Outcome]]:
    """Results of all tasks: those that the store has first, the others as they come.

    Tasks with the same digest run once. What fails is not kept, and runs again the next time.

    Parameters
    ----------
    tasks : sequence of Task
    store : Store
        Has their inputs; takes their results.
    engine : Engine
    fresh : bool
        Run them all, whatever the store has.

    Yields
    ------
    str, Outcome
        Key of a task, each once, and what came of it.

    Raises
    ------
    TaskError
        If tasks cannot be run as they are given.
    """
    alike: dict[str, list[Task]] = {}
    for task in checked(tasks):
        alike.setdefault(task.digest, []).append(task)
    found = {} if fresh else _before(alike, store)
    for digest, outcome in found.items():
        yield from ((task.key, outcome) for task in alike[digest])
    first = {same[0].key: same for digest, same in alike.items() if digest not in found}
    left = [_following(same[0], alike, found) for same in first.values()]
    for key, outcome in engine.results(left, store) if left else ():
        if outcome.failure is None:
            store.keep(first[key][0], outcome)
        yield from ((task.key, outcome) for task in first[key])


def _before(alike: dict[str, list[Task]], store: Store) -> dict[str, Outcome]:
    found = {digest: store.result(same[0]) for digest, same in alike.items()}
    return {digest: outcome for digest, outcome in found.items() if outcome is not None}


def _following(task: Task, alike: Mapping[str, list[Task]], found: Mapping[str, Outcome]) -> Task:
    """A task after the one of its kind that runs; after none if that has run before."""
    if not task.after:
        return task
    digest, first = next((d, s[0]) for d, s in alike.items() if task.after in {t.key for t in s})
    return replace(task, after="" if digest in found else first.key)
