"""Quantisation-aware fine-tuning in the hardware's own arithmetic.

The forward pass is :class:`pruning.integers.hardware_exact.HardwareExact`, so the accuracy that is
trained is the accuracy that the accelerator will have, not an estimate of it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from csb_format import precision
from csb_format.geometry import Geometry
from csb_format.model import Model
from csb_format.pooling import LAST, check_pool

from ..cells import Recurrent, cell_of
from ..files.pooling import pooled
from ..mlp import Head, linears_of
from .calibrate import calibrated, measure_ranges
from .choice import choose_formats
from .formats import HEAD_BITS, DenseFormats, Formats
from .hardware_exact import HardwareExact, Tally, quantise_exact, round_rows
from .quantise import build_model
from .supported import check_network
from .tensors import joined_bias, suffixes

__all__ = [
    "Precision",
    "QatClassifier",
    "QatLstm",
]


@dataclass(frozen=True)
class Precision(precision.Precision):
    """How to choose formats; see :func:`pruning.integers.calibrate.calibrate`.

    Parameters
    ----------
    value_bits, act_bits, per_gate, percentile, reach
        As :class:`csb_format.precision.Precision`.
    layer_reaches : tuple of int
        Of each layer, in the place of ``reach``; none by default.
    calibrated : bool
        Another reach is taken where states saturate on calibration data; see
        :func:`pruning.integers.calibrate.calibrated`.
    head_bits : int
        Leading bits of every row of the head that its weights are rounded to, 4..16.
    """

    calibrated: bool = False
    layer_reaches: tuple[int, ...] = ()
    head_bits: int = HEAD_BITS

    def formats(
        self,
        lstm: Recurrent,
        head: nn.Module | None,
        sequences: Sequence[npt.NDArray[np.floating]],
    ) -> Formats:
        """Formats of a network on calibration data."""
        check_network(lstm, head)
        ranges = measure_ranges(lstm, sequences, self.percentile, head=head)
        found = choose_formats(
            lstm, head, ranges, self.value_bits, self.act_bits, self.per_gate, self.percentile,
            reach=self.layer_reaches or self.reach,
        )  # fmt: skip
        found = calibrated(lstm, found, sequences) if self.calibrated else found
        return replace(found, head_bits=self.head_bits)


class QatLstm(nn.Module):
    """An LSTM or GRU whose forward pass is the accelerator's, with gradients for training.

    Parameters
    ----------
    lstm : nn.LSTM or nn.GRU
        Any option, without parametrisations; trained in place. Dropout is not applied.
    formats : Formats
        Stay as they are in training: a weight that grows out of its format is clipped, and
        gets no gradient until another one moves it back.
    masks : Mapping[str, bool Tensor], optional
        Kept weights by parameter name; by default those that are not zero.
    """

    def __init__(
        self, lstm: Recurrent, formats: Formats, masks: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        check_network(lstm, None)
        if len(formats.layers) != len(suffixes(lstm)):
            raise ValueError(
                f"formats of {len(formats.layers)} layers for a module of {len(suffixes(lstm))}: "
                f"choose them with this {type(lstm).__name__}"
            )
        self.lstm, self.formats = lstm, formats
        self._exact = HardwareExact(formats, 1 + lstm.bidirectional)
        for name in self._matrices():
            weight = getattr(lstm, name)
            mask = weight.detach() != 0 if masks is None or name not in masks else masks[name]
            if mask.shape != weight.shape:
                raise ValueError(
                    f"mask of {name} has shape {tuple(mask.shape)}: give {tuple(weight.shape)}"
                )
            self.register_buffer(f"mask_{name}", mask.bool().clone())

    def _matrices(self) -> list[str]:
        return [n for n, _ in self.lstm.named_parameters() if n.startswith("weight")]

    @property
    def masks(self) -> dict[str, Tensor]:
        """Kept weights by parameter name."""
        return {name: self.get_buffer(f"mask_{name}") for name in self._matrices()}

    def weights(self) -> dict[str, Tensor]:
        """Masked float64 weights and joined biases, as :class:`.HardwareExact` takes them."""
        found = {name: getattr(self.lstm, name).double() * m for name, m in self.masks.items()}
        for end in suffixes(self.lstm):
            weight = found[f"weight_ih{end}"]
            cell, sides = cell_of(self.lstm), [weight.new_zeros(len(weight))] * 2
            if self.lstm.bias:
                sides = [getattr(self.lstm, f"bias_{side}{end}").double() for side in ("ih", "hh")]
            ih, hh = (side.chunk(len(cell.gate_names)) for side in sides)
            found[f"bias{end}"] = torch.cat(joined_bias(cell, ih, hh))
        return found

    def levels(self, frames: Tensor, lengths: Tensor, tally: Tally | None = None) -> list[Tensor]:
        """Outputs of every level; see :meth:`.HardwareExact.levels`."""
        return self._exact.levels(self.weights(), frames, lengths, tally)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Outputs of the last level, dequantised.

        Parameters
        ----------
        frames : Tensor (B, T, X)
            Batch first, whatever the LSTM's option says.
        lengths : Tensor
            int64 (B,), 1..T.

        Returns
        -------
        float64 Tensor (B, T, D * R)
            Multiples of the output format's last bit; without meaning after ``lengths``.
        """
        return self.levels(frames, lengths)[-1]

    def pruned(self) -> Recurrent:
        """A plain copy with pruned weights at zero."""
        plain = copy.deepcopy(self.lstm)
        with torch.no_grad():
            for name, mask in self.masks.items():
                getattr(plain, name).mul_(mask)
        return plain

    def to_model(
        self,
        layout: Mapping[str, Geometry | int],
        head: Head | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> Model:
        """The integers that this forward pass computes with; see :func:`.build_model`."""
        return build_model(
            self.pruned(), head, layout, self.formats, masks=self.masks, provenance=provenance
        )


class QatClassifier(nn.Module):
    """A :class:`QatLstm` and its head of one linear layer, or of several with a ReLU between.

    Parameters
    ----------
    lstm, head : nn.LSTM or nn.GRU, nn.Linear or nn.Sequential
        Trained in place.
    formats : Formats
        Chosen with the head.
    masks : Mapping[str, bool Tensor], optional
    pool : {"last", "hn", "mean", "every"}
        How the head is fed; see :data:`csb_format.pooling.Pool`.
    """

    def __init__(
        self,
        lstm: Recurrent,
        head: Head,
        formats: Formats,
        masks: Mapping[str, Tensor] | None = None,
        pool: str = LAST,
    ) -> None:
        super().__init__()
        check_pool(pool)
        check_network(lstm, head)
        self.lstm, self.head = QatLstm(lstm, formats, masks), head
        self._dense = formats.dense
        self._pool, self._taken = pool, formats.layers[-1].output
        self._head_bits = formats.head_bits

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Logits (B, classes), or of every frame, in float64, as the integers give them."""
        outputs = self.lstm(frames, lengths)
        taken = pooled(outputs, lengths, self._pool, 1 + self.lstm.lstm.bidirectional)
        if self._pool == "mean":  # of integers, it is rounded to one
            taken = quantise_exact(taken, self._taken)
        linears = linears_of(self.head)
        for n, (linear, chosen) in enumerate(zip(linears, self._dense, strict=True)):
            if n:
                taken = quantise_exact(taken.relu(), chosen.given)
            taken = self._sums(linear, chosen, taken)
        return taken

    def _sums(self, linear: nn.Linear, chosen: DenseFormats, taken: Tensor) -> Tensor:
        """Exact sums of a linear layer."""
        weight = quantise_exact(linear.weight.double(), chosen.weight)
        sums: Tensor = taken @ round_rows(weight, chosen.weight, self._head_bits).T
        if linear.bias is None:
            return sums
        return sums + quantise_exact(linear.bias.double(), chosen.bias)

    def to_model(
        self,
        layout: Mapping[str, Geometry | int],
        provenance: Mapping[str, str] | None = None,
    ) -> Model:
        """The integers that this forward pass computes with, head included."""
        return replace(self.lstm.to_model(layout, self.head, provenance), pool=self._pool)
