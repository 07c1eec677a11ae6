"""The hint at the next command."""

from __future__ import annotations

import shlex

import typer

__all__ = ["hint"]


def hint(*words: object) -> None:
    """Print the command that comes next, as a shell takes it."""
    typer.echo(f"next: sparseflow {shlex.join(map(str, words))}", err=True)
