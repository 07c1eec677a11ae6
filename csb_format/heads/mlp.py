"""A head of several linear layers with a ReLU between them, in exact integers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..fixed import Fixed, IntArray, round_shift, saturate
from ..shape import DenseShape
from .dense import DenseLayer

__all__ = ["MlpHead", "Rectifier", "layer_names", "layers_of"]


class Rectifier(NamedTuple):
    """What is between two linear layers: ReLU, rounding halves up, saturation.

    Rounding and ReLU may change places, as zero rounds to zero.

    Parameters
    ----------
    shift : int
        Fraction bits that sums lose, 0..62.
    width : int
        Bits of what the next layer takes, with a sign that is never set.
    """

    shift: int
    width: int

    @property
    def least(self) -> int:
        """The least sum whose activation is not 0."""
        return 1 << self.shift - 1 if self.shift else 1

    def of(self, sums: IntArray) -> IntArray:
        """What the next layer takes for exact sums, int64 of one shape."""
        return saturate(round_shift(np.maximum(sums, 0), self.shift), self.width)


@dataclass(frozen=True, eq=False)
class MlpHead(DenseLayer):
    """Linear, ReLU, Linear and so on.

    Of the last layer it is a :class:`~csb_format.heads.dense.DenseLayer`.

    Parameters
    ----------
    weight, weight_format, input, bias, row_bits
        Of the last layer; ``input`` is what activations of the layer before are rounded to.
    hidden : tuple of DenseLayer
        The layers before it, at least one; the first takes the state.

    Raises
    ------
    ValueError
        As :class:`~csb_format.heads.dense.DenseLayer`; for layers that do not fit each
        other, or activations with more fraction bits than the sums that they are rounded from.
    """

    hidden: tuple[DenseLayer, ...] = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if not self.hidden or any(isinstance(one, MlpHead) for one in self.hidden):
            raise ValueError("hidden layers of a head: give at least one DenseLayer, and no heads")
        _ = self.shape  # checks that all fit each other

    @classmethod
    def of(cls, *layers: DenseLayer) -> MlpHead:
        """A head of layers in the order in which they run.

        Raises
        ------
        ValueError
            As the class, and for a last layer of more than a
            :class:`~csb_format.heads.dense.DenseLayer` holds.
        """
        *hidden, last = layers
        if type(last) is not DenseLayer:
            raise ValueError(
                f"the last layer is a {type(last).__name__}: give a DenseLayer, whose fields a "
                "head has"
            )
        fields = (last.weight, last.weight_format, last.input, last.bias)
        return cls(*fields, row_bits=last.row_bits, hidden=tuple(hidden))

    @cached_property
    def last(self) -> DenseLayer:
        """The last layer alone."""
        fields = (self.weight, self.weight_format, self.input, self.bias)
        return DenseLayer(*fields, row_bits=self.row_bits)

    @property
    def layers(self) -> tuple[DenseLayer, ...]:
        """All layers in the order in which they run."""
        return (*self.hidden, self.last)

    @property
    def shape(self) -> DenseShape:
        """The layers without their weights."""
        return replace(self.last.shape, hidden=tuple(layer.shape for layer in self.hidden))

    @property
    def given(self) -> Fixed:
        """Format of the state that the first layer takes."""
        return self.hidden[0].input

    @property
    def input_size(self) -> int:
        """Elements of the state that the first layer takes."""
        return self.hidden[0].input_size

    @property
    def rectifiers(self) -> tuple[Rectifier, ...]:
        """Behind each hidden layer."""
        return tuple(Rectifier(shift, fixed.width) for shift, fixed in self.shape.between)

    def activations(self, state: npt.ArrayLike, layer: int = 0) -> IntArray:
        """What the layer behind a hidden one takes.

        Parameters
        ----------
        state : int array (..., H)
            In the first layer's ``input`` format.
        layer : int
            Of the hidden ones.

        Returns
        -------
        int64 array (..., A)

        Raises
        ------
        ValueError
            As :meth:`~csb_format.heads.dense.DenseLayer.logits`.
        """
        steps = zip(self.hidden[: layer + 1], self.rectifiers, strict=False)
        for one, rectifier in steps:
            state = rectifier.of(one.logits(state))
        return np.asarray(state, np.int64)

    def logits(self, hidden: npt.ArrayLike) -> IntArray:
        """Exact logits of states (..., H), int64 (..., O).

        As :meth:`~csb_format.heads.dense.DenseLayer.logits`.
        """
        return self.last.logits(self.activations(hidden, len(self.hidden) - 1))

    def equals(self, other: DenseLayer) -> bool:
        """Whether both hold the same integers in the same formats, in all layers."""
        if not isinstance(other, MlpHead) or len(self.hidden) != len(other.hidden):
            return False
        pairs = zip(self.hidden, other.hidden, strict=True)
        return super().equals(other) and all(mine.equals(theirs) for mine, theirs in pairs)


def layers_of(head: DenseLayer) -> tuple[DenseLayer, ...]:
    """The linear layers of a head in the order in which they run: of most heads itself."""
    return head.layers if isinstance(head, MlpHead) else (head,)


def layer_names(count: int) -> list[str]:
    """What the linear layers of a head are called, as in files; the last ``head``."""
    return [*(f"head.hidden.{n}" for n in range(count - 1)), "head"]
