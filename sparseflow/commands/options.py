"""Options that several commands have, and the hint at the next command."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Annotated, Any

import typer

__all__ = ["Lanes", "Pes", "Seed", "hint", "within"]


def within(low: float, high: float | None = None, multiple: int = 1) -> Callable[[Any], Any]:
    """Refuse other numbers, naming what was given: Typer's own message does not."""

    def check(value: Any) -> Any:
        outside = value is not None and not (low <= value and (high is None or value <= high))
        if outside or (value is not None and multiple > 1 and value % multiple):
            limits = f"at least {low}" if high is None else f"{low} to {high}"
            steps = f"a multiple of {multiple}, " if multiple > 1 else ""
            raise typer.BadParameter(f"{value} must be {steps}{limits}")
        return value

    return check


Seed = Annotated[
    int,
    typer.Option(
        callback=within(0, 2**32 - 1), help="Of every random choice; same seed, same result."
    ),
]
Pes = Annotated[
    int,
    typer.Option(
        callback=within(4, multiple=4),
        help="Processing elements (M): rows worked on at once; a multiple of 4.",
    ),
]
Lanes = Annotated[
    int,
    typer.Option(
        callback=within(1),
        help="Multipliers in each (N); must divide the banks of the model.",
    ),
]


def hint(*words: object) -> None:
    """Print the command that comes next, as a shell takes it."""
    typer.echo(f"next: sparseflow {shlex.join(map(str, words))}", err=True)
