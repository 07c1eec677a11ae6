"""Which power-of-two formats a network's numbers ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from csb_format.arguments import whole
from csb_format.cells.cell import Cell, reaches_of
from csb_format.fixed import Fixed, ends
from csb_format.heads.mlp import layer_names
from csb_format.model import GateFormats
from csb_format.precision import Precision
from csb_format.scales import MAX_ALIGN

from ..cells import Recurrent, cell_of
from .formats import HEAD_BIAS_BITS, HEAD_BITS, Ends, Formats, LayerFormats, Ranges
from .tensors import Real, RealTensors, magnitude, real_tensors, suffixes

__all__ = ["choose_formats"]


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
        finest = _held(name, HEAD_BITS, self.real.magnitude(name))
        chosen = finest
        if bias.any():
            # The bias is added to the products, so it has their fraction, and must fit.
            widest = (
                _held(f"{of}.bias", HEAD_BIAS_BITS, self.real.magnitude(f"{of}.bias")).frac
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
