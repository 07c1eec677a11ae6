"""Signs of life where nobody sees a bar: a line when a stage begins, and one now and then.

Every command runs within :func:`alive`; what draws bars on a terminal tells :func:`stage` and
:func:`news` instead where there is none, as in the log of a job. Whatever a command says counts as
a sign of life.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

__all__ = ["EVERY", "alive", "console", "news", "say", "seen", "stage"]

EVERY = 30.0  # seconds between two signs of life
WORKING = "at work"

console = Console(stderr=True)


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
