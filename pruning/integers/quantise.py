"""From float weights to the integers and formats of ``csb_format.Model``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.nn.utils import parametrize

from csb_format.csb import Csb, UnbalancedError
from csb_format.fixed import round_rows
from csb_format.geometry import Geometry
from csb_format.heads.mlp import MlpHead, layer_names
from csb_format.model import DenseLayer, GateFormats, LstmLayer, Model, Projection
from csb_format.pooling import LAST
from csb_format.precision import Precision
from csb_format.scales import DesignError, Scales

from ..cells import Recurrent
from ..importers.checkpoint import UnsupportedLayerError
from .calibrate import calibrated, check_sequences, measure_ranges
from .choice import choose_formats
from .formats import HEAD_BITS, DenseFormats, Formats, LayerFormats
from .packing import pack_matrix
from .supported import check_network
from .tensors import Real, RealTensors, real_tensors, suffixes

__all__ = ["Quantised", "build_model", "lstm_of", "quantise"]

ValueT = TypeVar("ValueT")
Layout = Mapping[str, Geometry | int]
Masks = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Quantised:
    """A model, and what its numbers lost.

    Parameters
    ----------
    model : Model
    saturations : dict of str to int
        Values clipped, by name: the weights, ``bias`` (of further layers ``bias_l1``,
        ``bias_l0_reverse``, ...), ``input`` (of the calibration), and with a head
        ``head.weight`` and ``head.bias``. :func:`pruning.integers.calibrate.calibrate` counts
        states.
    lowered : dict of str to int
        Fraction bits that a weight format gave up, beyond what its range needs, so that
        the two products align within ``MAX_ALIGN`` bits, or the head's bias fits; only
        those above 0.
    """

    model: Model
    saturations: dict[str, int]
    lowered: dict[str, int]


def quantise(
    lstm: Recurrent | nn.LSTMCell,
    head: nn.Module | None,
    layout: Layout,
    calibration: Sequence[npt.NDArray[np.floating]],
    *,
    value_bits: int = Precision.value_bits,
    act_bits: int = Precision.act_bits,
    provenance: Mapping[str, str] | None = None,
    masks: Masks | None = None,
    per_gate: bool = Precision.per_gate,
    percentile: float = Precision.percentile,
    pool: str = LAST,
    reach: int | Sequence[int] | None = Precision.reach,
) -> Quantised:
    """Quantise a pruned LSTM or GRU of any option, with power-of-two scales.

    Weights, inputs and projected states take the finest format that holds their largest
    magnitude, the hidden state ``Fixed(act_bits, act_bits - 1)``, the pre-activations, bias
    and an LSTM's cell state two bits more, in [-reach, reach). What the accelerator
    cannot run yet is refused by :func:`~compiler.array.needs.check_supported`, not here.

    Parameters
    ----------
    lstm : nn.LSTM, nn.GRU or nn.LSTMCell
        Squashed; any number of layers, both directions, projections, with or without bias.
        A cell is taken as the LSTM of one layer that it is; its matrices are ``weight_ih`` and
        ``weight_hh`` in ``layout`` and ``masks``.
    head : nn.Linear or nn.Sequential, optional
        On the output of the last layer, both directions side by side; 16-bit weights. Several
        linear layers with a ReLU between them, see :func:`pruning.mlp.linears_of`.
    layout : Mapping[str, Geometry or int]
        Every weight matrix by torch's name (``weight_ih_l0``, ``weight_hh_l0_reverse``,
        ``weight_hr_l1``, ...) to its geometry, or to its banks: then the number of weights
        per bank is read off the pattern. The ``value_bits`` argument counts, not that of a
        geometry.
    calibration : sequence of float arrays (T, X)
        Frames as the accelerator will be fed, normalised.
    value_bits : int
        Width of recurrent weights, 4..18.
    act_bits : int
        Width of inputs, hidden and projected states, 6..18.
    provenance : Mapping[str, str], optional
        Stored with the model.
    masks : Mapping[str, bool Tensor (R, C)], optional
        Kept weights by parameter name; by default those that are not zero. Needed when
        training left a kept weight at exactly zero.
    per_gate : bool
        Give the gates of a matrix a format each.
    percentile : float
        Percent of magnitudes that formats must hold; see
        :func:`pruning.integers.calibrate.calibrate`.
    pool : {"last", "hn", "mean", "every"}
        How the head is fed; see :data:`csb_format.pooling.Pool`.
    reach : int or sequence of int, optional
        Of pre-activations and an LSTM's cell state, of all layers or of each; None for what the
        calibration data asks for, see :func:`pruning.integers.calibrate.calibrated`.

    Returns
    -------
    Quantised

    Raises
    ------
    UnsupportedLayerError
        For another layer than these, or a parametrised one.
    UnbalancedError
        Naming parameter, row and bank of the first unbalanced one.
    ValueError
        For NaN or infinite values, an empty calibration, widths out of range, or products
        too far apart to meet.
    """
    if isinstance(lstm, nn.LSTMCell):
        layout, masks = _first_layer(layout), _first_layer(masks or {})
        lstm = lstm_of(lstm)
    check_network(lstm, head)
    check_sequences(calibration, lstm.input_size)
    real = real_tensors(lstm, head)
    ranges = measure_ranges(lstm, calibration, percentile, real=real, head=head)
    formats = choose_formats(
        lstm, head, ranges, value_bits, act_bits, per_gate, percentile, real=real,
        reach=Precision.reach if reach is None else reach,
    )  # fmt: skip
    if reach is None:
        formats = calibrated(lstm, formats, calibration)
    model = build_model(
        lstm, head, layout, formats, masks=masks, provenance=provenance, pool=pool, real=real
    )
    clipped = _saturations(real, formats, suffixes(lstm))
    clipped["input"] = sum(formats.layers[0].input.saturations(frames) for frames in calibration)
    return Quantised(model, clipped, formats.lowered)


def lstm_of(cell: nn.LSTMCell) -> nn.LSTM:
    """Return the LSTM of one layer that computes what stepping a cell computes; a copy.

    Raises
    ------
    UnsupportedLayerError
        For a parametrised cell.
    """
    if parametrize.is_parametrized(cell):
        raise UnsupportedLayerError(
            "LSTMCell with parametrisations: call parametrize.remove_parametrizations first"
        )
    lstm = nn.LSTM(
        cell.input_size,
        cell.hidden_size,
        bias=cell.bias,
        device=cell.weight_ih.device,
        dtype=cell.weight_ih.dtype,
    )
    lstm.load_state_dict(_first_layer(cell.state_dict()))
    return lstm


def _first_layer(of_cell: Mapping[str, ValueT]) -> dict[str, ValueT]:
    return {f"{name}_l0": value for name, value in of_cell.items()}


def build_model(
    lstm: Recurrent,
    head: nn.Module | None,
    layout: Layout,
    formats: Formats,
    *,
    masks: Masks | None = None,
    provenance: Mapping[str, str] | None = None,
    pool: str = LAST,
    real: RealTensors | None = None,
) -> Model:
    """Quantise and pack with formats that are chosen already; see :func:`quantise`.

    ``real`` is what :func:`.real_tensors` gave for the same network, if it has been asked.
    """
    check_network(lstm, head)
    packer = _Packer(real or real_tensors(lstm, head), layout, masks or {})
    ends = zip(suffixes(lstm), formats.layers, strict=True)
    layers = tuple(packer.layer(end, chosen) for end, chosen in ends)
    dense = None if head is None else packer.head(formats)
    return Model(layers, dense, dict(provenance or {}), 1 + lstm.bidirectional, pool)


@dataclass(frozen=True)
class _Packer:
    real: Mapping[str, Real]
    layout: Layout
    masks: Masks

    def layer(self, end: str, chosen: LayerFormats) -> LstmLayer:
        made = LstmLayer(
            self.pack(f"weight_ih{end}", chosen.weight_ih),
            self.pack(f"weight_hh{end}", chosen.weight_hh),
            chosen.state.quantise(self.real[f"bias{end}"]),
            chosen.input,
            chosen.hidden,
            chosen.weight_ih,
            chosen.weight_hh,
            chosen.state,
            self.projection(end, chosen),
            chosen.cell,
        )
        try:
            Scales.of(made)
        except DesignError as error:
            raise ValueError(f"layer {end[1:]}: {error}") from error
        return made

    def projection(self, end: str, chosen: LayerFormats) -> Projection | None:
        if chosen.weight_hr is None:
            return None
        weight = self.pack(f"weight_hr{end}", chosen.weight_hr)
        return Projection(weight, chosen.weight_hr, chosen.output)

    def pack(self, name: str, chosen: GateFormats) -> Csb:
        if name not in self.layout:
            raise ValueError(f"layout lacks {name}: give its Geometry or its number of banks")
        real = self.real[name]
        try:
            return pack_matrix(real, self.layout[name], chosen, self.masks.get(name))
        except UnbalancedError as error:
            raise UnbalancedError(
                f"{name}: {error}; give the masks if kept weights are exactly zero, and as layout "
                "the pruner's geometries() if gates keep different numbers"
            ) from error
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    def head(self, formats: Formats) -> DenseLayer:
        names = layer_names(len(formats.dense))
        layers = [
            self.dense(name, chosen, formats.head_bits)
            for name, chosen in zip(names, formats.dense, strict=True)
        ]
        return MlpHead.of(*layers) if layers[1:] else layers[0]

    def dense(self, name: str, chosen: DenseFormats, bits: int) -> DenseLayer:
        fixed = chosen.weight
        weight = round_rows(fixed.quantise(self.real[f"{name}.weight"]), bits)
        bias = chosen.bias.quantise(self.real[f"{name}.bias"])
        stored = bits if bits < min(HEAD_BITS, fixed.width) else 0
        return DenseLayer(weight, fixed, chosen.given, bias, row_bits=stored)


def _saturations(real: RealTensors, formats: Formats, ends: list[str]) -> dict[str, int]:
    clipped = {}
    for end, layer in zip(ends, formats.layers, strict=True):
        for kind in ("weight_ih", "weight_hh", "weight_hr", "bias"):
            if kind + end in real:
                # The first layer's bias keeps the name that it has always had.
                name = "bias" if kind + end == "bias_l0" else kind + end
                clipped[name] = real.clipped(kind + end, layer.of(kind))
    dense = () if formats.head is None else formats.dense
    for name, chosen in zip(layer_names(len(dense)), dense, strict=False):
        clipped[f"{name}.weight"] = real.clipped(f"{name}.weight", chosen.weight)
        clipped[f"{name}.bias"] = real.clipped(f"{name}.bias", chosen.bias)
    return clipped
