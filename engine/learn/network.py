"""A whole network forward and back: levels of layers, both directions, and the head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from csb_format.model import DenseLayer, Model

from .exponents import Exponents
from .head import Asked, HeadPass
from .integers import INNER_BITS
from .reference import names_of
from .settle import Settling
from .tape import Gradient, Piece, Signal
from .weights import Masters

__all__ = ["UP_BITS", "LayerPass", "Network", "Outcome", "exponents_for"]

UP_BITS = 24  # of gradients of a level's outputs, which have one exponent for all steps


class LayerPass(Protocol):
    """One direction of a layer; :class:`engine.learn.reference.ReferencePass` has the words."""

    def forward(self, x: Signal, piece: Piece) -> Signal:
        """Outputs of frames; leaves a tape."""

    def backward(
        self, up: Signal, up_exponent: int, settling: Settling, below: str = ""
    ) -> tuple[dict[str, Gradient], Signal | None]:
        """Gradients of the layer, and of its frames where somebody asks for them."""


@dataclass
class Outcome:
    """What a batch, or a piece of one, gave.

    Parameters
    ----------
    cost : float
        Sum over its answers, of the cross-entropy or squared errors; for people.
    right : int
        Classes answered as they should.
    gradients : dict of str to Gradient
    """

    cost: float
    right: int
    gradients: dict[str, Gradient]

    def add(self, other: Outcome) -> None:
        """Add another piece of the same batch."""
        self.cost, self.right = self.cost + other.cost, self.right + other.right
        for name, gradient in other.gradients.items():
            self.gradients[name].add(gradient)


def exponents_for(model: Model, bits: int) -> Exponents:
    """Exponents for all gradients of a model that is trained with ``bits`` of them."""
    widths = {"head.0": INNER_BITS}
    for n, layer in enumerate(model.layers):
        widths |= {name: bits if name[0] in "dr" else INNER_BITS for name in names_of(layer, n)}
    widths |= {f"up.{n}": UP_BITS for n in range(len(model.levels))}
    return Exponents(widths)


class Network:
    """The network with the weights of now.

    Parameters
    ----------
    masters : Masters
    made : callable
        From the masters and the number of a layer to its pass.
    deep : bool
        Whether recurrent layers move; else gradients end at the head.
    head_pass : callable, optional
        From the model and its head to the pass of the head; the reference by default.
    """

    def __init__(
        self,
        masters: Masters,
        made: Callable[[Masters, int], LayerPass],
        deep: bool,
        head_pass: Callable[[Model, DenseLayer], HeadPass] | None = None,
    ):
        self.model, self.deep = masters.start, deep
        step = self.model.directions
        passes = [made(masters, n) for n in range(len(self.model.layers))]
        self.levels = [passes[n : n + step] for n in range(0, len(passes), step)]
        head = masters.head()
        assert head is not None
        self.head = (head_pass or HeadPass)(self.model, head)
        self.moves = set(masters.values)

    def run(self, frames: Signal, piece: Piece, asked: Asked, settling: Settling) -> Outcome:
        """Gradients of a piece.

        Parameters
        ----------
        frames : integer array (X, T, L)
            In the format of the input.
        piece, asked, settling
            As for :meth:`engine.learn.head.HeadPass.run`.
        """
        signal = frames
        for level in self.levels:
            signal = self._forward(level, signal, piece)
        top = f"up.{len(self.levels) - 1}" if self.deep else ""
        answered = self.head.run(signal, piece, asked, settling, top)
        gradients, up = dict(answered.gradients), answered.up
        for n in reversed(range(len(self.levels))):
            if up is not None:
                up = self._backward(n, up, piece, settling, gradients)
        kept = {name: g for name, g in gradients.items() if name in self.moves}
        return Outcome(answered.cost, answered.right, kept)

    @staticmethod
    def _forward(level: list[LayerPass], signal: Signal, piece: Piece) -> Signal:
        forward = level[0].forward(signal, piece)
        if len(level) == 1:
            return forward
        reverse = level[1].forward(piece.turned(signal), piece)
        return np.concatenate([forward, piece.turned(reverse)])

    def _backward(
        self,
        n: int,
        up: Signal,
        piece: Piece,
        settling: Settling,
        gradients: dict[str, Gradient],
    ) -> Signal | None:
        level, exponent = self.levels[n], settling.exponent(f"up.{n}", 0)
        below = f"up.{n - 1}" if n else ""
        parts = np.split(up, len(level))
        found, down = level[0].backward(parts[0], exponent, settling, below)
        gradients |= found
        if len(level) == 2:
            turned = piece.turned(parts[1])
            found, other = level[1].backward(turned, exponent, settling, below)
            gradients |= found
            if down is not None and other is not None:
                down = down + piece.turned(other)
        return down
