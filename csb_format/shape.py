"""A model without its weights: what can be asked before there are any.

Which arrays carry it, how many cycles a step takes, what it costs: all follow from geometries
and number formats alone. :class:`~csb_format.model.Model` hands out its shape, and is checked
by making it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from .cells import LSTM, cell_named
from .cells.cell import Cell, reach_of, reaches_of
from .fixed import Fixed
from .geometry import Geometry
from .pooling import LAST, check_pool
from .precision import Precision

__all__ = ["DenseShape", "LstmShape", "ModelShape", "PerGateFormats", "uniform_shape"]

PerGateFormats = tuple[Fixed, ...]
_MOST_SHIFT = 62  # right, of sums that are rounded


@dataclass(frozen=True)
class LstmShape:
    """One direction of one layer, as :class:`~csb_format.model.LstmLayer` without numbers.

    Parameters
    ----------
    weight_ih : Geometry (G * H, X)
        G gates of the cell: 4 of an LSTM.
    weight_hh : Geometry (G * H, R)
    input, hidden : Fixed
        Formats of x and of h before a projection.
    weight_ih_formats, weight_hh_formats : tuple of G Fixed
        Formats of the weights of every gate, in the cell's order.
    state : Fixed
        Format of pre-activations, bias and, in an LSTM, cell state.
    weight_hr : Geometry (R, H), optional
        Of a projection.
    weight_hr_format, projected : Fixed, optional
        With it: formats of its weights and of its output.
    cell : str
        A name of ``csb_format.cells.CELLS``.

    Raises
    ------
    ValueError
        For shapes or widths that do not agree, or another cell.
    """

    weight_ih: Geometry
    weight_hh: Geometry
    input: Fixed
    hidden: Fixed
    weight_ih_formats: PerGateFormats
    weight_hh_formats: PerGateFormats
    state: Fixed
    weight_hr: Geometry | None = None
    weight_hr_format: Fixed | None = None
    projected: Fixed | None = None
    cell: str = LSTM

    def __post_init__(self) -> None:
        self._check_rows()
        if self.arithmetic.state != self.state:
            raise ValueError(
                f"states are in {self.state} beside h of {self.hidden.width} bits: they must have "
                f"{self.arithmetic.state.width} bits"
            )
        gates = self.arithmetic.gate_names
        for name in ("weight_ih", "weight_hh"):
            formats = getattr(self, f"{name}_formats")
            if len(formats) != len(gates):
                raise ValueError(
                    f"{name} has {len(formats)} formats: give one, or one for each of the gates "
                    f"{', '.join(gates)}"
                )
            for fixed in formats:
                check_width(name, getattr(self, name), fixed)
        if self.weight_hr is not None and self.weight_hr_format is not None:
            check_width("weight_hr", self.weight_hr, self.weight_hr_format)

    def _check_rows(self) -> None:
        ih, hh = self.weight_ih, self.weight_hh
        cell, gates = self.arithmetic, len(self.arithmetic.gate_names)
        for name, geometry in self.geometries.items():
            wanted = "one k" if name == "weight_hr" else f"one k, or one for each of {gates} gates"
            if len(geometry.parts) not in (0, gates if name != "weight_hr" else 0):
                raise ValueError(f"{name} has k of {geometry.parts} in parts: give {wanted}")
        if self.weight_hr is not None:
            self._check_projection(self.weight_hr, hh)
        elif hh.rows != gates * hh.columns:
            raise ValueError(
                f"weight_hh is {hh.rows} x {hh.columns}: it must be {gates}H x H, "
                f"{gates * hh.columns} rows for a hidden size of {hh.columns}"
            )
        if ih.rows != hh.rows:
            raise ValueError(
                f"weight_ih has {ih.rows} rows and weight_hh {hh.rows}: both need gates "
                f"{', '.join(cell.gate_names)} of every unit, take them from the same layer"
            )

    def _check_projection(self, hr: Geometry, hh: Geometry) -> None:
        gates = len(self.arithmetic.gate_names)
        if not self.arithmetic.projects:
            raise ValueError(f"weight_hr beside {self.arithmetic.title}: only an LSTM has one")
        if hr.rows != hh.columns or gates * hr.columns != hh.rows:
            raise ValueError(
                f"weight_hr is {hr.rows} x {hr.columns} beside weight_hh {hh.rows} x {hh.columns}: "
                f"it must be P x H beside {gates}H x P, take them from the same layer"
            )

    @property
    def arithmetic(self) -> Cell:
        """The cell in its integers."""
        return cell_named(self.cell)(self.hidden.width, reach_of(self.state))

    @property
    def shape(self) -> LstmShape:
        """Itself: what asks a layer for its shape takes one that is nothing else."""
        return self

    @property
    def geometries(self) -> dict[str, Geometry]:
        """Geometries of all matrices by torch's names, in the order in which they are used."""
        found = {"weight_ih": self.weight_ih, "weight_hh": self.weight_hh}
        return found | ({"weight_hr": self.weight_hr} if self.weight_hr is not None else {})

    @property
    def input_size(self) -> int:
        """Elements of x."""
        return self.weight_ih.columns

    @property
    def hidden_size(self) -> int:
        """Units, the elements of h."""
        return self.weight_hh.rows // len(self.arithmetic.gate_names)

    @property
    def output_size(self) -> int:
        """Elements of the output and recurrent state: P with a projection, else H."""
        return self.weight_hh.columns

    @property
    def output(self) -> Fixed:
        """Format of the output and recurrent state."""
        return self.projected or self.hidden


@dataclass(frozen=True)
class DenseShape:
    """A linear layer, as :class:`~csb_format.model.DenseLayer` without numbers.

    Parameters
    ----------
    output_size, input_size : int
        O, H.
    weight_format, input : Fixed
        Formats of the weights and of h.
    row_bits : int
        Of the numbers of a row, which are shifted together; 0 for those of ``weight_format``.
    hidden : tuple of DenseShape
        Layers before it, each with a ReLU behind it; the first takes h.

    Raises
    ------
    ValueError
        If the layers do not fit each other, or what is between two has more fraction bits than
        the sums that it is rounded from.
    """

    output_size: int
    input_size: int
    weight_format: Fixed
    input: Fixed
    row_bits: int = 0
    hidden: tuple[DenseShape, ...] = ()

    def __post_init__(self) -> None:
        for n, (giver, taker) in enumerate(pairwise(self.layers), 1):
            if taker.input_size != giver.output_size:
                raise ValueError(
                    f"linear layer {n} of the head takes {taker.input_size} numbers, the one "
                    f"before gives {giver.output_size}: give layers that follow each other"
                )
        for n, (shift, _) in enumerate(self.between):
            if not 0 <= shift <= _MOST_SHIFT:
                raise ValueError(
                    f"sums of linear layer {n} of the head have {shift} fraction bits more than "
                    f"what the next one takes: must be 0 to {_MOST_SHIFT}; choose other formats"
                )

    @property
    def shape(self) -> DenseShape:
        """Itself."""
        return self

    @property
    def layers(self) -> tuple[DenseShape, ...]:
        """All in the order in which they run; of the last, this one, what is its own."""
        return (*self.hidden, replace(self, hidden=()) if self.hidden else self)

    @property
    def between(self) -> tuple[tuple[int, Fixed], ...]:
        """Behind each hidden layer the fraction bits that its sums lose, and what they become."""
        return tuple(
            (giver.weight_format.frac + giver.input.frac - taker.input.frac, taker.input)
            for giver, taker in pairwise(self.layers)
        )


@dataclass(frozen=True)
class ModelShape:
    """Layers and an optional head, as :class:`~csb_format.model.Model` without numbers.

    Parameters
    ----------
    layers : tuple of LstmShape
        At least one; with two directions in pairs, forward and reverse.
    head : DenseShape or None
        Takes the output of the last layer (or pair).
    directions : int
        1, or 2 for a bidirectional network.
    pool : {"last", "hn", "mean", "every"}
        How the head is fed; see :data:`csb_format.pooling.Pool`.

    Raises
    ------
    ValueError
        For no layers, or layers or a head that do not fit each other.
    """

    layers: tuple[LstmShape, ...]
    head: DenseShape | None = None
    directions: int = 1
    pool: str = LAST

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("a model of 0 layers: give at least one LstmLayer")
        if self.directions not in (1, 2) or len(self.layers) % self.directions:
            raise ValueError(
                f"{len(self.layers)} layers in {self.directions} directions: give 1 direction, "
                "or 2 and a reverse layer for every forward one"
            )
        if len(cells := sorted({layer.cell for layer in self.layers})) > 1:
            raise ValueError(
                f"layers of {' and '.join(cells)} cells in one model: make one model of each"
            )
        for n, level in enumerate(self.levels[1:], 1):
            for layer in level:
                _check_joint(f"layer {n}", layer, self.levels[n - 1])
        check_pool(self.pool)
        if self.head is not None:
            _check_joint("head", self.head.layers[0], self.levels[-1])

    @property
    def real_nonzeros(self) -> int:
        """Weights that the recurrent layers keep."""
        return sum(g.real_nonzeros for layer in self.layers for g in layer.geometries.values())

    @property
    def shape(self) -> ModelShape:
        """Itself: what asks a model for its shape takes one that is nothing else."""
        return self

    @property
    def cell(self) -> str:
        """Name of the cell of all layers."""
        return self.layers[0].cell

    @property
    def levels(self) -> tuple[tuple[LstmShape, ...], ...]:
        """Layers that work side by side: one, or forward and reverse."""
        step = self.directions
        return tuple(self.layers[n : n + step] for n in range(0, len(self.layers), step))

    @property
    def output_size(self) -> int:
        """Elements of a frame's output, of both directions together."""
        return sum(layer.output_size for layer in self.levels[-1])


def uniform_shape(
    input_size: int,
    hidden_size: int,
    banks: Sequence[int],
    nonzeros: Sequence[int],
    *,
    layers: int = 1,
    directions: int = 1,
    projection: int = 0,
    value_bits: int = Precision.value_bits,
    act_bits: int = Precision.act_bits,
    cell: str = LSTM,
    reach: int | Sequence[int] = Precision.reach,
) -> ModelShape:
    """A stack of equal layers, to ask what it would take before it is trained.

    Parameters
    ----------
    input_size, hidden_size : int
        X and H; layers after the first take all outputs of the one before.
    banks, nonzeros : sequence of int
        Banks of ``weight_ih``, ``weight_hh`` and, with a projection, ``weight_hr``, and the
        weights kept in each; fewer in a matrix whose banks are narrower.
    layers, directions : int
        Levels, and 1 or 2 directions of each.
    projection : int
        P, elements of a layer's output; 0 for no projection.
    value_bits, act_bits : int
        Width of weights, 4..18, and of inputs, gates and states, 6..18.
    cell : str
        A name of ``csb_format.cells.CELLS``.
    reach : int or sequence of int
        Of its states, of all layers or of each; see :class:`csb_format.cells.cell.Cell`.

    Raises
    ------
    ValueError
        If the sizes make no :class:`~csb_format.geometry.Geometry`; the message says why.
    """
    cells = [cell_named(cell)(act_bits, one) for one in reaches_of(reach, layers * directions)]
    arithmetic = cells[0]
    gates = len(arithmetic.gate_names)
    weight = Fixed(value_bits, value_bits - 1)
    output, gate = projection or hidden_size, arithmetic.gate

    def geometry(which: int, rows: int, columns: int) -> Geometry:
        k = min(nonzeros[which], -(-columns // banks[which]))
        return Geometry(rows, columns, banks[which], k, value_bits)

    def layer(size: int, state: Fixed) -> LstmShape:
        rows, formats = gates * hidden_size, (weight,) * gates
        ih, hh = geometry(0, rows, size), geometry(1, rows, output)
        plain = (ih, hh, gate, gate, formats, formats, state)
        if not projection:
            return LstmShape(*plain, cell=cell)
        return LstmShape(*plain, geometry(2, projection, hidden_size), weight, gate, cell)

    sizes = [input_size] + [directions * output] * (layers - 1)
    both = [size for size in sizes for _ in range(directions)]
    made = (layer(size, cell.state) for size, cell in zip(both, cells, strict=True))
    return ModelShape(tuple(made), None, directions)


def check_width(name: str, geometry: Geometry, fixed: Fixed) -> None:
    """Raise a ValueError unless a matrix is packed in the width of its format."""
    if geometry.value_bits != fixed.width:
        raise ValueError(
            f"{name} is packed with value_bits {geometry.value_bits}, its format is "
            f"{fixed.width} bits wide: pack it with value_bits={fixed.width}"
        )


def _check_joint(name: str, taker: LstmShape | DenseShape, givers: tuple[LstmShape, ...]) -> None:
    size = sum(giver.output_size for giver in givers)
    if taker.input_size != size:
        raise ValueError(
            f"{name} takes {taker.input_size} elements, the layer before gives "
            f"{size}: make the sizes equal"
        )
    for giver in givers:
        if taker.input != giver.output:
            raise ValueError(
                f"{name} takes format {taker.input}, the layer before gives {giver.output}: "
                "quantise both in one format"
            )
