"""Progress bars on the terminal, lines elsewhere, for work that takes more than a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from .alive import alive, console, news, say, seen, stage

__all__ = ["counted", "say", "show", "stages"]


def show(table: Table) -> None:
    """Print a table."""
    console.print(table)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
    )


@contextmanager
def stages() -> Iterator[Callable[[str, int, int, float], None]]:
    """A bar for every stage of a training, made as it begins.

    Yields
    ------
    callable
        To be told (stage, epoch, epochs of the stage, loss).
    """
    if not seen():
        with alive("training"):
            yield _told()
        return
    bars, tasks = _bars(), dict[str, TaskID]()

    def tell(stage: str, epoch: int, epochs: int, loss: float) -> None:
        if stage not in tasks:
            bars.start()  # not before: without a bar it would leave an empty line
            tasks[stage] = bars.add_task(stage, total=epochs, note="")
        bars.update(tasks[stage], completed=epoch, note=f"loss {loss:.3f}")

    try:
        yield tell
    finally:
        if tasks:
            bars.stop()


def _told() -> Callable[[str, int, int, float], None]:
    """The same as lines."""
    begun: set[str] = set()

    def tell(name: str, epoch: int, epochs: int, loss: float) -> None:
        if name not in begun:
            begun.add(name)
            stage(name)
        news(f"epoch {epoch} of {epochs}, loss {loss:.3f}")

    return tell


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
    if not seen():
        with alive(name):
            stage(name)
            yield lambda count, note="": news(
                f"{min(total, count // scale)} of {total}" + (f"; {note}" if note else "")
            )
        return
    with _bars() as bars:
        task = bars.add_task(name, total=total, note="")
        yield lambda count, note="": bars.update(
            task, completed=min(total, count // scale), note=note
        )
        bars.update(task, completed=total, note="")
