"""Which fixed-point formats every tensor and state of a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from torch import nn
from torch.nn.utils import parametrize

from csb_format.arguments import whole
from csb_format.cells import cell_named
from csb_format.cells.cell import Cell, reach_of, reaches_of
from csb_format.cells.lstm import CellArithmetic
from csb_format.fixed import Fixed, IntArray, ends, round_rows
from csb_format.heads.mlp import layer_names, layers_of
from csb_format.model import LEAST_ROW_BITS, GateFormats, LstmLayer, Model
from csb_format.precision import Precision
from csb_format.scales import MAX_ALIGN

from ..cells import RECURRENT, Recurrent, cell_of
from ..importers.checkpoint import UnsupportedLayerError
from ..mask.layers import computed
from ..mlp import MlpHead, linears_of
from .tensors import Real, RealTensors, magnitude, real_tensors, suffixes

__all__ = [
    "HEAD_BITS",
    "DenseFormats",
    "Formats",
    "LayerFormats",
    "Ranges",
    "check_network",
    "choose_formats",
]

Ends = tuple[float, float]
PerGate = tuple[Fixed, ...]

HEAD_BITS = _HEAD_WEIGHT_BITS = 16
_LEAST_HEAD_BITS = LEAST_ROW_BITS
_HEAD_BIAS_BITS = 48


@dataclass(frozen=True)
class Ranges:
    """Largest magnitudes seen on calibration data.

    Parameters
    ----------
    input : float
        Of the frames.
    outputs : tuple of float
        Of what each level (both directions together) gives out.
    between : tuple of float
        Of what each linear layer of the head before its last gives, behind its ReLU.
    """

    input: float
    outputs: tuple[float, ...]
    between: tuple[float, ...] = ()


@dataclass(frozen=True)
class LayerFormats:
    """Formats of one direction of one layer; names as in :class:`~csb_format.model.LstmLayer`.

    Parameters
    ----------
    input, hidden, state, output : Fixed
        Of x, of h before a projection, of pre-activations, bias and cell state, and of the
        output and recurrent state.
    weight_ih, weight_hh : Fixed or tuple of Fixed
        One for all gates, or one for each.
    weight_hr : Fixed, optional
        Of the projection's weights.
    cell : str
        A name of ``csb_format.cells.CELLS``.
    """

    input: Fixed
    hidden: Fixed
    state: Fixed
    output: Fixed
    weight_ih: GateFormats
    weight_hh: GateFormats
    weight_hr: Fixed | None = None
    cell: str = CellArithmetic.name

    @classmethod
    def of_layer(cls, layer: LstmLayer) -> LayerFormats:
        """Formats of a quantised layer."""
        return cls(
            layer.input,
            layer.hidden,
            layer.state,
            layer.output,
            layer.weight_ih_format,
            layer.weight_hh_format,
            None if layer.projection is None else layer.projection.weight_format,
            layer.cell,
        )

    @property
    def arithmetic(self) -> Cell:
        """The cell in its integers."""
        return cell_named(self.cell)(self.hidden.width, reach_of(self.state))

    def gates(self, kind: str) -> PerGate:
        """Formats of all gates of ``"weight_ih"`` or ``"weight_hh"``."""
        found, gates = self.of(kind), len(cell_named(self.cell).gate_names)
        return (found,) * gates if isinstance(found, Fixed) else tuple(found)

    def of(self, kind: str) -> GateFormats:
        """Format of ``"weight_ih"``, ``"weight_hh"``, ``"weight_hr"`` (if any) or ``"bias"``."""
        found: GateFormats = self.state if kind == "bias" else getattr(self, kind)
        return found


class DenseFormats(NamedTuple):
    """Of a linear layer of a head.

    Parameters
    ----------
    weight, given : Fixed
        Of its weights, and of what it takes.
    """

    weight: Fixed
    given: Fixed

    @property
    def bias(self) -> Fixed:
        """Of its bias: that of its products, 48 bits wide."""
        return Fixed(_HEAD_BIAS_BITS, self.weight.frac + self.given.frac)


@dataclass(frozen=True)
class Formats:
    """Formats of a whole network.

    Parameters
    ----------
    layers : tuple of LayerFormats
        In torch's order: ``l0``, ``l0_reverse``, ``l1``, ...
    head : Fixed, optional
        Of the classifier's weights.
    lowered : dict of str to int
        Fraction bits that a weight format gave up, beyond what its range needs, by parameter
        name (with ``.i``, ``.f``, ... where gates have their own formats).
    head_bits : int
        Leading bits of every row of the classifier that its weights are rounded to, 4..16.
    hidden : tuple of (Fixed, Fixed)
        Of linear layers before the classifier: weights, and what is behind their ReLU.
    """

    layers: tuple[LayerFormats, ...]
    head: Fixed | None
    lowered: dict[str, int]
    head_bits: int = HEAD_BITS
    hidden: tuple[tuple[Fixed, Fixed], ...] = ()

    def reaching(self, reach: int, layer: int | None = None) -> Formats:
        """The same with other states, of all layers or of one.

        ``reach`` as in :class:`csb_format.cells.cell.Cell`.
        """
        layers = list(self.layers)
        for n in range(len(layers)) if layer is None else (layer,):
            layers[n] = replace(layers[n], state=replace(layers[n].arithmetic, reach=reach).state)
        return replace(self, layers=tuple(layers))

    @classmethod
    def of_model(cls, model: Model) -> Formats:
        """Formats of a quantised model."""
        layers = tuple(LayerFormats.of_layer(layer) for layer in model.layers)
        if model.head is None:
            return cls(layers, None, {})
        linear = layers_of(model.head)
        bits = max(_head_bits(layer.weight) for layer in linear)
        hidden = tuple((one.weight_format, two.input) for one, two in pairwise(linear))
        return cls(layers, model.head.weight_format, {}, bits, hidden)

    @property
    def dense(self) -> tuple[DenseFormats, ...]:
        """Of the linear layers of the head in the order in which they run.

        Raises
        ------
        ValueError
            Without a head.
        """
        if self.head is None:
            raise ValueError("the formats have no head: choose them with the classifier")
        given = [self.layers[-1].output, *(output for _, output in self.hidden)]
        weights = [*(weight for weight, _ in self.hidden), self.head]
        return tuple(map(DenseFormats, weights, given))

    @property
    def head_bias(self) -> Fixed:
        """Format of the classifier's bias: that of its products, 48 bits wide."""
        return self.dense[-1].bias


def _head_bits(weight: IntArray) -> int:
    """The least leading bits of rows that hold a head's weights as they are."""
    for bits in range(_LEAST_HEAD_BITS, HEAD_BITS):
        if np.array_equal(round_rows(weight, bits), weight):
            return bits
    return HEAD_BITS


def check_layer(lstm: object) -> None:
    """Refuse another layer than an LSTM, the cell of one, or a GRU.

    Raises
    ------
    UnsupportedLayerError
        Naming its type.
    """
    if not isinstance(lstm, (nn.LSTMCell, *RECURRENT)):
        raise UnsupportedLayerError(
            f"layer of type {type(lstm).__name__}: train torch.nn.LSTM or torch.nn.GRU, whose "
            "cells there are"
        )


def check_network(lstm: nn.Module, head: nn.Module | None) -> None:
    """Refuse what cannot be quantised.

    Raises
    ------
    UnsupportedLayerError
        For another layer than ``nn.LSTM`` and ``nn.GRU``, parametrisations, or another head
        than :func:`.linears_of` takes; the message names the mend.
    ValueError
        For a head of another width.
    """
    if not isinstance(lstm, RECURRENT):
        raise UnsupportedLayerError(
            f"layer of type {type(lstm).__name__}: train torch.nn.LSTM or torch.nn.GRU, whose "
            "cells there are"
            + "; copy a cell's weights into it"
            * isinstance(lstm, nn.LSTMCell | nn.GRUCell)
        )
    if parametrize.is_parametrized(lstm):
        raise UnsupportedLayerError(
            f"{type(lstm).__name__} with parametrisations (a pruner's masks?): quantise what "
            "squash() returns"
        )
    linears = () if head is None else linears_of(head)
    for layer in (lstm, *linears):
        for name, why in computed(layer).items():
            raise UnsupportedLayerError(f"{type(layer).__name__}: {name} {why}")
    if head is None:
        return
    _check_head(lstm, linears[0])
    MlpHead(*linears)  # layers fit each other


def _check_head(lstm: Recurrent, head: nn.Linear) -> None:
    wanted = (lstm.proj_size or lstm.hidden_size) * (1 + lstm.bidirectional)
    if head.in_features != wanted:
        size = f"hidden_size {lstm.hidden_size}"
        if wanted != lstm.hidden_size:
            size += f", proj_size {lstm.proj_size} and bidirectional={lstm.bidirectional}"
        raise ValueError(
            f"head takes {head.in_features} features, the {type(lstm).__name__} has {size}: "
            f"give it in_features={wanted}"
        )


def choose_formats(
    lstm: Recurrent,
    head: nn.Module | None,
    ranges: Ranges,
    value_bits: int = Precision.value_bits,
    act_bits: int = Precision.act_bits,
    per_gate: bool = Precision.per_gate,
    percentile: float = Precision.percentile,
    *,
    real: RealTensors | None = None,
    reach: int | Sequence[int] = Precision.reach,
) -> Formats:
    """Power-of-two formats for weights, given the ranges of inputs and outputs.

    Parameters
    ----------
    lstm, head : nn.LSTM or nn.GRU, nn.Linear
    ranges : Ranges
    value_bits, act_bits : int
        Width of recurrent weights, 4..18, and of inputs, hidden and projected states, 6..18.
    per_gate : bool
        Give the gates of a matrix a format each.
    percentile : float
        Share of weights that aren't zero, in percent, that a format must hold: below 100 the
        largest saturate and the others are finer.
    real : RealTensors, optional
        What :func:`.real_tensors` gave for the same network, if it has been asked.
    reach : int or sequence of int
        Of pre-activations, biases and an LSTM's cell state, of all layers or of each in torch's
        order; see :class:`csb_format.cells.cell.Cell`.

    Raises
    ------
    ValueError
        For widths, a reach or a percentile out of range, or a tensor that its format would make
        all zero.
    """
    whole("act_bits", act_bits, *Precision.act_range)
    whole("value_bits", value_bits, *Precision.value_range)
    tensors = real_tensors(lstm, head) if real is None else real
    ends = suffixes(lstm)
    cells = [cell_of(lstm)(act_bits, one) for one in reaches_of(reach, len(ends))]
    return _Choice(tensors, ranges, value_bits, act_bits, per_gate, percentile, cells[0]).network(
        dict(zip(ends, cells, strict=True)), 1 + lstm.bidirectional
    )


@dataclass(frozen=True)
class _Choice:
    real: RealTensors
    ranges: Ranges
    value_bits: int
    act_bits: int
    per_gate: bool
    percentile: float
    cell: Cell

    @property
    def hidden(self) -> Fixed:
        return Fixed(self.act_bits, self.act_bits - 1)

    def network(self, cells: dict[str, Cell], directions: int) -> Formats:
        lowered: dict[str, int] = {}
        layers = [
            replace(self, cell=cell).layer(end, number // directions, lowered)
            for number, (end, cell) in enumerate(cells.items())
        ]
        head, hidden = self.heads(layers[-1].output, lowered)
        told = {n: b for n, b in lowered.items() if b}
        return Formats(tuple(layers), head, told, hidden=hidden)

    def heads(
        self, given: Fixed, lowered: dict[str, int]
    ) -> tuple[Fixed | None, tuple[tuple[Fixed, Fixed], ...]]:
        """Formats of the head's weights, and of the linear layers before it."""
        if "head.weight" not in self.real:
            return None, ()
        names = layer_names(sum(n.startswith("head.") and n.endswith(".weight") for n in self.real))
        if len(names) - 1 != len(self.ranges.between):
            raise ValueError(
                f"ranges of {len(self.ranges.between)} hidden layers, the head has "
                f"{len(names) - 1}: measure them with the head"
            )
        hidden: list[tuple[Fixed, Fixed]] = []
        for name, largest in zip(names, self.ranges.between, strict=False):
            weight = self.head(name, given, lowered)
            finest = Fixed.for_range(self.act_bits, largest)
            # what is behind the ReLU is rounded from its sums, so it has no finer last bit
            given = replace(finest, frac=min(finest.frac, weight.frac + given.frac))
            hidden.append((weight, given))
        return self.head(names[-1], given, lowered), tuple(hidden)

    def layer(self, end: str, level: int, lowered: dict[str, int]) -> LayerFormats:
        given = self.output(level - 1, end)
        output = self.output(level, end)
        ih, hh = (self.finest(f"{kind}{end}") for kind in ("weight_ih", "weight_hh"))
        gates = list(zip(ih, hh, strict=True))
        self.check_met(end, gates, given.frac, output.frac)
        # a format of all gates serves those whose products meet
        free = self.cell.apart if self.per_gate else ()
        pairs = [
            pair if n in free else _aligned(*pair, given.frac, output.frac)
            for n, pair in enumerate(gates)
        ]
        chosen = [
            self.told(n, old, [p[i] for p in pairs], lowered)
            for i, (n, old) in enumerate((("weight_ih" + end, ih), ("weight_hh" + end, hh)))
        ]
        hr = f"weight_hr{end}"
        projection = self.fixed(hr, self.real[hr], self.real.ends[hr]) if hr in self.real else None
        return LayerFormats(
            given,
            self.hidden,
            self.cell.state,
            output,
            chosen[0],
            chosen[1],
            projection,
            self.cell.name,
        )

    def check_met(self, end: str, pairs: list[tuple[Fixed, Fixed]], x: int, r: int) -> None:
        """Refuse matrices so large that their products lie above the pre-activations."""
        names = (f"weight_ih{end}", f"weight_hh{end}")
        low = self.cell.state.frac - MAX_ALIGN
        for ih, hh in pairs:
            if min(ih.frac + x, hh.frac + r) >= low:
                continue
            sizes = [f"{name} is of magnitude {magnitude(self.real[name]):.3g}" for name in names]
            inputs = f"the input of {self.ranges.input:.3g}"
            raise ValueError(
                f"{', '.join(sizes)}, {inputs}: their products do not meet within {MAX_ALIGN} bits "
                f"of the pre-activations' +-{self.cell.reach} (binary points {ih.frac + x} and "
                f"{hh.frac + r}): "
                "train with smaller weights (weight decay, clipped gradients) on normalised inputs"
            )

    def output(self, level: int, end: str) -> Fixed:
        if level < 0:
            return _held("the input", self.act_bits, self.ranges.input, "frames (normalise them)")
        if f"weight_hr{end}" not in self.real:
            return self.hidden
        finest = Fixed.for_range(self.act_bits, self.ranges.outputs[level])
        # An output of almost nothing must not push the products' binary point out of reach.
        return replace(finest, frac=min(finest.frac, self.act_bits + MAX_ALIGN))

    def finest(self, name: str) -> list[Fixed]:
        gates = len(self.cell.gate_names)
        if not self.per_gate:
            return [self.fixed(name, self.real[name], self.real.ends[name])] * gates
        parts = np.split(self.real[name], gates)
        return [self.fixed(name, part, ends(part)) for part in parts]

    def fixed(self, name: str, real: Real, ends_of_it: Ends) -> Fixed:
        if self.percentile == 100:
            return _held(name, self.value_bits, _largest(ends_of_it))
        return _held(name, self.value_bits, magnitude(real[real != 0], self.percentile))

    def told(
        self, name: str, old: list[Fixed], new: list[Fixed], lowered: dict[str, int]
    ) -> GateFormats:
        """The formats, checked, with what they lost noted."""
        gates = self.cell.gate_names
        names = [f"{name}.{gate}" for gate in gates] if self.per_gate else [name]
        parts = [self.real.ends[name]]
        if self.per_gate:
            parts = [ends(part) for part in np.split(self.real[name], len(gates))]
        for part, label, before, after in zip(parts, names, old, new, strict=False):
            lowered[label] = before.frac - after.frac
            _check_not_lost(label, part, after)
        return tuple(new) if self.per_gate else new[0]

    def head(self, of: str, given: Fixed, lowered: dict[str, int]) -> Fixed:
        name, bias = f"{of}.weight", self.real[f"{of}.bias"]
        finest = _held(name, _HEAD_WEIGHT_BITS, self.real.magnitude(name))
        chosen = finest
        if bias.any():
            # The bias is added to the products, so it has their fraction, and must fit.
            widest = (
                _held(f"{of}.bias", _HEAD_BIAS_BITS, self.real.magnitude(f"{of}.bias")).frac
                - given.frac
            )
            chosen = replace(finest, frac=min(finest.frac, widest))
        lowered[name] = finest.frac - chosen.frac
        _check_not_lost(name, self.real.ends[name], chosen)
        return chosen


def _aligned(ih: Fixed, hh: Fixed, x: int, r: int) -> tuple[Fixed, Fixed]:
    """Formats of one gate whose products lie within ``MAX_ALIGN`` bits."""
    most = min(ih.frac + x, hh.frac + r) + MAX_ALIGN
    return (
        replace(ih, frac=max(Fixed.LEAST, min(ih.frac, most - x))),
        replace(hh, frac=max(Fixed.LEAST, min(hh.frac, most - r))),
    )


def _held(name: str, width: int, largest: float, what: str = "weights") -> Fixed:
    """The finest format, of what is not too large for any."""
    found = Fixed.for_range(width, largest)
    if found.frac == Fixed.LEAST and found.saturations([largest]):
        mend = "rescale the" if "frames" in what else "train again with smaller"
        raise ValueError(
            f"{name} is of magnitude {largest:.3g}, the largest that {width} bits hold is "
            f"{found.max * found.lsb:.3g}: {mend} {what}"
        )
    return found


def _largest(ends: Ends) -> float:
    """Largest magnitude of numbers between these."""
    return max(-ends[0], ends[1])


def _check_not_lost(name: str, ends: Ends, fixed: Fixed) -> None:
    # What lies between its smallest and its largest number rounds to nothing where they do.
    lost = any(ends) and not fixed.quantise(ends).any()
    if lost and fixed.frac == Fixed.MOST:
        raise ValueError(
            f"{name} of magnitude {_largest(ends):.3g} is all zero in {fixed}, the finest format "
            "that there is: the weights are too small, train again with larger ones"
        )
    if lost:
        raise ValueError(
            f"{name} of magnitude {_largest(ends):.3g} is all zero in {fixed}, the format that "
            "the other numbers leave it: rescale the inputs (normalise them) and train again"
        )
