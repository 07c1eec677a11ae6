"""A quantised network as training hands it to hardware: integers and formats, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .arguments import shown
from .cells import LSTM, cell_named
from .cells.cell import Cell
from .cells.lstm import CellArithmetic
from .csb import Csb
from .fixed import Fixed, IntArray, integers_of
from .heads.dense import LEAST_ROW_BITS, DenseLayer
from .inputs.scale import InputScale, check_label_names
from .pooling import LAST, pooled
from .shape import LstmShape, ModelShape, check_width

__all__ = [
    "GATE_ORDER",
    "LEAST_ROW_BITS",
    "RUNNERS",
    "DenseLayer",
    "GateFormats",
    "LayerMatrix",
    "LstmLayer",
    "Model",
    "Projection",
]

GATE_ORDER = CellArithmetic.gate_names
GateFormats = Fixed | tuple[Fixed, ...]
#: Who runs a model, by the target of :meth:`Model.on`: rooms above this one enter what they can.
RUNNERS: dict[str, Callable[..., Any]] = {}


@dataclass(frozen=True, eq=False)
class Projection:
    """The matrix between a layer's hidden state and its output (``proj_size`` in torch).

    Parameters
    ----------
    weight : Csb (P, H)
        ``weight_hr``, ``value_bits`` equal to ``weight_format.width``.
    weight_format : Fixed
        Format of the weights.
    output : Fixed
        Format of the projected state: the sum is rounded and saturated to it.

    Raises
    ------
    ValueError
        For widths that do not agree.
    """

    weight: Csb
    weight_format: Fixed
    output: Fixed

    def __post_init__(self) -> None:
        check_width("weight_hr", self.weight.geometry, self.weight_format)

    def equals(self, other: Projection) -> bool:
        """Whether both hold the same integers in the same formats."""
        formats = (self.weight_format, self.output)
        return self.weight.equals(other.weight) and formats == (other.weight_format, other.output)


class LayerMatrix(NamedTuple):
    """A matrix of a layer.

    Parameters
    ----------
    name : {"weight_ih", "weight_hh", "weight_hr"}
        Torch's, without the layer.
    matrix : Csb
    formats : tuple of Fixed
        Of its weights: one for each gate, or the one of a projection.
    reads : {"input", "state", "hidden"}
        The vector that it multiplies: x, the output of the step before, or h before a
        projection.
    """

    name: str
    matrix: Csb
    formats: tuple[Fixed, ...]
    reads: str


@dataclass(frozen=True, eq=False)
class LstmLayer:
    """One direction of one layer of an LSTM without peepholes, or of another cell.

    Rows are in torch's order of gates: i, f, g, o of an LSTM; r, z, n of a GRU. G are the gates of
    the cell, S its sums: 4 and 4 of an LSTM, 3 and 4 of a GRU, 3 and 3 of one whose reset comes
    first (``gru0``).

    Parameters
    ----------
    weight_ih : Csb (G * H, X)
        Input weights, ``value_bits`` equal to the width of ``weight_ih_format``.
    weight_hh : Csb (G * H, R)
        Recurrent weights, ``value_bits`` equal to the width of ``weight_hh_format``; R is
        H, or P with a projection.
    bias : int64 array (S * H,)
        ``b_ih + b_hh``, summed in float and then quantised to ``state``; of a sum that has the
        products of one matrix alone, the bias of that. Made read-only.
    input, hidden : Fixed
        Formats of x and of h before a projection.
    weight_ih_format, weight_hh_format : Fixed or G Fixed
        Formats of the weights; one for each gate if there are several, all of one width.
    state : Fixed
        Format of pre-activations, bias and, in an LSTM, cell state.
    projection : Projection, optional
        What turns h into the layer's output and recurrent state; none by default.
    cell : str
        A name of ``csb_format.cells.CELLS``.

    Raises
    ------
    ValueError
        For shapes or widths that do not agree, or a bias outside ``state``.
    """

    weight_ih: Csb
    weight_hh: Csb
    bias: IntArray
    input: Fixed
    hidden: Fixed
    weight_ih_format: GateFormats
    weight_hh_format: GateFormats
    state: Fixed
    projection: Projection | None = None
    cell: str = LSTM

    def __post_init__(self) -> None:
        formats, width = self.shape, self.state.width
        shape = (len(self.arithmetic.sums) * formats.hidden_size,)
        object.__setattr__(self, "bias", integers_of("bias", self.bias, shape, width))

    @cached_property
    def shape(self) -> LstmShape:
        """The layer without its weights."""
        projection = self.projection
        return LstmShape(
            self.weight_ih.geometry,
            self.weight_hh.geometry,
            self.input,
            self.hidden,
            self.gate_formats("weight_ih"),
            self.gate_formats("weight_hh"),
            self.state,
            projection.weight.geometry if projection else None,
            projection.weight_format if projection else None,
            projection.output if projection else None,
            self.cell,
        )

    @cached_property
    def arithmetic(self) -> Cell:
        """The cell in its integers."""
        return self.shape.arithmetic

    @property
    def matrices(self) -> tuple[LayerMatrix, ...]:
        """All matrices, in the order in which a step uses them."""
        found = (
            LayerMatrix("weight_ih", self.weight_ih, self.gate_formats("weight_ih"), "input"),
            LayerMatrix("weight_hh", self.weight_hh, self.gate_formats("weight_hh"), "state"),
        )
        if self.projection is None:
            return found
        weight, fixed = self.projection.weight, self.projection.weight_format
        return (*found, LayerMatrix("weight_hr", weight, (fixed,), "hidden"))

    @property
    def input_size(self) -> int:
        """Elements of x."""
        return self.weight_ih.geometry.columns

    @property
    def hidden_size(self) -> int:
        """Units, the elements of h."""
        return self.shape.hidden_size

    @property
    def output_size(self) -> int:
        """Elements of the output and recurrent state: P with a projection, else H."""
        return self.weight_hh.geometry.columns

    @property
    def output(self) -> Fixed:
        """Format of the output and recurrent state."""
        return self.hidden if self.projection is None else self.projection.output

    def gate_formats(self, name: str) -> tuple[Fixed, ...]:
        """Formats of all gates of ``"weight_ih"`` or ``"weight_hh"``."""
        found: GateFormats = getattr(self, f"{name}_format")
        gates = len(cell_named(self.cell).gate_names)
        return (found,) * gates if isinstance(found, Fixed) else tuple(found)

    def equals(self, other: LstmLayer) -> bool:
        """Whether both hold the same integers in the same formats."""
        mine, theirs = self.projection, other.projection
        return (
            self.weight_ih.equals(other.weight_ih)
            and self.weight_hh.equals(other.weight_hh)
            and np.array_equal(self.bias, other.bias)
            and self._formats == other._formats
            and self.cell == other.cell
            and (mine.equals(theirs) if mine and theirs else mine is theirs)
        )

    @property
    def _formats(self) -> tuple[GateFormats, ...]:
        return (
            self.input,
            self.hidden,
            self.weight_ih_format,
            self.weight_hh_format,
            self.state,
        )


@dataclass(frozen=True, eq=False)
class Model:
    """Recurrent layers, an optional head, and where they come from.

    Parameters
    ----------
    layers : tuple of LstmLayer
        At least one; each takes the output of the one before, in its format. With two
        directions they come in pairs, forward and reverse, as torch numbers them; both of a
        pair take the outputs of both before, forward first.
    head : DenseLayer or None
        Takes the output of the last layer (or pair), in its format.
    provenance : dict of str to str
        Free notes (data set, seed, commit); saved with the model, never interpreted.
    directions : int
        1, or 2 for a bidirectional network.
    pool : {"last", "hn", "mean", "every"}
        How the head is fed; see :data:`csb_format.pooling.Pool`. The host computes it, and the
        head; where the array runs the head, it is that of the last frame.

    Raises
    ------
    ValueError
        For no layers, layers or a head that do not fit each other, or provenance that is
        not text.
    """

    layers: tuple[LstmLayer, ...]
    head: DenseLayer | None = None
    provenance: dict[str, str] = field(default_factory=dict)
    directions: int = 1
    pool: str = LAST
    input_scale: InputScale | None = None
    label_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "provenance", dict(self.provenance))
        _ = self.shape  # checks that all fit each other
        outputs = 0 if self.head is None else self.head.output_size
        object.__setattr__(self, "label_names", check_label_names(self.label_names, outputs))
        scale, width = self.input_scale, self.layers[0].input_size
        if scale is not None and len(scale) != width:
            raise ValueError(f"a scale of {len(scale)} inputs, and a model of {width}: fit another")
        for key, value in self.provenance.items():
            if not (isinstance(key, str) and isinstance(value, str)):
                raise ValueError(f"provenance {key!r}: {value!r}: both must be str; convert them")

    @cached_property
    def shape(self) -> ModelShape:
        """The model without its weights."""
        head = None if self.head is None else self.head.shape
        return ModelShape(
            tuple(layer.shape for layer in self.layers), head, self.directions, self.pool
        )

    @property
    def cell(self) -> str:
        """Name of the cell of all layers."""
        return self.layers[0].cell

    @property
    def levels(self) -> tuple[tuple[LstmLayer, ...], ...]:
        """Layers that work side by side: one, or forward and reverse."""
        step = self.directions
        return tuple(self.layers[n : n + step] for n in range(0, len(self.layers), step))

    @property
    def output_size(self) -> int:
        """Elements of a frame's output, of both directions together."""
        return sum(layer.output_size for layer in self.levels[-1])

    def pooled(self, outputs: npt.ArrayLike) -> IntArray:
        """What the head takes of one sequence: int (T, D * R) to int64 (D * R,).

        Of every frame where it is fed so: int64 (T, D * R).
        """
        return pooled(outputs, self.pool, self.directions)

    def logits(self, outputs: npt.ArrayLike) -> IntArray:
        """Exact logits of one sequence, as the host computes them.

        Parameters
        ----------
        outputs : int array (T, D * R)
            Of the last level, frame by frame: what the driver gives as ``States.output``.

        Returns
        -------
        int64 array (O,), or (T, O) where the head is fed with every frame

        Raises
        ------
        ValueError
            Without a head, without frames, or for other shapes.
        """
        if self.head is None:
            raise ValueError("the model has no head: pack it with its classifier to classify")
        return self.head.logits(self.pooled(outputs))

    def numbers(self, outputs: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The same as numbers, in the units in which the network was trained.

        Parameters
        ----------
        outputs
            As for :meth:`logits`.

        Returns
        -------
        float64 array (O,) or (T, O)
            What a network that predicts numbers says.

        Raises
        ------
        ValueError
            As :meth:`logits`.
        """
        logits = self.logits(outputs)
        assert self.head is not None
        return np.asarray(logits * self.head.last_bit)

    def on(self, target: str, **options: Any) -> Any:
        """The model on something that runs it.

        Parameters
        ----------
        target : str
            ``"cpu"``: :class:`engine.native.model.NativeModel`, after ``import sparseflow.api``,
            which ``sf.load`` does.
        **options
            Of that class.

        Raises
        ------
        ValueError
            For an unknown target.
        """
        if not isinstance(target, str) or target not in RUNNERS:
            known = ", ".join(map(repr, RUNNERS)) or "none before `import sparseflow.api`"
            raise ValueError(f"target {shown(target)}: there is {known}")
        return RUNNERS[target](self, **options)

    def equals(self, other: Model) -> bool:
        """Whether both hold the same integers, formats and provenance."""
        heads = (self.head, other.head)
        return (
            len(self.layers) == len(other.layers)
            and (self.directions, self.pool) == (other.directions, other.pool)
            and all(a.equals(b) for a, b in zip(self.layers, other.layers, strict=True))
            and (heads[0].equals(heads[1]) if heads[0] and heads[1] else heads == (None, None))
            and self.provenance == other.provenance
            and self.label_names == other.label_names
            and _same_scale(self.input_scale, other.input_scale)
        )


def _same_scale(one: InputScale | None, other: InputScale | None) -> bool:
    return one.equals(other) if one and other else one is other
