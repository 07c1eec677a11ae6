"""A head of two linear layers with a ReLU between them, in exact integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..fixed import IntArray, round_shift, saturate
from ..model import DenseLayer

__all__ = ["MlpHead"]


@dataclass(frozen=True, eq=False)
class MlpHead:
    """Linear, ReLU, Linear: ``output(rounded(max(0, hidden(h))))``.

    Parameters
    ----------
    hidden, output : DenseLayer
        What ``output`` takes is the format that activations are rounded to, halves up, saturating.

    Raises
    ------
    ValueError
        If the layers do not fit each other, or activations would have more fraction bits than the
        sums that they are rounded from.
    """

    hidden: DenseLayer
    output: DenseLayer

    def __post_init__(self) -> None:
        if self.output.input_size != self.hidden.output_size:
            raise ValueError(
                f"the second layer takes {self.output.input_size} numbers, the first gives "
                f"{self.hidden.output_size}: give layers that follow each other"
            )
        if not 0 <= self.shift < 63:
            raise ValueError(
                f"sums of the first layer have {self.shift} fraction bits more than what the "
                "second takes: must be 0 to 62; choose other formats"
            )

    @property
    def shift(self) -> int:
        """Fraction bits that sums of the first layer lose."""
        given = self.hidden.weight_format.frac + self.hidden.input.frac
        return given - self.output.input.frac

    @property
    def least(self) -> int:
        """The least sum of the first layer whose activation is not 0."""
        return 1 << self.shift - 1 if self.shift else 1

    def activated(self, sums: IntArray) -> IntArray:
        """What the second layer takes for sums of the first, int64 of one shape."""
        positive = np.maximum(sums, 0)
        return saturate(round_shift(positive, self.shift), self.output.input.width)

    def activations(self, hidden: npt.ArrayLike) -> IntArray:
        """What the second layer takes for hidden states (..., H): int64 (..., A)."""
        return self.activated(self.hidden.logits(hidden))

    def logits(self, hidden: npt.ArrayLike) -> IntArray:
        """Exact logits of hidden states (..., H), int64 (..., O)."""
        return self.output.logits(self.activations(hidden))
