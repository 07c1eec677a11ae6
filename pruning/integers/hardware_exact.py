"""The accelerator's arithmetic as torch operations with straight-through gradients.

Numbers are float64 reals that are whole multiples of their format's last bit. Scaling by a
power of two is exact and so is every sum below 2**53 last bits, in any order of summation,
so results equal those of the integers bit for bit, on any device and number of threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from csb_format.cells.cell import Cell
from csb_format.cells.gru import GruCell, ResetFirstGruCell
from csb_format.cells.lstm import CellArithmetic
from csb_format.fixed import Fixed
from csb_format.fixed import round_rows as fixed_rows
from csb_format.model import GateFormats

from ..reset_first import in_order, turned
from .formats import Formats, LayerFormats

__all__ = [
    "HardwareExact",
    "Tally",
    "gate_activations",
    "quantise_exact",
    "round_rows",
    "sigmoid_exact",
    "tanh_exact",
]

_EXACT_BITS = 53  # of float64
_ROWS = 256  # of a matrix, rounded at once


@dataclass
class Tally:
    """Saturations met while the arithmetic runs, and how many values were looked at.

    Parameters
    ----------
    clipped, seen : Counter of str
        By name: ``"input"``, ``"pre_l0.i"``, ``"cell_l0"``, ``"output_l0"``, ...
    """

    clipped: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, real: Tensor, fixed: Fixed, live: Tensor) -> None:
        """Count what ``fixed`` clips of ``real`` (B, n), in rows that are ``live`` (B,)."""
        scaled = torch.floor(real.detach()[live] * 2.0**fixed.frac + 0.5)
        clipped = (scaled < fixed.min) | (scaled > fixed.max)
        self.clipped[name] += int(clipped.sum())
        self.seen[name] += clipped.numel()


class _Quantise(torch.autograd.Function):
    """Rounding halves up and saturation; the gradient passes where nothing saturates."""

    @staticmethod
    def forward(ctx: Any, real: Tensor, scale: Tensor, low: float, high: float) -> Tensor:
        scaled = torch.floor(real * scale + 0.5)
        kept = scaled.clamp(low, high)
        ctx.save_for_backward(kept == scaled)
        return kept / scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return gradient * ctx.saved_tensors[0], None, None, None


class _Gates(torch.autograd.Function):
    """Piecewise activations of i, f, g, o side by side; the gradient is the smooth one's."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, states: Cell) -> Tensor:
        ctx.save_for_backward(pre)
        sigmoid, tanh = _tables(states, pre.device)
        at = _places(pre, states)
        size = pre.shape[-1] // 4
        gates = sigmoid[at]
        gates[..., 2 * size : 3 * size] = tanh[at[..., 2 * size : 3 * size]]
        return gates

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (pre,) = ctx.saved_tensors
        size = pre.shape[-1] // 4
        smooth = torch.sigmoid(pre)
        slope = smooth * (1 - smooth)
        slope[..., 2 * size : 3 * size] = 1 - torch.tanh(pre[..., 2 * size : 3 * size]) ** 2
        return gradient * slope, None


class _Sigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre: Tensor, states: Cell) -> Tensor:
        ctx.save_for_backward(pre)
        return _tables(states, pre.device)[0][_places(pre, states)]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (pre,) = ctx.saved_tensors
        smooth = torch.sigmoid(pre)
        return gradient * smooth * (1 - smooth), None


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cell: Tensor, states: Cell) -> Tensor:
        ctx.save_for_backward(cell)
        return _tables(states, cell.device)[1][_places(cell, states)]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (cell,) = ctx.saved_tensors
        return gradient * (1 - torch.tanh(cell) ** 2), None


@lru_cache(maxsize=8)
def _tables(states: Cell, device: torch.device) -> tuple[Tensor, Tensor]:
    """Sigmoid and tanh of every state, from the hardware's own definition of them."""
    state, gate = states.state, states.gate
    every = torch.arange(state.min, state.max + 1).numpy()
    functions = (states.piecewise.sigmoid, states.piecewise.tanh)
    sigmoid, tanh = (torch.from_numpy(gate.dequantise(f(every))).to(device) for f in functions)
    return sigmoid, tanh


def _places(state: Tensor, states: Cell) -> Tensor:
    fixed = states.state
    return (state * 2.0**fixed.frac).long() - fixed.min


def round_rows(real: Tensor, fixed: Fixed, bits: int) -> Tensor:
    """Round as :func:`csb_format.fixed.round_rows`, with straight-through gradient.

    Parameters
    ----------
    real : Tensor (R, C)
        float64, as :func:`quantise_exact` gives it in this format.
    fixed : Fixed
    bits : int
        Leading bits of every row that stay, at least 2.

    Returns
    -------
    Tensor (R, C)
        float64; rows that ``bits`` hold as they are. The gradient is 1.
    """
    if bits >= fixed.width:
        return real
    integers = (real.detach() * 2.0**fixed.frac).long().cpu().numpy()
    rounded = torch.from_numpy(fixed_rows(integers, bits)).to(real) * 2.0**-fixed.frac
    done: Tensor = real + (rounded - real.detach())
    return done


def quantise_exact(real: Tensor, formats: GateFormats) -> Tensor:
    """Round and saturate as :meth:`.Fixed.quantise`, with straight-through gradient.

    Parameters
    ----------
    real : Tensor
        float64, finite. With G formats, (G * H, ...): as many rows for each gate.
    formats : Fixed or G Fixed
        Several must be equally wide.

    Returns
    -------
    Tensor
        float64, multiples of the format's last bit. The gradient is 1, and 0 for what was
        clipped.
    """
    if isinstance(formats, Fixed):
        scale, width = torch.tensor(2.0**formats.frac, dtype=torch.float64), formats.width
    else:
        rows = real.shape[0] // len(formats)
        fractions = torch.tensor([fixed.frac for fixed in formats], dtype=torch.float64)
        scale = torch.exp2(fractions).repeat_interleave(rows)
        scale, width = scale.reshape(-1, *(1,) * (real.ndim - 1)), formats[0].width
    half = float(1 << (width - 1))
    done: Tensor = _Quantise.apply(real, scale.to(real.device), -half, half - 1)  # type: ignore[no-untyped-call]
    return done


def gate_activations(pre: Tensor, states: Cell) -> Tensor:
    """Gates i, f, g, o (..., 4H) of pre-activations in ``state`` format, float64."""
    gates: Tensor = _Gates.apply(pre, states)  # type: ignore[no-untyped-call]
    return gates


def tanh_exact(cell: Tensor, states: Cell) -> Tensor:
    """Piecewise tanh of cell states in ``state`` format, float64."""
    done: Tensor = _Tanh.apply(cell, states)  # type: ignore[no-untyped-call]
    return done


def sigmoid_exact(pre: Tensor, states: Cell) -> Tensor:
    """Piecewise sigmoid of pre-activations in ``state`` format, float64."""
    done: Tensor = _Sigmoid.apply(pre, states)  # type: ignore[no-untyped-call]
    return done


class HardwareExact:
    """Forward pass of a whole network as the hardware computes it, differentiable.

    Parameters
    ----------
    formats : Formats
    directions : int
        1 or 2.

    Raises
    ------
    ValueError
        For activations of fewer than 6 bits.
    """

    def __init__(self, formats: Formats, directions: int = 1) -> None:
        self.formats, self.directions = formats, directions
        for layer in formats.layers:
            _ = layer.arithmetic

    def levels(
        self,
        weights: Mapping[str, Tensor],
        frames: Tensor,
        lengths: Tensor,
        tally: Tally | None = None,
    ) -> list[Tensor]:
        """Outputs of every level, both directions side by side.

        Parameters
        ----------
        weights : Mapping[str, Tensor]
            By torch's names, of any float type, pruned weights zero, with ``bias_l0``, ... the
            biases of the cell's sums, float64. Quantised here.
        frames : Tensor
            (B, T, X), any float type; those at and after ``lengths`` are ignored.
        lengths : Tensor
            int64 (B,), 1..T.
        tally : Tally, optional
            Counts saturations.

        Returns
        -------
        list of float64 Tensor (B, T, D * R)
            After ``lengths``, values without meaning.
        """
        live = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        first, real = self.formats.layers[0].input, frames.double()
        if tally is not None:
            tally.add("input", real.flatten(0, 1), first, live.flatten())
        outputs, x = [], quantise_exact(real, first)
        for level in range(len(self.formats.layers) // self.directions):
            sides = [
                self._side(level, side, weights, x, lengths, live, tally)
                for side in range(self.directions)
            ]
            x = torch.cat(sides, dim=-1)
            outputs.append(x)
        return outputs

    def _side(
        self,
        level: int,
        side: int,
        weights: Mapping[str, Tensor],
        x: Tensor,
        lengths: Tensor,
        live: Tensor,
        tally: Tally | None,
    ) -> Tensor:
        formats = self.formats.layers[level * self.directions + side]
        end = f"_l{level}" + "_reverse" * side
        layer = _LAYERS[formats.cell](weights, end, formats, tally)
        if not side:
            return layer.run(x, live)
        order = turned(lengths, x.shape[1])
        return in_order(layer.run(in_order(x, order), live), order)


def _matrix(real: Tensor, formats: GateFormats) -> Tensor:
    """A weight rounded, float64; without a gradient some rows at a time, to save memory."""
    if torch.is_grad_enabled() and real.requires_grad:
        return quantise_exact(real.double(), formats)
    parts = (formats,) if isinstance(formats, Fixed) else formats
    rounded, count = torch.empty_like(real, dtype=torch.float64), len(parts)
    for fixed, given, done in zip(parts, real.chunk(count), rounded.chunk(count), strict=True):
        for at in range(0, len(given), _ROWS):
            done[at : at + _ROWS] = quantise_exact(given[at : at + _ROWS].double(), fixed)
    return rounded


class _Layer:
    """One direction of one layer with its weights quantised."""

    def __init__(
        self, weights: Mapping[str, Tensor], end: str, formats: LayerFormats, tally: Tally | None
    ) -> None:
        self.end, self.formats, self.tally = end, formats, tally
        self.arithmetic = formats.arithmetic
        self.ih = _matrix(weights[f"weight_ih{end}"], formats.weight_ih)
        self.hh = _matrix(weights[f"weight_hh{end}"], formats.weight_hh).T
        self.bias = quantise_exact(weights[f"bias{end}"], formats.state)
        hr = formats.weight_hr
        self.hr = None if hr is None else _matrix(weights[f"weight_hr{end}"], hr).T
        self._check_exact()

    def _check_exact(self) -> None:
        """No sum may need more bits than float64 holds."""
        x, r = self.formats.input, self.formats.output
        gates, sums = len(self.arithmetic.gate_names), self.arithmetic.sums
        products = (
            torch.linalg.vector_norm(self.ih.detach(), 1, dim=1) * (-x.min * x.lsb),
            torch.linalg.vector_norm(self.hh.detach(), 1, dim=0) * (-r.min * r.lsb),
        )
        from_ih, from_hh = (p.reshape(gates, -1) for p in products)
        biases = self.bias.detach().abs().reshape(len(sums), -1)
        formats = self.formats.gates("weight_ih"), self.formats.gates("weight_hh")
        for s, bias in zip(sums, biases, strict=True):
            largest = from_ih[s.gate] * s.input + from_hh[s.gate] * s.recurrent + bias
            value, ih, hh = float(largest.max()), formats[0][s.gate], formats[1][s.gate]
            frac = max(ih.frac + x.frac, hh.frac + r.frac, self.formats.state.frac) + 1
            if value * 2.0**frac >= 2.0**_EXACT_BITS:
                raise ValueError(
                    f"sums of weights{self.end} in {ih} and {hh} may need more than "
                    f"{_EXACT_BITS} bits: use fewer bits for weights or activations"
                )

    def run(self, x: Tensor, live: Tensor) -> Tensor:
        """Outputs (B, T, R) of inputs (B, T, X), from a zero state."""
        sums = self._given(x)
        c = x.new_zeros(len(x), self.bias.numel() // len(self.arithmetic.sums))
        r = x.new_zeros(len(x), self.hh.shape[0])
        outputs = []
        for t, given in enumerate(sums.unbind(1)):
            r, c = self._step(given, r, c, live[:, t])
            outputs.append(r)
        return torch.stack(outputs, dim=1)

    def _given(self, x: Tensor) -> Tensor:
        """What the frames give to the sums, (B, T, X) to (B, T, S * H)."""
        return x @ self.ih.T + self.bias

    def _step(self, given: Tensor, r: Tensor, c: Tensor, live: Tensor) -> tuple[Tensor, Tensor]:
        # The bias is a multiple of the state's last bit: adding it before rounding is the same.
        total = torch.addmm(given, r, self.hh)
        self._count_pre(total, live)
        pre = quantise_exact(total, self.formats.state)
        i, f, g, o = gate_activations(pre, self.arithmetic).chunk(4, dim=-1)
        cell = f * c + i * g
        self._count(f"cell{self.end}", cell, self.formats.state, live)
        c = quantise_exact(cell, self.formats.state)
        h = quantise_exact(o * tanh_exact(c, self.arithmetic), self.formats.hidden)
        return self._project(h, live), c

    def _count_pre(self, total: Tensor, live: Tensor) -> None:
        sums = self.arithmetic.sums
        for given, part in zip(sums, total.chunk(len(sums), dim=-1), strict=True):
            self._count(f"pre{self.end}.{given.name}", part, self.formats.state, live)

    def _project(self, h: Tensor, live: Tensor) -> Tensor:
        if self.hr is None:
            return h
        r = h @ self.hr
        self._count(f"output{self.end}", r, self.formats.output, live)
        return quantise_exact(r, self.formats.output)

    def _count(self, name: str, real: Tensor, fixed: Fixed, live: Tensor) -> None:
        if self.tally is not None:
            self.tally.add(name, real, fixed, live)


class _GruLayer(_Layer):
    """One direction of one layer of a GRU; see :class:`csb_format.cells.gru.GruCell`."""

    def _given(self, x: Tensor) -> Tensor:
        """Sums r, z and n of the input with their biases, and the bias of n of the state."""
        products = x @ self.ih.T
        units = products.shape[-1] // 3
        return nn.functional.pad(products, (0, units)) + self.bias

    def _step(self, given: Tensor, r: Tensor, c: Tensor, live: Tensor) -> tuple[Tensor, Tensor]:
        state, units = self.formats.state, c.shape[-1]
        from_state = r @ self.hh
        joint, apart = from_state[..., : 2 * units], from_state[..., 2 * units :]
        total = given + torch.cat((joint, torch.zeros_like(apart), apart), dim=-1)
        self._count_pre(total, live)
        pre = quantise_exact(total, state)
        reset, z = sigmoid_exact(pre[..., : 2 * units], self.arithmetic).chunk(2, dim=-1)
        nx, nh = pre[..., 2 * units :].chunk(2, dim=-1)
        argument = nx + reset * nh
        self._count(f"pre{self.end}.n", argument, state, live)
        n = tanh_exact(quantise_exact(argument, state), self.arithmetic)
        kept = quantise_exact(z * c + (1 - z) * n, self.arithmetic.kept)
        return quantise_exact(kept, self.formats.hidden), kept


class _ResetFirstLayer(_Layer):
    """One direction of one layer of a GRU whose reset comes first: three sums, all of both."""

    def _step(self, given: Tensor, r: Tensor, c: Tensor, live: Tensor) -> tuple[Tensor, Tensor]:
        cell, state, both = self.arithmetic, self.formats.state, 2 * c.shape[-1]
        gates = given[..., :both] + r @ self.hh[:, :both]
        reset, z = sigmoid_exact(quantise_exact(gates, state), cell).chunk(2, dim=-1)
        h = quantise_exact(reset * c, self.formats.hidden)
        argument = given[..., both:] + h @ self.hh[:, both:]
        self._count_pre(torch.cat((gates, argument), dim=-1), live)
        n = tanh_exact(quantise_exact(argument, state), cell)
        kept = quantise_exact(z * c + (1 - z) * n, cell.kept)
        return quantise_exact(kept, self.formats.hidden), kept


_LAYERS = {
    CellArithmetic.name: _Layer,
    GruCell.name: _GruLayer,
    ResetFirstGruCell.name: _ResetFirstLayer,
}
