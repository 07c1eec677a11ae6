"""What a trained network may be pruned to: banks of all matrices, and k of each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.cells import LSTM
from csb_format.geometry import Geometry, most_banks
from csb_format.shape import LstmShape, ModelShape, uniform_shape

__all__ = ["BANKS", "DENSITIES", "Pattern", "Sizes", "features", "kept_energy", "patterns"]

BANKS = (1, 2, 4, 8, 10, 16, 20, 25, 32)
DENSITIES = (1.0, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125, 0.09375, 0.0625)
"""Shares of a bank; those that come to the same k are one."""
LEAST = 1e-4  # of an energy that is lost: a logarithm of it


@dataclass(frozen=True)
class Sizes:
    """A recurrent network by the sizes of its matrices.

    Parameters
    ----------
    matrices : tuple of (str, int, int)
        Torch's name (``weight_hh_l0``), rows and columns of each.
    layers, directions : int
    cell : str
    """

    matrices: tuple[tuple[str, int, int], ...]
    layers: int = 1
    directions: int = 1
    cell: str = LSTM

    @property
    def of(self) -> dict[str, tuple[int, int]]:
        """Rows and columns by name."""
        return {name: (rows, columns) for name, rows, columns in self.matrices}


@dataclass(frozen=True)
class Pattern:
    """Banks and k of every matrix.

    Parameters
    ----------
    banks : int
        In a row of every matrix.
    keeps : tuple of (str, int)
        Weights kept in each of its banks, by torch's name.
    """

    banks: int
    keeps: tuple[tuple[str, int], ...]

    @property
    def key(self) -> str:
        """Names it among those of one network."""
        return f"{self.banks}b-" + "-".join(str(keep) for _, keep in self.keeps)

    def wishes(self, sizes: Sizes) -> list[str]:
        """What ``sparseflow prune --for`` is told to come to exactly these k."""
        return [f"{n}:sparsity={self._sparsity(sizes, n, k):.6g}" for n, k in self.keeps]

    def density(self, sizes: Sizes, name: str) -> float:
        """Share of a matrix that is kept."""
        return 1 - self._sparsity(sizes, name, dict(self.keeps)[name])

    def _sparsity(self, sizes: Sizes, name: str, keep: int) -> float:
        columns = sizes.of[name][1]
        width = -(-columns // self.banks)
        real = [max(0, min(width, columns - n * width)) for n in range(self.banks)]
        return 1 - sum(min(keep, size) for size in real) / columns

    def shape(self, sizes: Sizes, value_bits: int, act_bits: int) -> ModelShape:
        """What the compiler takes for it."""
        own = sizes.of
        columns, inputs = own["weight_hh_l0"][1], own["weight_ih_l0"][1]
        projection = columns if "weight_hr_l0" in own else 0
        hidden = own["weight_hr_l0"][1] if projection else columns
        base = uniform_shape(
            inputs, hidden, (self.banks,) * 3, (1, 1, 1), layers=sizes.layers,
            directions=sizes.directions, projection=projection, value_bits=value_bits,
            act_bits=act_bits, cell=sizes.cell,
        )  # fmt: skip
        layers = (self._layer(own, n, layer, value_bits, sizes.directions)
                  for n, layer in enumerate(base.layers))  # fmt: skip
        return replace(base, layers=tuple(layers))

    def _layer(
        self, own: Mapping[str, tuple[int, int]], number: int, layer: LstmShape, bits: int,
        directions: int,
    ) -> LstmShape:  # fmt: skip
        level, reverse = divmod(number, directions)
        suffix = f"_l{level}" + "_reverse" * reverse
        keeps = dict(self.keeps)
        made: dict[str, Any] = {
            name: Geometry(*own[name + suffix], self.banks, keeps[name + suffix], bits)
            for name in layer.geometries
        }
        return replace(layer, **made)


def patterns(
    sizes: Sizes, banks: Sequence[int] = BANKS, densities: Sequence[float] = DENSITIES
) -> Iterator[Pattern]:
    """All that differ: banks, and one density for inputs and one for states.

    Each matrix keeps the whole number of weights nearest to it, at least one in a bank.

    Parameters
    ----------
    sizes : Sizes
    banks : sequence of int
        Those that a matrix has too few columns for are left out, and those that none has the
        columns for.
    densities : sequence of float
    """
    seen, columns = set(), [columns for _, _, columns in sizes.matrices]
    most = min(max(columns), *map(most_banks, columns))
    for count in (n for n in banks if n <= most):
        for inputs in densities:
            for states in densities:
                keeps = tuple(
                    (name, _keep(count, wide, inputs if "weight_ih" in name else states))
                    for name, _, wide in sizes.matrices
                )
                pattern = Pattern(count, keeps)
                if pattern not in seen:
                    seen.add(pattern)
                    yield pattern


def _keep(banks: int, columns: int, density: float) -> int:
    return max(1, round(density * -(-columns // banks)))


def features(
    pattern: Pattern, sizes: Sizes, energy: Mapping[str, float], value_bits: int
) -> tuple[float, ...]:
    """What the loss of a pattern may follow from, alike for all networks.

    Parameters
    ----------
    pattern : Pattern
    sizes : Sizes
    energy : mapping of str to float
        What each matrix keeps of its sum of squares, by name.
    value_bits : int

    Returns
    -------
    tuple of 6 floats
        log2 of the density of inputs and of states, log2 of the energy that each loses, log2 of
        the banks, bits.
    """
    found: list[float] = []
    densities = {name: pattern.density(sizes, name) for name, _ in pattern.keeps}
    lost = {name: LEAST + 1 - energy[name] for name, _ in pattern.keeps}
    for values in (densities, lost):
        for inputs in (True, False):
            own = [value for name, value in values.items() if ("weight_ih" in name) == inputs]
            found.append(math.log2(sum(own) / len(own)))
    return (*found, math.log2(pattern.banks), float(value_bits))


def kept_energy(matrix: npt.NDArray[np.floating], banks: int, keep: int) -> float:
    """Share of the sum of squares that the largest weights of every bank have, 0..1.

    Parameters
    ----------
    matrix : float array (rows, columns)
    banks, keep : int
    """
    squares = np.square(matrix, dtype=np.float64)
    width = -(-squares.shape[1] // banks)
    padded = np.pad(squares, ((0, 0), (0, banks * width - squares.shape[1])))
    grouped = np.sort(padded.reshape(len(squares), banks, width), axis=2)
    total = float(squares.sum())
    return float(grouped[:, :, width - min(keep, width) :].sum()) / total if total else 1.0
