"""A linear layer in integers: a classifier, or one of the layers before it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..fixed import Fixed, IntArray, integers_of, row_shifts
from ..shape import DenseShape

__all__ = ["LEAST_ROW_BITS", "DenseLayer"]

_BIAS_BITS = 48
LEAST_ROW_BITS = 4  # of a head whose rows have few bits and a shift


@dataclass(frozen=True, eq=False)
class DenseLayer:
    """The classifier after the last layer; it runs on the host, in exact integers.

    Parameters
    ----------
    weight : int64 array (O, H)
        In ``weight_format``. Made read-only.
    weight_format : Fixed
        Format of the weights.
    input : Fixed
        Format of h.
    bias : int64 array (O,)
        ``weight_format.frac + input.frac`` fraction bits, at most 48 bits wide. Made
        read-only.
    row_bits : int
        Every row is numbers of so many bits times a power of two, and is stored as these: at least
        4, at most those of ``weight_format``. 0: rows are stored as they are.

    Raises
    ------
    ValueError
        For shapes that do not agree, values out of range, or formats so wide that a
        logit might leave int64.
    """

    weight: IntArray
    weight_format: Fixed
    input: Fixed
    bias: IntArray
    row_bits: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if np.ndim(self.weight) != 2 or 0 in np.shape(self.weight):
            raise ValueError(
                f"head weight has shape {np.shape(self.weight)}: it must be "
                "(outputs, hidden_size), both at least 1"
            )
        outputs, hidden = np.shape(self.weight)
        width = self.weight_format.width
        self._check_sums(hidden)
        weight = integers_of("head weight", self.weight, (outputs, hidden), width)
        bias = integers_of("head bias", self.bias, (outputs,), _BIAS_BITS)
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", bias)
        if self.row_bits:
            self._check_rows()

    @property
    def row_shifts(self) -> IntArray:
        """Bits that rows are shifted left by, with ``row_bits``: int64 (O,)."""
        return row_shifts(self.weight, self.row_bits)

    def _check_rows(self) -> None:
        if not LEAST_ROW_BITS <= self.row_bits <= self.weight_format.width:
            raise ValueError(
                f"row_bits = {self.row_bits}: must be 0, or {LEAST_ROW_BITS} to the "
                f"{self.weight_format.width} bits of the head's weights"
            )
        shift = self.row_shifts[:, None]
        if (torn := (self.weight >> shift << shift != self.weight).any(axis=1)).any():
            raise ValueError(
                f"row {int(torn.argmax())} of the head has more than {self.row_bits} leading bits: "
                "round it (round_rows), or leave row_bits out"
            )

    def _check_sums(self, hidden: int) -> None:
        bits = self.weight_format.width + self.input.width - 2 + hidden.bit_length()
        if bits > 62:
            raise ValueError(
                f"head weights of {self.weight_format.width} bits and inputs of "
                f"{self.input.width} bits need sums of {bits} bits: use narrower formats"
            )

    @property
    def input_size(self) -> int:
        """Elements of h."""
        return int(self.weight.shape[1])

    @property
    def shape(self) -> DenseShape:
        """The layer without its weights."""
        sizes = self.output_size, self.input_size
        return DenseShape(*sizes, self.weight_format, self.input, self.row_bits)

    @property
    def output_size(self) -> int:
        """Number of logits."""
        return int(self.weight.shape[0])

    def logits(self, hidden: npt.ArrayLike) -> IntArray:
        """Exact ``weight @ h + bias``.

        Parameters
        ----------
        hidden : int array (..., H)
            In ``input`` format.

        Returns
        -------
        int64 array (..., O)
            ``weight_format.frac + input.frac`` fraction bits.

        Raises
        ------
        ValueError
            For another last axis, a dtype that is not integer, or values outside ``input``.
        """
        h = np.asarray(hidden)
        if h.shape[-1:] != (self.input_size,):
            raise ValueError(
                f"hidden state of shape {h.shape}: the last axis must have "
                f"{self.input_size} elements"
            )
        h = integers_of("hidden state", h, h.shape, self.input.width)
        return h @ self.weight.T + self.bias

    @property
    def last_bit(self) -> float:
        """What a logit of 1 stands for: logits times it are numbers, exact below 2**53."""
        return float(2.0 ** -(self.weight_format.frac + self.input.frac))

    def equals(self, other: DenseLayer) -> bool:
        """Whether both hold the same integers in the same formats."""
        return (
            np.array_equal(self.weight, other.weight)
            and np.array_equal(self.bias, other.bias)
            and self.shape == other.shape
        )
