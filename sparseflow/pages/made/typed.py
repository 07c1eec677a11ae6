"""The command that the user typed, for the files and pages that it makes.

A command line from Python has none: nothing is made up then.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePath
from typing import Any

__all__ = ["as_argument", "as_told", "as_typed", "typed", "with_command"]

_TYPED: ContextVar[str] = ContextVar("typed", default="")


@contextmanager
def as_typed(words: Sequence[str]) -> Iterator[None]:
    """While it lasts, these words, after ``sparseflow``, are the command; none, without words."""
    token = _TYPED.set(as_told(words) if words else "")
    try:
        yield
    finally:
        _TYPED.reset(token)


def typed() -> str:
    """The command as a shell takes it; empty where Python calls the steps."""
    return _TYPED.get()


def as_argument(path: str) -> str:
    """A path as commands take it, also where it begins as an option does."""
    return f"./{path}" if path.startswith("-") else path


def as_told(words: Sequence[str]) -> str:
    """The command as a shell takes it, with nothing in it of this machine.

    Relative paths stay as they were typed. An absolute one becomes its name: the folders above it
    are of one machine, and may name who works there.
    """
    return shlex.join(["sparseflow", *map(_told, words)])


def _told(word: str) -> str:
    option, equals, value = word.partition("=")
    if equals and option.startswith("--"):
        return f"{option}={_told(value)}"
    # bytes of a file name that are no text cannot be written to a page
    text = word.encode("utf-8", "replace").decode()
    path = PurePath(text)
    return as_argument(path.name) or text if path.is_absolute() else text


def with_command(about: Mapping[str, Any]) -> dict[str, list[str]]:
    """What to note in a file: the ``commands`` that made what it is made of, and this one."""
    earlier = about.get("commands")
    lines = [line for line in earlier if isinstance(line, str)] if isinstance(earlier, list) else []
    lines += [typed()] * bool(typed())
    return {"commands": lines} if lines else {}
