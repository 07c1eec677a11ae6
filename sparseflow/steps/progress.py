"""Progress of work that takes more than a moment: bars on the terminal, lines elsewhere.

Where nobody sees a bar, as in the log of a job, there is a line when a stage begins and one now and
then. Every command runs within :func:`alive`; what draws bars on a terminal tells :func:`stage` and
:func:`news` instead where there is none. Whatever a command says counts as a sign of life.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

__all__ = [
    "EVERY",
    "Pace",
    "alive",
    "bars",
    "console",
    "counted",
    "counting",
    "news",
    "say",
    "seen",
    "show",
    "stage",
    "stages",
]

EVERY = 30.0  # seconds between two signs of life
SURE = 5.0  # seconds of a stage before what is left of it is told: earlier it would be a guess
WORKING = "at work"

console = Console(stderr=True)


class Pace:
    """What is left of a stage whose steps are counted, by those that are done."""

    def __init__(self) -> None:
        self.begin = time.monotonic()

    def left(self, done: int, total: int) -> str:
        """In words, with a comma before; empty at the beginning and at the end."""
        passed = time.monotonic() - self.begin
        if passed < SURE or not 0 < done < total:
            return ""
        return f", {_left(passed * (total - done) / done)}"


def _left(seconds: float) -> str:
    """Never more exact than it can be."""
    if seconds < 60:
        return f"about {max(1, round(seconds))} s left"
    return f"about {round(seconds / 60)} min left"


class _Left(ProgressColumn):
    """What is left of a bar whose end is known; nothing of one that only turns."""

    def render(self, task: Task) -> Text:
        """Empty where nobody can know."""
        known = None if task.total is None or task.finished else task.time_remaining
        sure = known is not None and (task.elapsed or 0.0) >= SURE
        return Text(_left(known) if known is not None and sure else "")


class _Signs(threading.Thread):
    """Says where a command is when it has said nothing for a while."""

    def __init__(self, name: str):
        super().__init__(daemon=True)
        self.stage, self.news = name, ""
        self.begin = self.said = time.monotonic()
        self.ended = threading.Event()

    def run(self) -> None:
        """Until the command ends."""
        while not self.ended.wait(max(0.0, self.said + EVERY - time.monotonic())):
            if time.monotonic() - self.said >= EVERY:
                self.tell(f"{self.stage}: {self.news or WORKING}")

    def tell(self, text: str) -> None:
        """A line with the time since the command began."""
        say(f"{time.monotonic() - self.begin:7.1f} s  {text}")


_signs: _Signs | None = None


@contextmanager
def alive(name: str) -> Iterator[None]:
    """Give signs of life until the end of the block; within another such block that one does.

    Parameters
    ----------
    name : str
        Of the command, until it names a stage.
    """
    global _signs
    if seen() or _signs is not None:
        yield
        return
    signs = _signs = _Signs(name)
    signs.start()
    try:
        yield
    finally:
        _signs = None
        signs.ended.set()
        signs.join()


def seen() -> bool:
    """Whether somebody sees bars move."""
    return console.is_terminal


def say(text: str) -> None:
    """Print one line, as it is."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    if _signs is not None:
        _signs.said = time.monotonic()


def stage(name: str) -> None:
    """Say that a stage begins."""
    if _signs is not None:
        _signs.stage, _signs.news = name.partition(": ")[0], ""
        _signs.tell(name)


def news(text: str) -> None:
    """What the stage is about, for the next sign of life."""
    if _signs is not None and text:
        _signs.news = text


def show(table: Table) -> None:
    """Print a table."""
    console.print(table)


def bars() -> Progress:
    """Bars with a name, a count, a note and the time."""
    return Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        _Left(),
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


def _told() -> Callable[[str, int, int, float], None]:
    """The same as lines."""
    begun: dict[str, Pace] = {}

    def tell(name: str, epoch: int, epochs: int, loss: float) -> None:
        if name not in begun:
            begun[name] = Pace()
            stage(name)
        # the first epoch was over before its stage was told
        left = begun[name].left(epoch - 1, epochs - 1)
        news(f"epoch {epoch} of {epochs}, loss {loss:.3f}{left}")

    return tell


def counting(pace: Pace, count: int, total: int, scale: int = 1) -> str:
    """How far it is: so many of all, and what is left."""
    left = pace.left(min(count, total * scale), total * scale)
    return f"{min(total, count // scale)} of {total}{left}"


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
            pace = Pace()
            yield lambda count, note="": news(
                counting(pace, count, total, scale) + (f"; {note}" if note else "")
            )
        return
    with bars() as shown:
        task = shown.add_task(name, total=total, note="")
        yield lambda count, note="": shown.update(
            task, completed=min(total, count // scale), note=note
        )
        shown.update(task, completed=total, note="")
