"""Designs that were counted: drawn, counted as jobs that go on where they stopped, kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from boards.board import Board, board
from compiler.array.design import Design
from compiler.array.needs import design_for
from sim.jobs.engines import Engine
from sim.jobs.run import run_tasks
from sim.jobs.store import Store
from sim.jobs.task import Task

from .count import CALL, LIMIT, VERSION
from .draw import Drawn

__all__ = [
    "FRESH",
    "NEAR",
    "PRIOR",
    "USUAL",
    "Known",
    "Sample",
    "counted",
    "named",
    "read",
    "record",
    "samples_of",
]

PRIOR, NEAR, USUAL, FRESH = "prior", "near", "usual", "fresh"
"""How a design came: drawn from the priors, about one that was predicted badly, chosen by a person,
drawn after the fit."""


class Known(Protocol):
    """A design whose cells are known, wherever from."""

    @property
    def there(self) -> Board:
        """Its board."""

    @property
    def design(self) -> Design:
        """The array."""

    @property
    def counted(self) -> Mapping[str, int]:
        """By the names of :data:`boards.cells.usage.RESOURCES`."""


@dataclass(frozen=True)
class Sample:
    """A design and its cells.

    Parameters
    ----------
    board : str
        Its name.
    drawn : Drawn
    counted : mapping of str to int
        By the names of :data:`boards.cells.usage.RESOURCES`.
    how : str
        One of :data:`FRESH` and the others, which are learned from.
    hardware : str
        :data:`~sparseflow.tune.prediction.count.VERSION` of what was counted; empty of old files.
    """

    board: str
    drawn: Drawn
    counted: Mapping[str, int]
    how: str = PRIOR
    hardware: str = VERSION

    @property
    def there(self) -> Board:
        """Its board."""
        return board(self.board)

    @property
    def design(self) -> Design:
        """The array."""
        return _design(self.drawn, self.board)

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"board": self.board, "how": self.how, "counted": dict(self.counted),
                "hardware": self.hardware, **self.drawn.plain}  # fmt: skip


@cache
def _design(drawn: Drawn, name: str) -> Design:
    """Of its model, whose binary points say how sums are aligned; shapes alone do not."""
    return design_for(drawn.model, drawn.pes, drawn.lanes, **board(name).options)


def counted(
    asked: Sequence[tuple[Board, Drawn, str]],
    store: Store,
    engine: Engine,
    tell: Callable[[str], None],
    known: Iterable[Sample] = (),
) -> list[Sample]:
    """Count designs, each in a process of its own; in the order in which they were given.

    Those that are ``known`` of the same hardware are not counted again.

    Raises
    ------
    ValueError
        If one cannot be counted, with the end of its log.
    """
    had = {(s.board, s.drawn): s for s in known if s.hardware == VERSION}
    tasks = [
        Task(str(n), CALL, {"board": b.name, **drawn.plain}, limit=2 * LIMIT, version=VERSION)
        for n, (b, drawn, _) in enumerate(asked)
        if (b.name, drawn) not in had
    ]
    if tasks:
        first = named(*asked[int(tasks[0].key)][:2])
        tell(f"{len(tasks)} designs to count, each one to some minutes: {first} first")
    found = {
        str(n): replace(had[b.name, drawn], how=how)
        for n, (b, drawn, how) in enumerate(asked)
        if (b.name, drawn) in had
    }
    for key, outcome in run_tasks(tasks, store, engine):
        b, drawn, how = asked[int(key)]
        if outcome.failure:
            raise ValueError(f"{named(b, drawn)}: {outcome.failure['text']}\n{outcome.log}")
        found[key] = Sample(b.name, drawn, outcome.value, how)
        tell(f"{len(found)} of {len(asked)}: {named(b, drawn)}, {outcome.value['lut']} LUT")
    return [found[str(n)] for n in range(len(asked))]


def named(b: Board, drawn: Drawn) -> str:
    """Of a design, for people: board, array and layer."""
    network = drawn.network
    return f"{b.name} {drawn.pes} x {drawn.lanes}, {network.inputs} -> {network.hidden}"


def record(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """Rows of a file."""
    return [sample.plain for sample in samples]


def read(path: Path) -> list[Sample]:
    """Samples of a file.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        return list(samples_of(json.loads(path.read_text("utf-8"))["rows"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: no counted designs ({type(error).__name__}: {error}); give what --data of "
            "`predict build` wrote"
        ) from None


def samples_of(rows: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
    """Samples of rows of a file."""
    for row in rows:
        counts = {str(name): int(count) for name, count in row["counted"].items()}
        hardware = str(row.get("hardware", ""))
        yield Sample(board(row["board"]).name, Drawn.of(row), counts, row["how"], hardware)
