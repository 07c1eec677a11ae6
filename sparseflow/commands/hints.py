"""The hint at the next command."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer

from ..pages.made.typed import as_argument

__all__ = ["hint"]


def hint(*words: object) -> None:
    """Print the command that comes next, as a shell takes it."""
    told = (as_argument(str(word)) if isinstance(word, Path) else str(word) for word in words)
    typer.echo(f"next: sparseflow {shlex.join(told)}", err=True)
