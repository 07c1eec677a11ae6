"""Where the time of a command goes: every moment belongs to one part, nothing is left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..progress import Pace, alive, bars, counting, news, seen
from ..progress import stage as stage_begins

if TYPE_CHECKING:
    from rich.progress import TaskID

__all__ = ["Parts", "told"]

SHARED = ("models", "compare", "diagnose")  # of all engines together


class Parts:
    """A clock with one part running at a time.

    Parameters
    ----------
    first : str
        The part that begins now.
    earlier : mapping, optional
        Seconds of parts that are over.
    """

    def __init__(self, first: str, earlier: Mapping[str, float] | None = None):
        self._seconds = dict(earlier or {})
        self._name, self._since = first, time.perf_counter()

    def begin(self, name: str) -> None:
        """End the part that runs, begin another or go on with it."""
        now = time.perf_counter()
        self._seconds[self._name] = self._seconds.get(self._name, 0.0) + now - self._since
        self._name, self._since = name, now

    def seconds(self) -> dict[str, float]:
        """Wall time of each part until now."""
        self.begin(self._name)
        return dict(self._seconds)


@contextmanager
def told(
    parts: Parts, engine: str, frames: int, scale: int
) -> Iterator[tuple[Callable[[str], None], Callable[[int], None]]]:
    """Bars for a simulation, each as its part begins; a build counts nothing, a run its frames.

    Parameters
    ----------
    parts : Parts
        The clock; builds and runs go under the engine's name.
    engine : str
    frames : int
        Of a run.
    scale : int
        Payloads of a frame.

    Yields
    ------
    stage : callable
        To be told which part begins.
    count : callable
        To be told the payloads that a run has given.
    """
    if not seen():
        with alive("simulation"):
            yield _lines(parts, engine, frames, scale)
        return
    task: TaskID | None = None

    def end() -> None:
        if task is not None:
            total = shown.tasks[shown.task_ids.index(task)].total or 1
            shown.update(task, total=total, completed=total)
            shown.stop_task(task)

    def stage(name: str) -> None:
        nonlocal task
        end()
        task = None
        label = _label(name, engine)
        parts.begin(label)
        if name not in SHARED:
            task = shown.add_task(label, total=frames if name == "run" else None, note="")

    def count(payloads: int) -> None:
        if task is not None:
            shown.update(task, completed=min(frames, payloads // scale))

    with bars() as shown:
        yield stage, count
        end()


def _label(name: str, engine: str) -> str:
    return name if name in SHARED else f"{name} {engine}"


def _lines(
    parts: Parts, engine: str, frames: int, scale: int
) -> tuple[Callable[[str], None], Callable[[int], None]]:
    """The same as lines, where nobody sees bars move; each part by its own clock."""
    pace = Pace()

    def stage(name: str) -> None:
        nonlocal pace
        parts.begin(_label(name, engine))
        stage_begins(_label(name, engine))
        pace = Pace()

    return stage, lambda payloads: news(counting(pace, payloads, frames, scale))
