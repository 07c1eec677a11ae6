"""A bank-balanced LSTM layer in float32 on a CPU, one step of one sequence at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format import LstmLayer

from .kernels.compiled import compiled
from .products import FloatProduct

__all__ = ["FloatLstm"]

FloatArray = npt.NDArray[np.float32]


class FloatLstm:
    """What a layer computes without rounding: the baseline that integers compete with.

    Weights are those of the layer, dequantised; states and activations are float32. A step
    differs from one in float64 by less than 1e-5 where sums of products stay small.

    Parameters
    ----------
    layer : LstmLayer
    permute : bool, optional
        As in :class:`engine.products.FloatProduct`.
    """

    def __init__(self, layer: LstmLayer, permute: bool | None = None) -> None:
        self.layer = layer
        self._ih, self._hh = (
            FloatProduct(getattr(layer, side), _last_bits(layer, side), permute)
            for side in ("weight_ih", "weight_hh")
        )
        self._hr: FloatProduct | None = None
        if layer.projection is not None:
            last = layer.projection.weight_format.lsb
            self._hr = FloatProduct(layer.projection.weight, last, permute)
        self._bias = np.zeros(self._ih.padded_rows, np.float32)
        self._bias[: len(layer.bias)] = layer.state.dequantise(layer.bias)

    @property
    def products(self) -> list[FloatProduct]:
        """Those of a step: input, recurrent, and the projection if there is one."""
        return [self._ih, self._hh] + ([] if self._hr is None else [self._hr])

    def start(self) -> tuple[FloatArray, FloatArray]:
        """Zero output and cell state, (R,) and (H,)."""
        sizes = (self.layer.output_size, self.layer.hidden_size)
        return np.zeros(sizes[0], np.float32), np.zeros(sizes[1], np.float32)

    def step(
        self, x: npt.ArrayLike, state: tuple[FloatArray, FloatArray]
    ) -> tuple[FloatArray, FloatArray]:
        """One step.

        Parameters
        ----------
        x : float array (X,)
        state : tuple of float32 arrays (R,) and (H,)
            Output and cell of the step before, or :meth:`start`; left as they are.

        Returns
        -------
        tuple of float32 arrays (R,) and (H,)
            New output and cell.

        Raises
        ------
        ValueError
            For another shape.
        """
        frame = np.ascontiguousarray(x, np.float32)
        _check("x", frame, self.layer.input_size)
        for name, array, like in zip(("output", "cell"), state, self.start(), strict=True):
            _check(name, array, len(like))
        gates = self._bias.copy()
        self._ih.add(frame, gates)
        self._hh.add(state[0], gates)
        hidden, cell = np.empty((2, self.layer.hidden_size), np.float32)
        _cells(gates, state[1], hidden, cell)
        if self._hr is None:
            return hidden, cell
        output = np.zeros(self._hr.padded_rows, np.float32)
        self._hr.add(hidden, output)
        return output[: self.layer.output_size], cell


def _last_bits(layer: LstmLayer, side: str) -> npt.NDArray[np.float64]:
    """Value of the last bit of every row."""
    gates = [fixed.lsb for fixed in layer.gate_formats(side)]
    return np.repeat(gates, layer.hidden_size)


def _check(name: str, array: npt.NDArray[Any], size: int) -> None:
    if array.shape != (size,):
        raise ValueError(f"{name} of shape {array.shape}: this layer takes ({size},)")


@compiled
def _exp(x: Any) -> Any:
    """exp(x) as 2**n times a Taylor sum within half of ln 2; float32, |x| at most 80."""
    x = max(np.float32(-80), min(x, np.float32(80)))
    n = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    # ln 2 in two parts: n times the first is exact
    t = (x - n * np.float32(0.693359375)) + n * np.float32(2.1219444e-4)
    total = np.float32(1 / 5040)
    for one in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        total = total * t + np.float32(one)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23))
    return total * power.view(np.float32)


@compiled
def _sigmoid(x: Any) -> Any:
    return np.float32(1) / (np.float32(1) + _exp(-x))


@compiled
def _tanh(x: Any) -> Any:
    return np.float32(1) - np.float32(2) / (_exp(x + x) + np.float32(1))


@compiled
def _cells(gates: Any, before: Any, hidden: Any, cell: Any) -> None:
    """Hidden and cell state (H,) from the gates (4H,) i, f, g, o."""
    size = len(cell)
    for u in range(size):
        i, f = _sigmoid(gates[u]), _sigmoid(gates[size + u])
        g, o = _tanh(gates[2 * size + u]), _sigmoid(gates[3 * size + u])
        c = f * before[u] + i * g
        cell[u], hidden[u] = c, o * _tanh(c)
