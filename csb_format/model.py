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
from .fixed import Fixed, IntArray, row_shifts
from .inputs.scale import InputScale, check_label_names
from .pooling import LAST, pooled
from .shape import DenseShape, LstmShape, ModelShape, check_width

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
_HEAD_BIAS_BITS = 48
LEAST_ROW_BITS = 4  # of a head whose rows have few bits and a shift


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
        object.__setattr__(self, "bias", _integers("bias", self.bias, shape, width))

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
class DenseLayer:
    """The classifier after the last layer; it runs on the host, in exact integers.

    Parameters
    ----------
    weight : int64 array (O, H)
        In ``weight_format``. Made read-only.
    weight_format : Fixed
        Format of the weights.
    input : Fixed
        Format of h.
    bias : int64 array (O,)
        ``weight_format.frac + input.frac`` fraction bits, at most 48 bits wide. Made
        read-only.
    row_bits : int
        Every row is numbers of so many bits times a power of two, and is stored as these: at least
        4, at most those of ``weight_format``. 0: rows are stored as they are.

    Raises
    ------
    ValueError
        For shapes that do not agree, values out of range, or formats so wide that a
        logit might leave int64.
    """

    weight: IntArray
    weight_format: Fixed
    input: Fixed
    bias: IntArray
    row_bits: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if np.ndim(self.weight) != 2 or 0 in np.shape(self.weight):
            raise ValueError(
                f"head weight has shape {np.shape(self.weight)}: it must be "
                "(outputs, hidden_size), both at least 1"
            )
        outputs, hidden = np.shape(self.weight)
        width = self.weight_format.width
        self._check_sums(hidden)
        weight = _integers("head weight", self.weight, (outputs, hidden), width)
        bias = _integers("head bias", self.bias, (outputs,), _HEAD_BIAS_BITS)
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", bias)
        if self.row_bits:
            self._check_rows()

    @property
    def row_shifts(self) -> IntArray:
        """Bits that rows are shifted left by, with ``row_bits``: int64 (O,)."""
        return row_shifts(self.weight, self.row_bits)

    def _check_rows(self) -> None:
        if not LEAST_ROW_BITS <= self.row_bits <= self.weight_format.width:
            raise ValueError(
                f"row_bits = {self.row_bits}: must be 0, or {LEAST_ROW_BITS} to the "
                f"{self.weight_format.width} bits of the head's weights"
            )
        shift = self.row_shifts[:, None]
        if (torn := (self.weight >> shift << shift != self.weight).any(axis=1)).any():
            raise ValueError(
                f"row {int(torn.argmax())} of the head has more than {self.row_bits} leading bits: "
                "round it (round_rows), or leave row_bits out"
            )

    def _check_sums(self, hidden: int) -> None:
        bits = self.weight_format.width + self.input.width - 2 + hidden.bit_length()
        if bits > 62:
            raise ValueError(
                f"head weights of {self.weight_format.width} bits and inputs of "
                f"{self.input.width} bits need sums of {bits} bits: use narrower formats"
            )

    @property
    def input_size(self) -> int:
        """Elements of h."""
        return int(self.weight.shape[1])

    @property
    def shape(self) -> DenseShape:
        """The layer without its weights."""
        sizes = self.output_size, self.input_size
        return DenseShape(*sizes, self.weight_format, self.input, self.row_bits)

    @property
    def output_size(self) -> int:
        """Number of logits."""
        return int(self.weight.shape[0])

    def logits(self, hidden: npt.ArrayLike) -> IntArray:
        """Exact ``weight @ h + bias``.

        Parameters
        ----------
        hidden : int array (..., H)
            In ``input`` format.

        Returns
        -------
        int64 array (..., O)
            ``weight_format.frac + input.frac`` fraction bits.

        Raises
        ------
        ValueError
            For another last axis, a dtype that is not integer, or values outside ``input``.
        """
        h = np.asarray(hidden)
        if h.shape[-1:] != (self.input_size,):
            raise ValueError(
                f"hidden state of shape {h.shape}: the last axis must have "
                f"{self.input_size} elements"
            )
        h = _integers("hidden state", h, h.shape, self.input.width)
        return h @ self.weight.T + self.bias

    @property
    def last_bit(self) -> float:
        """What a logit of 1 stands for: logits times it are numbers, exact below 2**53."""
        return float(2.0 ** -(self.weight_format.frac + self.input.frac))

    def equals(self, other: DenseLayer) -> bool:
        """Whether both hold the same integers in the same formats."""
        return (
            np.array_equal(self.weight, other.weight)
            and np.array_equal(self.bias, other.bias)
            and (self.weight_format, self.input) == (other.weight_format, other.input)
            and self.row_bits == other.row_bits
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


def _integers(name: str, array: Any, shape: tuple[int, ...], width: int) -> IntArray:
    """Check an integer array and copy it, read-only, as int64."""
    given = np.asarray(array)
    if given.shape != shape:
        raise ValueError(f"{name} has shape {given.shape}: it must be {shape}")
    if given.dtype.kind not in "iu":
        raise ValueError(f"{name} has dtype {given.dtype}: quantise it to integers first")
    half = 1 << (width - 1)
    bad = (given < -half) | (given >= half)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} holds {given[at]} at {at}: {width} bits hold {-half} to {half - 1}; "
            "quantise it to its format"
        )
    copy = given.astype(np.int64)
    copy.flags.writeable = False
    return copy
