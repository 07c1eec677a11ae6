"""A network by its knobs: what one chooses before there are weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from csb_format.cells import LSTM
from csb_format.geometry import most_banks
from csb_format.model import Model
from csb_format.precision import Precision
from csb_format.random_models import random_network
from csb_format.shape import ModelShape, uniform_shape

__all__ = ["Network"]


@dataclass(frozen=True)
class Network:
    """Equal layers; what each knob means is said at :func:`csb_format.shape.uniform_shape`.

    Parameters
    ----------
    inputs, hidden : int
    banks : int
        Of every matrix; fewer of one with fewer columns.
    k : int
        Weights kept in a bank of the recurrent matrices.
    k_input : int
        In a bank of ``weight_ih`` of the first layer; no more than it is wide.
    layers, directions, projection : int
    value_bits, act_bits : int
    cell : str
    """

    inputs: int
    hidden: int
    banks: int
    k: int
    k_input: int
    layers: int = 1
    directions: int = 1
    projection: int = 0
    value_bits: int = Precision.value_bits
    act_bits: int = Precision.act_bits
    cell: str = LSTM

    @classmethod
    def of(cls, model: Model | ModelShape) -> Network:
        """The knobs of a model's first layer, all others taken as like it."""
        shape, layer = model.shape, model.shape.layers[0]
        return cls(
            layer.input_size,
            layer.hidden_size,
            layer.weight_hh.banks,
            max(1, layer.weight_hh.nonzeros),
            max(1, layer.weight_ih.nonzeros * layer.weight_ih.banks // layer.weight_hh.banks),
            len(shape.levels),
            shape.directions,
            layer.weight_hr.rows if layer.weight_hr else 0,
            layer.weight_hh.value_bits,
            layer.hidden.width,
            shape.cell,
        )

    @property
    def shape(self) -> ModelShape:
        """As the compiler takes it.

        Raises
        ------
        ValueError
            If the knobs make no network.
        """
        sizes = (self.inputs, self.projection or self.hidden, self.hidden)
        if any(self.banks > most_banks(size) for size in sizes):
            raise ValueError(f"{self.banks} banks: more than a matrix has columns")
        return uniform_shape(
            self.inputs, self.hidden, (self.banks,) * 3, (self.k_input, self.k, self.k),
            layers=self.layers, directions=self.directions, projection=self.projection,
            value_bits=self.value_bits, act_bits=self.act_bits, cell=self.cell,
        )  # fmt: skip

    def random(self, seed: int) -> Model:
        """It with random weights and formats; the same seed gives the same model."""
        return random_network(
            np.random.default_rng(seed), self.inputs, self.hidden, self.banks,
            (self.k_input, self.k, self.k), self.layers, self.directions, self.projection,
            self.value_bits, self.act_bits, cell=self.cell,
        )  # fmt: skip

    def at(self, **knobs: Any) -> Network:
        """Another one."""
        return replace(self, **knobs)

    @property
    def knobs(self) -> dict[str, int | str]:
        """All of them, by name."""
        return asdict(self)
