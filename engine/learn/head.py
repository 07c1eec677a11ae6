"""The head of a network forward and back: dense, in exact integers, on the host."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from csb_format.fixed import Fixed, IntArray
from csb_format.model import DenseLayer, Model

from .integers import INNER_BITS, clipped
from .loss import PROBABILITY_BITS, class_gradient, cross_entropy
from .reference import exact
from .settle import Part, Settling
from .tape import Gradient, Piece, Signal

__all__ = ["Answered", "Asked", "HeadPass"]


@dataclass(frozen=True)
class Asked:
    """What the sequences of a piece should be answered with.

    Parameters
    ----------
    labels : tuple of int64 arrays, or empty
        Of each sequence (1,), or (T,) where every frame is answered; -1 where none counts.
    targets : tuple of int64 arrays (1, O) or (T, O), or empty
        Numbers in the format of the logits.
    """

    labels: tuple[IntArray, ...] = ()
    targets: tuple[IntArray, ...] = ()

    @classmethod
    def of_numbers(cls, head: DenseLayer, parts: Iterable[npt.NDArray[np.floating]]) -> Asked:
        """Real numbers (1, O) or (T, O) of each sequence; 48 bits hold them, saturating."""
        fixed = Fixed(48, head.weight_format.frac + head.input.frac)
        return cls(targets=tuple(fixed.quantise(part) for part in parts))

    @property
    def counted(self) -> int:
        """Answers that count."""
        if self.targets:
            return sum(map(len, self.targets))
        return int(sum((each >= 0).sum() for each in self.labels))

    def chosen(self, places: list[int]) -> Asked:
        """Those of some sequences, in their order."""
        picked = (
            tuple(each[n] for n in places) if each else () for each in (self.labels, self.targets)
        )
        return Asked(*picked)


@dataclass
class Answered:
    """What a piece's head leaves: the cost and right answers for people, and its gradients."""

    cost: float
    right: int
    gradients: dict[str, Gradient]
    up: Signal | None


class HeadPass:
    """How the head is fed with outputs of the last level, and what comes back.

    Parameters
    ----------
    model : Model
    head : DenseLayer
        With the weights of now.
    """

    def __init__(self, model: Model, head: DenseLayer):
        self.model, self.head = model, head

    def run(
        self, outputs: Signal, piece: Piece, asked: Asked, settling: Settling, tensor: str
    ) -> Answered:
        """Forward and back of a piece.

        Parameters
        ----------
        outputs : integer array (D * R, T, L)
        piece : Piece
        asked : Asked
            In the order of the piece's lanes.
        settling : Settling
        tensor : str
            Name of the gradient of the outputs; empty: nobody asks for it.
        """
        fed, lanes, steps = self._fed(outputs, piece)
        logits = self._logits(fed)
        delta, cost, right = self.delta(logits, asked, settling)
        gradients = self._gradients(delta, fed)
        if not tensor:
            return Answered(cost, right, gradients, None)
        back = self._back(delta)
        if self.model.pool == "mean":
            n = np.array(piece.lengths)[:, None]
            back = (2 * back + n) // (2 * n)
        settling.begin(tensor, 1)
        part = Part(back, delta.exponent - self.head.weight_format.frac)
        settled = settling.settle(tensor, 0, [part])
        return Answered(
            cost, right, gradients, self._spread(settled, lanes, steps, outputs.shape, piece)
        )

    def _logits(self, fed: IntArray) -> IntArray:
        """Exact (N, O); others have them from elsewhere."""
        return exact(fed, self.head.weight.T) + self.head.bias

    def _back(self, delta: Part) -> IntArray:
        """The transposed product (N, D * R), exact, likewise."""
        return exact(delta.value, self.head.weight)

    def _fed(self, outputs: Signal, piece: Piece) -> tuple[IntArray, IntArray, IntArray]:
        """What the head takes, int64 (N, D * R), and the lane and step of each."""
        out = outputs.astype(np.int64)
        many = np.arange(len(piece.lengths))
        if self.model.pool == "every":
            lanes = np.repeat(many, piece.lengths)
            steps = np.concatenate([piece.steps - n + np.arange(n) for n in piece.lengths])
            return out[:, steps, lanes].T, lanes, steps
        ends = np.full(len(many), piece.steps - 1)
        if self.model.pool == "mean":
            sums, n = out[:, :, many].sum(axis=1).T, np.array(piece.lengths)[:, None]
            return (2 * sums + n) // (2 * n), many, ends
        fed = out[:, ends, many].T
        if self.model.pool == "hn" and self.model.directions == 2:
            half, begins = len(out) // 2, piece.steps - np.array(piece.lengths)
            fed = np.concatenate([fed[:, :half], out[half:, begins, many].T], axis=1)
        return fed, many, ends

    def delta(self, logits: IntArray, asked: Asked, settling: Settling) -> tuple[Part, float, int]:
        """Gradient of logits (N, O), the cost, and answers that were right.

        Parameters
        ----------
        logits : int64 array (N, O)
            Exact.
        asked : Asked
        settling : Settling
        """
        frac = self.head.weight_format.frac + self.head.input.frac
        if asked.targets:
            error = logits - np.concatenate(asked.targets)
            settling.begin("head.0", 1)
            delta = settling.settle("head.0", 0, [Part(error, -frac)])
            cost = float((np.ldexp(error.astype(np.float64), -frac) ** 2).sum()) / error.shape[1]
            return Part(delta, settling.exponent("head.0", 0)), cost, 0
        labels = np.concatenate(asked.labels)
        delta = clipped(class_gradient(logits, frac, labels), INNER_BITS)
        right = int(((logits.argmax(axis=-1) == labels) & (labels >= 0)).sum())
        return Part(delta, -PROBABILITY_BITS), cross_entropy(logits, frac, labels), right

    def _gradients(self, delta: Part, fed: IntArray) -> dict[str, Gradient]:
        weight = Gradient(exact(delta.value.T, fed), delta.exponent - self.head.input.frac)
        return {
            "head.weight": weight,
            "head.bias": Gradient(delta.value.sum(axis=0), delta.exponent),
        }

    def _spread(
        self, back: IntArray, lanes: IntArray, steps: IntArray, shape: tuple[int, ...], piece: Piece
    ) -> Signal:
        """Gradients of what was fed, at the outputs that it was made of: int32 (D * R, T, L)."""
        up = np.zeros(shape, np.int32)
        if self.model.pool == "mean":
            many = len(piece.lengths)
            up[:, :, :many] = np.where(piece.valid[None, :, :many], back.T[:, None], 0)
        elif self.model.pool == "hn" and self.model.directions == 2:
            half, begins = shape[0] // 2, piece.steps - np.array(piece.lengths)
            up[:half, steps, lanes] = back[:, :half].T
            up[half:, begins, lanes] = back[:, half:].T
        else:
            up[:, steps, lanes] = back.T
        return up
