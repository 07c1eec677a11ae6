"""Designs drawn to be counted: from wide priors, then about those that are predicted badly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from boards.board import Board
from boards.resources import estimate
from compiler.array.design import Design
from compiler.array.needs import design_for
from csb_format.cells import LSTM, cell_named
from csb_format.model import Model
from csb_format.scales import DesignError

from ..network import Network

__all__ = ["JUDGED", "MOST", "TAUGHT", "Drawn", "about", "draw", "log_size"]

MOST = 64  # multipliers of an array: larger ones take too long to be counted
LANES = (1, 2, 3, 4, 5, 8, 10, 16)
CELLS = (LSTM, LSTM, LSTM, "gru")
WITHIN = (0.5, 1.2)
"""Of each size of a neighbour, as nn-Meter (Zhang et al., MobiSys 2021) draws channels."""
TRIES = 200
TAUGHT, JUDGED = 0, 1
ROOM = 1.25  # of a device, as estimated: what is much larger nobody would build


@dataclass(frozen=True)
class Drawn:
    """A network and an array, without a board.

    Parameters
    ----------
    network : Network
    pes, lanes : int
    seed : int
        Of its weights.
    """

    network: Network
    pes: int
    lanes: int
    seed: int

    def design(self, board: Board) -> Design:
        """As all designs of a board are.

        Raises
        ------
        DesignError
            If the board has no such array.
        """
        return design_for(self.network.shape, self.pes, self.lanes, **board.options)

    @property
    def model(self) -> Model:
        """The network with random weights."""
        return self.network.random(self.seed)

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"network": self.network.knobs, "pes": self.pes, "lanes": self.lanes,
                "seed": self.seed}  # fmt: skip

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Drawn:
        """What :attr:`plain` gives back."""
        return cls(Network(**row["network"]), row["pes"], row["lanes"], row["seed"])


def draw(
    board: Board, count: int, seed: int, most: int = MOST, stream: int = TAUGHT
) -> Iterator[Drawn]:
    """Designs of a board, drawn from what people might ask for.

    Sizes are drawn evenly on a logarithmic scale; what takes more than ``ROOM`` of the device
    is left out.

    Parameters
    ----------
    board : Board
    count : int
    seed : int
    most : int
        Multipliers of an array.
    stream : int
        ``TAUGHT`` or ``JUDGED``: the same seed draws others to judge by than to learn from.
    """
    rng = np.random.default_rng([seed, stream])
    for _ in range(count):
        yield _tried(board, lambda: _one(rng, board, most))


def about(board: Board, middle: Drawn, count: int, seed: int, most: int = MOST) -> Iterator[Drawn]:
    """Neighbours of a design: each size between half of it and 1.2 times it."""
    rng = np.random.default_rng([seed, middle.seed])
    for _ in range(count):
        yield _tried(board, lambda: _near(rng, middle, most))


def _tried(board: Board, one: Any) -> Drawn:
    """The first that a board has an array for."""
    for _ in range(TRIES):
        drawn: Drawn = one()
        try:
            usage = estimate(drawn.design(board), board)
        except (DesignError, ValueError):
            continue
        if usage.limit(board.has)[1] <= ROOM:
            return drawn
    raise ValueError(
        f"board {board.name}: none of {TRIES} drawn designs has an array that is not far too large"
    )


def _one(rng: np.random.Generator, board: Board, most: int) -> Drawn:
    lanes = int(rng.choice([n for n in LANES if n * 4 <= most]))
    compact = bool(board.options.get("compact"))
    cell = LSTM if compact else str(rng.choice(CELLS))
    abreast = cell_named(cell).abreast
    pes = abreast * log_size(rng, 1, max(1, most // lanes // abreast))
    hidden, inputs = log_size(rng, 8, 400), log_size(rng, 4, 200)
    banks = lanes * int(rng.choice((1, 1, 2)))
    widths = (-(-inputs // banks), -(-hidden // banks))
    projection = 0 if compact or rng.random() < 0.75 else log_size(rng, 4, hidden)
    network = Network(
        inputs, hidden, banks, log_size(rng, 1, widths[1]), log_size(rng, 1, widths[0]),
        int(rng.choice((1, 1, 2, 3))), 1, projection,
        int(rng.choice((4, 6, 8, 8, 12, 16, 16))), int(rng.choice((8, 8, 10, 12, 16, 16))), cell,
    )  # fmt: skip
    return Drawn(network, pes, lanes, int(rng.integers(1 << 30)))


def _near(rng: np.random.Generator, middle: Drawn, most: int) -> Drawn:
    was = middle.network
    step = cell_named(was.cell).abreast
    pes = max(step, min(most // middle.lanes, _scaled(rng, middle.pes)) // step * step)
    network = was.at(
        inputs=_scaled(rng, was.inputs), hidden=_scaled(rng, was.hidden), k=_scaled(rng, was.k),
        k_input=_scaled(rng, was.k_input),
    )  # fmt: skip
    return Drawn(network, pes, middle.lanes, int(rng.integers(1 << 30)))


def _scaled(rng: np.random.Generator, size: int) -> int:
    return max(1, round(size * rng.uniform(*WITHIN)))


def log_size(rng: np.random.Generator, least: int, most: int) -> int:
    """A whole number, evenly on a logarithmic scale, both ends among them."""
    return int(np.exp(rng.uniform(np.log(least), np.log(most + 1))))
