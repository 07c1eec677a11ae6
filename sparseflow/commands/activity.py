"""Bars for stages that nobody knows the length of: one each, with what it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ..steps.progress import alive, console, news, seen, stage

__all__ = ["activities"]

Told = Callable[[str], None]


@contextmanager
def activities(name: str) -> Iterator[tuple[Told, Told]]:
    """A bar for every stage as it begins; lines where there is no terminal.

    Parameters
    ----------
    name : str
        Of the command.

    Yields
    ------
    tuple of callables
        To be told that a stage begins, with why behind a colon, and what it is about.
    """
    if not seen():
        with alive(name):
            yield stage, news
        return
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(bar_width=16),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bars:
        yield _tellers(bars)
        _finish(bars)


def _tellers(bars: Progress) -> tuple[Told, Told]:
    tasks: list[TaskID] = []

    def begin(name: str) -> None:
        _finish(bars)
        name, _, why = name.partition(": ")
        if why:
            bars.console.print(why, highlight=False, markup=False, soft_wrap=True)
        tasks.append(bars.add_task(name, total=None, note=""))

    def note(text: str) -> None:
        bars.update(tasks[-1], note=text)

    return begin, note


def _finish(bars: Progress) -> None:
    """The last stage is done."""
    for task in bars.tasks[-1:]:
        bars.update(task.id, total=1, completed=1, note="")
