"""Random models: material for tests, benchmarks and regressions."""

from __future__ import annotations

import numpy as np

from csb_format import (
    Csb,
    DenseLayer,
    Fixed,
    GateFormats,
    Geometry,
    IntArray,
    LstmLayer,
    Model,
)
from csb_format.cell import CellArithmetic
from csb_format.csb import BoolArray

__all__ = ["random_frames", "random_model"]


def random_model(
    rng: np.random.Generator,
    input_size: int,
    hidden_size: int,
    banks: int,
    k_ih: int,
    k_hh: int,
    value_bits: int = 16,
    act_bits: int = 16,
    head: int | None = None,
) -> Model:
    """One bank-balanced LSTM layer with uniform random weights and random formats.

    Binary points are drawn too, so that the two products have to be aligned, and so that
    most gates leave the middle of their range but few stay saturated.

    Parameters
    ----------
    rng : numpy Generator
        The same state gives the same model.
    input_size, hidden_size : int
        X and H.
    banks : int
        Banks of both matrices, 1..min(X, H).
    k_ih, k_hh : int
        Weights kept in a bank, 0..bank width.
    value_bits : int
        Width of weights, 4..18.
    act_bits : int
        Width of inputs, gates and hidden state, 6..18.
    head : int, optional
        Classes of a classifier; none by default.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        If the sizes make no :class:`csb_format.Geometry`; the message says why.
    """
    arithmetic = CellArithmetic(act_bits)
    gate, state = arithmetic.gate, arithmetic.state
    # sums of n products grow with the root of n
    spread = (banks * max(k_ih, k_hh, 1)).bit_length() // 2
    fractions = value_bits - 1 + spread + rng.integers(0, 3, (2, 4))
    layer = LstmLayer(
        _matrix(rng, Geometry(4 * hidden_size, input_size, banks, k_ih, value_bits)),
        _matrix(rng, Geometry(4 * hidden_size, hidden_size, banks, k_hh, value_bits)),
        rng.integers(state.min // 8, state.max // 8 + 1, 4 * hidden_size),
        Fixed(act_bits, act_bits - 1 - int(rng.integers(0, 3))),
        gate,
        _gate_formats(value_bits, fractions[0].tolist()),
        _gate_formats(value_bits, fractions[1].tolist()),
        state,
    )
    classifier = None if head is None else _head(rng, head, hidden_size, value_bits, gate)
    return Model((layer,), classifier, {"source": "random"})


def random_frames(rng: np.random.Generator, model: Model, lengths: list[int]) -> list[IntArray]:
    """Sequences of uniform random input frames.

    Parameters
    ----------
    rng : numpy Generator
    model : Model
    lengths : list of int
        Frames of every sequence.

    Returns
    -------
    list of int64 arrays (T_i, X)
        In the first layer's input format, both extremes included.
    """
    layer = model.layers[0]
    low, high = layer.input.min, layer.input.max + 1
    return [rng.integers(low, high, (length, layer.input_size)) for length in lengths]


def _gate_formats(value_bits: int, fractions: list[int]) -> GateFormats:
    i, f, g, o = (Fixed(value_bits, frac) for frac in fractions)
    return i, f, g, o


def _matrix(rng: np.random.Generator, geometry: Geometry) -> Csb:
    half = 1 << (geometry.value_bits - 1)
    dense = rng.integers(-half, half, (geometry.rows, geometry.columns))
    mask = _mask(rng, geometry)
    return Csb.pack(np.where(mask, dense, 0), geometry, mask)


def _mask(rng: np.random.Generator, geometry: Geometry) -> BoolArray:
    """``nonzeros`` random columns of every bank, real ones before padding."""
    g = geometry
    rank = rng.random((g.rows, g.padded_columns))
    rank[:, g.columns :] = 2.0
    banked = rank.reshape(g.rows, g.banks, g.bank_width)
    order = np.argsort(np.argsort(banked, axis=2), axis=2)
    mask: BoolArray = (order < g.nonzeros).reshape(g.rows, -1)[:, : g.columns]
    return mask


def _head(
    rng: np.random.Generator, classes: int, hidden_size: int, value_bits: int, hidden: Fixed
) -> DenseLayer:
    weight = Fixed(value_bits, value_bits - 1)
    shape = (classes, hidden_size)
    return DenseLayer(
        rng.integers(weight.min, weight.max + 1, shape),
        weight,
        hidden,
        rng.integers(hidden.min, hidden.max + 1, classes) << weight.frac - 1,
    )
