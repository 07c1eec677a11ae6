"""Progress bars on the terminal, for work that takes more than a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

__all__ = ["bars", "counted", "say", "show", "stages"]

_console = Console(stderr=True)


def say(text: str) -> None:
    """Print one line, as it is."""
    _console.print(text, highlight=False, markup=False, soft_wrap=True)


def show(table: Table) -> None:
    """Print a table."""
    _console.print(table)


def bars() -> Progress:
    """Bars with a name, a count, a note and the time."""
    return Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


@contextmanager
def stages() -> Iterator[Callable[[str, int, int, float], None]]:
    """A bar for every stage of a training, made as it begins.

    Yields
    ------
    callable
        To be told (stage, epoch, epochs of the stage, loss).
    """
    shown, tasks = bars(), dict[str, TaskID]()

    def tell(stage: str, epoch: int, epochs: int, loss: float) -> None:
        if stage not in tasks:
            shown.start()  # not before: without a bar it would leave an empty line
            tasks[stage] = shown.add_task(stage, total=epochs, note="")
        shown.update(tasks[stage], completed=epoch, note=f"loss {loss:.3f}")

    try:
        yield tell
    finally:
        if tasks:
            shown.stop()


@contextmanager
def counted(name: str, total: int, scale: int = 1) -> Iterator[Callable[..., None]]:
    """One bar.

    Parameters
    ----------
    name : str
    total : int
        What is shown at the end.
    scale : int
        Counts told for each one shown.

    Yields
    ------
    callable
        To be told the count, and a note to show beside it.
    """
    with bars() as shown:
        task = shown.add_task(name, total=total, note="")
        yield lambda count, note="": shown.update(
            task, completed=min(total, count // scale), note=note
        )
        shown.update(task, completed=total, note="")
