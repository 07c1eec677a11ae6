"""From float weights to the integers and formats of ``csb_format.Model``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from csb_format.csb import Csb, UnbalancedError
from csb_format.design import MAX_ALIGN
from csb_format.fixed import Fixed, IntArray
from csb_format.geometry import Geometry
from csb_format.model import DenseLayer, LstmLayer, Model

from .masks import check_balanced
from .supported import UnsupportedLayerError, check_lstm

__all__ = ["Quantised", "quantise"]

_HEAD_BIAS_BITS = 48
_IH, _HH = "weight_ih_l0", "weight_hh_l0"
_BIASES = ("bias_ih_l0", "bias_hh_l0")

_Real = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Quantised:
    """A model, and what its numbers lost.

    Parameters
    ----------
    model : Model
    saturations : dict of str to int
        Values clipped, by name: both weights, ``bias``, ``input`` (of the calibration),
        and with a head ``head.weight`` and ``head.bias``.
    lowered : dict of str to int
        Fraction bits that a weight format gave up, beyond what its range needs, so that
        the two products align within ``MAX_ALIGN`` bits, or the head's bias fits; only
        those above 0.
    """

    model: Model
    saturations: dict[str, int]
    lowered: dict[str, int]


def quantise(
    lstm: nn.LSTM,
    head: nn.Linear | None,
    layout: Mapping[str, Geometry | int],
    calibration: Sequence[npt.NDArray[np.floating]],
    *,
    value_bits: int = 16,
    act_bits: int = 16,
    provenance: Mapping[str, str] | None = None,
    masks: Mapping[str, Tensor] | None = None,
) -> Quantised:
    """Quantise a pruned LSTM, with a power-of-two scale per tensor.

    Weights and inputs take the finest format that holds their largest magnitude, the
    hidden state ``Fixed(act_bits, act_bits - 1)``, the pre-activations, bias and cell
    state ``Fixed(act_bits + 2, act_bits - 3)``: +-16.

    Parameters
    ----------
    lstm : nn.LSTM
        One layer, squashed; with or without bias.
    head : nn.Linear, optional
        On the hidden state; 16-bit weights.
    layout : Mapping[str, Geometry or int]
        ``"weight_ih_l0"`` and ``"weight_hh_l0"`` to their geometry, or to their banks:
        then the number of weights per bank is read off the pattern. The ``value_bits``
        argument counts, not that of a geometry.
    calibration : sequence of float arrays (T, X)
        Frames as the accelerator will be fed, normalised; only the largest magnitude counts.
    value_bits : int
        Width of LSTM weights, 4..18.
    act_bits : int
        Width of inputs and hidden state, 4..18.
    provenance : Mapping[str, str], optional
        Stored with the model.
    masks : Mapping[str, bool Tensor (R, C)], optional
        Kept weights by parameter name; by default those that are not zero. Needed when
        training left a kept weight at exactly zero.

    Returns
    -------
    Quantised

    Raises
    ------
    UnsupportedLayerError
        For a layer that the accelerator cannot run.
    UnbalancedError
        Naming parameter, row and bank of the first unbalanced one.
    ValueError
        For NaN or infinite values, an empty calibration, or widths out of range.
    """
    _check_layers(lstm, head)
    if not 4 <= act_bits <= 18:
        raise ValueError(f"act_bits {act_bits}: must be 4 to 18")
    real = _Tensors(lstm, head)
    formats = _Formats.choose(real, _largest(calibration, lstm.input_size), value_bits, act_bits)
    csbs = {
        name: _pack(name, real[name], layout, (masks or {}).get(name), formats.weights[name])
        for name in (_IH, _HH)
    }
    layer = LstmLayer(
        csbs[_IH],
        csbs[_HH],
        formats.state.quantise(real["bias"]),
        formats.input,
        formats.hidden,
        formats.weights[_IH],
        formats.weights[_HH],
        formats.state,
    )
    dense = None if head is None else _head(real, formats)
    model = Model((layer,), dense, dict(provenance or {}))
    return Quantised(model, _saturations(real, formats, calibration), formats.lowered)


def _check_layers(lstm: nn.LSTM, head: nn.Linear | None) -> None:
    check_lstm(lstm)
    if parametrize.is_parametrized(lstm):
        raise UnsupportedLayerError(
            "LSTM with parametrisations (a pruner's masks?): quantise what squash() returns"
        )
    if head is None:
        return
    if not isinstance(head, nn.Linear):
        raise UnsupportedLayerError(f"head of type {type(head).__name__}: use torch.nn.Linear")
    if head.in_features != lstm.hidden_size:
        raise ValueError(
            f"head takes {head.in_features} features, the LSTM has hidden_size "
            f"{lstm.hidden_size}: make them equal"
        )


class _Tensors(dict[str, _Real]):
    """The float tensors by name, checked; missing biases are zeros."""

    def __init__(self, lstm: nn.LSTM, head: nn.Linear | None) -> None:
        super().__init__({n: _array(n, getattr(lstm, n)) for n in (_IH, _HH)})
        self["bias"] = np.zeros(4 * lstm.hidden_size)
        if lstm.bias:
            input_bias, hidden_bias = (_array(n, getattr(lstm, n)) for n in _BIASES)
            self["bias"] = input_bias + hidden_bias
        if head is not None:
            self["head.weight"] = _array("head.weight", head.weight)
            self["head.bias"] = np.zeros(head.out_features)
            if head.bias is not None:
                self["head.bias"] = _array("head.bias", head.bias)


def _array(name: str, tensor: Tensor) -> _Real:
    array = tensor.detach().cpu().double().numpy()
    if not np.isfinite(array).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(
            f"{name} at {at} is {array[at]}: train to finite weights before quantising"
        )
    return array


def _largest(calibration: Sequence[npt.NDArray[np.floating]], width: int) -> float:
    if not len(calibration):
        raise ValueError("calibration of 0 sequences: give some normalised training sequences")
    largest = 0.0
    for number, frames in enumerate(calibration):
        if frames.ndim != 2 or frames.shape[1] != width or not np.isfinite(frames).all():
            raise ValueError(
                f"calibration sequence {number} of shape {frames.shape}: must be finite numbers "
                f"of shape (frames, {width})"
            )
        largest = max(largest, float(np.abs(frames).max(initial=0)))
    return largest


@dataclass(frozen=True)
class _Formats:
    input: Fixed
    hidden: Fixed
    state: Fixed
    weights: dict[str, Fixed]
    lowered: dict[str, int]

    @classmethod
    def choose(cls, real: _Tensors, largest: float, value_bits: int, act_bits: int) -> _Formats:
        given = Fixed.for_range(act_bits, largest)
        hidden = Fixed(act_bits, act_bits - 1)
        finest = {n: Fixed.for_range(value_bits, _peak(real[n])) for n in (_IH, _HH)}
        weights = _aligned(finest, {_IH: given.frac, _HH: hidden.frac})
        if "head.weight" in real:
            finest["head.weight"] = Fixed.for_range(16, _peak(real["head.weight"]))
            weights["head.weight"] = _with_bias(finest["head.weight"], hidden, real["head.bias"])
        lowered = {n: finest[n].frac - weights[n].frac for n in weights}
        for name in weights:
            _check_not_lost(name, real[name], weights[name])
        state = Fixed(act_bits + 2, act_bits - 3)
        return cls(given, hidden, state, weights, {n: b for n, b in lowered.items() if b})

    def of(self, name: str) -> Fixed:
        """Format of any of the tensors."""
        if name == "head.bias":
            return Fixed(_HEAD_BIAS_BITS, self.weights["head.weight"].frac + self.hidden.frac)
        return self.state if name == "bias" else self.weights[name]


def _peak(array: _Real) -> float:
    return float(np.abs(array).max(initial=0))


def _aligned(finest: Mapping[str, Fixed], vectors: Mapping[str, int]) -> dict[str, Fixed]:
    products = {name: finest[name].frac + vectors[name] for name in finest}
    most = min(products.values()) + MAX_ALIGN
    return {
        name: replace(fixed, frac=fixed.frac - max(0, products[name] - most))
        for name, fixed in finest.items()
    }


def _with_bias(weight: Fixed, hidden: Fixed, bias: _Real) -> Fixed:
    # The bias is added to the products, so it has their fraction, and must fit.
    if not bias.any():
        return weight
    widest = Fixed.for_range(_HEAD_BIAS_BITS, _peak(bias)).frac - hidden.frac
    return replace(weight, frac=min(weight.frac, widest))


def _check_not_lost(name: str, real: _Real, fixed: Fixed) -> None:
    if real.any() and not fixed.quantise(real).any():
        raise ValueError(
            f"{name} of magnitude {_peak(real):.3g} is all zero in {fixed}, the format that "
            "the other numbers leave it: rescale the inputs (normalise them) and train again"
        )


def _pack(
    name: str, real: _Real, layout: Mapping[str, Geometry | int], mask: Tensor | None, fixed: Fixed
) -> Csb:
    if name not in layout:
        raise ValueError(f"layout lacks {name}: give its Geometry or its number of banks")
    kept = torch.from_numpy(real != 0) if mask is None else mask.cpu()
    try:
        geometry = _geometry(layout[name], kept, fixed.width)
        return Csb.pack(fixed.quantise(real), geometry, kept.numpy())
    except UnbalancedError as error:
        raise UnbalancedError(
            f"{name}: {error}; give the masks if kept weights are exactly zero"
        ) from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _geometry(layout: Geometry | int, kept: Tensor, value_bits: int) -> Geometry:
    rows, columns = kept.shape
    if isinstance(layout, int):
        return Geometry(rows, columns, layout, check_balanced(kept, layout), value_bits)
    plain = Geometry(rows, columns, layout.banks, layout.nonzeros, value_bits)
    if plain != replace(layout, value_bits=value_bits):
        raise ValueError(f"{layout} does not fit weights of shape {rows} x {columns}: give {plain}")
    check_balanced(kept, plain.banks, plain.nonzeros)
    return plain


def _head(real: _Tensors, formats: _Formats) -> DenseLayer:
    weight, bias = (_quantised(real, formats, n) for n in ("head.weight", "head.bias"))
    return DenseLayer(weight, formats.weights["head.weight"], formats.hidden, bias)


def _quantised(real: _Tensors, formats: _Formats, name: str) -> IntArray:
    return formats.of(name).quantise(real[name])


def _saturations(
    real: _Tensors, formats: _Formats, calibration: Sequence[npt.NDArray[np.floating]]
) -> dict[str, int]:
    clipped = {name: formats.of(name).saturations(array) for name, array in real.items()}
    clipped["input"] = sum(formats.input.saturations(frames) for frames in calibration)
    return clipped
