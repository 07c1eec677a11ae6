"""The array: everything that is fixed when hardware is generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .cell import CellArithmetic
from .fixed import Fixed

if TYPE_CHECKING:
    from .geometry import Geometry
    from .model import LstmLayer, Model

__all__ = ["MAX_ALIGN", "Design", "DesignError", "PerGate", "Scales", "bits_for", "check_supported"]

MAX_ALIGN = 7  # largest left shift of a product sum, a 3-bit field of the program
GATES = 4
PerGate = tuple[int, int, int, int]


class DesignError(ValueError):
    """A design that cannot exist, or a model that does not fit one."""


def bits_for(count: int) -> int:
    """Bits of an address of ``count`` places, at least 1."""
    return max(1, (count - 1).bit_length())


@dataclass(frozen=True)
class Scales:
    """Binary points of one layer: how its two products meet in the accumulator of each gate.

    Parameters
    ----------
    align_ih, align_hh : tuple of 4 int
        For gates i, f, g, o: left shift of the input and the recurrent sum,
        0..``MAX_ALIGN``.
    shift : tuple of 4 int
        Right shift from the accumulator to ``state`` format, 0..63.
    """

    align_ih: PerGate
    align_hh: PerGate
    shift: PerGate

    @classmethod
    def of(cls, layer: LstmLayer) -> Scales:
        """Scales of a layer.

        Raises
        ------
        DesignError
            If the two products lie further apart than ``MAX_ALIGN`` bits.
        """
        gates = zip(layer.gate_formats("weight_ih"), layer.gate_formats("weight_hh"), strict=True)
        found = [
            _meet(ih.frac + layer.input.frac, hh.frac + layer.output.frac, layer.state.frac)
            for ih, hh in gates
        ]
        align_ih, align_hh, shift = zip(*found, strict=True)
        return cls(align_ih, align_hh, shift)


def _meet(ih: int, hh: int, state: int) -> tuple[int, int, int]:
    """Left shifts of two sums to one binary point, and the shift from there to ``state``."""
    frac = max(ih, hh, state)
    if max(frac - ih, frac - hh) > MAX_ALIGN:
        raise DesignError(
            f"binary points of the products, {ih} (input) and {hh} (recurrent), must lie "
            f"within {MAX_ALIGN} bits and not below {state - MAX_ALIGN}: "
            "choose other weight formats"
        )
    return frac - ih, frac - hh, frac - state


@dataclass(frozen=True)
class Design:
    """An accelerator of ``pes`` x ``lanes`` multipliers and its memories.

    Parameters
    ----------
    pes : int
        M, rows worked on at once; a multiple of 4 (the gates of a unit lie side by side).
    lanes : int
        N, multipliers of a PE and banks of a vector.
    units : int
        E, element-wise lanes; divides ``lanes`` and ``pes / 4``.
    value_bits, index_bits : int
        Width of a weight (4..18) and of its place in a bank (1..16).
    act_bits : int
        Width of activations (6..18).
    row_groups : int
        Most CSB groups that one accumulator sums (input and recurrent part).
    matrix_depth, vector_depth, slots, cells, program_depth, output_depth : int
        Places in the matrix memory of a PE (groups), in a vector bank (elements), in the
        partial sums of a PE (rows), in the memories of an element-wise lane (units), in the
        program (instructions) and in the output buffer (beats of E units).

    Raises
    ------
    DesignError
        If one of these does not hold; the message names the value.
    """

    pes: int
    lanes: int
    units: int
    row_groups: int
    matrix_depth: int
    vector_depth: int
    slots: int
    cells: int
    output_depth: int
    index_bits: int
    value_bits: int = 16
    act_bits: int = 16
    program_depth: int = 16

    def __post_init__(self) -> None:
        _check_counts(asdict(self))
        if self.pes % GATES:
            raise DesignError(f"pes = {self.pes}: must be a multiple of {GATES}, one PE a gate")
        if self.lanes % self.units or (self.pes // GATES) % self.units:
            raise DesignError(
                f"units = {self.units}: must divide lanes = {self.lanes} "
                f"and pes / {GATES} = {self.pes // GATES}"
            )
        if not 4 <= self.value_bits <= 18:
            raise DesignError(f"value_bits = {self.value_bits}: must be 4 to 18")
        if not 6 <= self.act_bits <= 18:
            raise DesignError(f"act_bits = {self.act_bits}: must be 6 to 18")

    @classmethod
    def for_model(cls, model: Model, pes: int, lanes: int, units: int | None = None) -> Design:
        """The smallest design of this array that holds a model.

        Parameters
        ----------
        model : Model
        pes, lanes : int
            M and N; N must divide the banks of every matrix.
        units : int, optional
            Element-wise lanes; by default the fewest that keep up with the products.

        Raises
        ------
        DesignError
            If the array cannot carry the model.
        """
        check_supported(model)
        _check_counts({"pes": pes, "lanes": lanes} | ({} if units is None else {"units": units}))
        layer = model.layers[0]
        ih, hh = (merged(m.geometry, lanes) for m in (layer.weight_ih, layer.weight_hh))
        k_ih, k_hh = max(1, ih.nonzeros), max(1, hh.nonzeros)
        units = units or fewest_units(pes, lanes, k_hh)
        slots = -(-GATES * hh.padded_columns // pes)
        cells = -(-hh.padded_columns // units)
        return cls(
            pes=pes,
            lanes=lanes,
            units=units,
            row_groups=k_ih + k_hh,
            matrix_depth=slots * (k_ih + k_hh),
            vector_depth=2 * region(hh.bank_width) + 2 * region(ih.bank_width),
            slots=slots,
            cells=max(cells, slots * pes // (GATES * units)),
            output_depth=2 * cells,
            index_bits=max(1, ih.index_bits, hh.index_bits),
            value_bits=max(ih.value_bits, hh.value_bits),
            act_bits=layer.hidden.width,
        )

    @property
    def multipliers(self) -> int:
        """Multipliers of the product array, M x N."""
        return self.pes * self.lanes

    @property
    def elementwise_multipliers(self) -> int:
        """Multipliers of the element-wise lanes: 5 interpolations and 3 products each."""
        return 8 * self.units

    @property
    def units_per_slot(self) -> int:
        """Units that one element-wise lane takes at the end of a slot, M / 4E."""
        return self.pes // (GATES * self.units)

    @property
    def arithmetic(self) -> CellArithmetic:
        """Formats and bit-exact functions of the element-wise lanes."""
        return CellArithmetic(self.act_bits)

    @property
    def gate(self) -> Fixed:
        """Format of gates and hidden state."""
        return self.arithmetic.gate

    @property
    def state(self) -> Fixed:
        """Format of pre-activations, biases and cell state."""
        return self.arithmetic.state

    @property
    def acc_bits(self) -> int:
        """Accumulator width: no sum of ``row_groups * lanes`` extreme products overflows."""
        terms = self.row_groups * self.lanes
        return self.value_bits + self.act_bits + (terms - 1).bit_length() + MAX_ALIGN

    @property
    def entry_bits(self) -> int:
        """Bits of one stored weight: value and index."""
        return self.value_bits + self.index_bits

    @property
    def word_bits(self) -> int:
        """Bits of one word of a matrix memory: a CSB group."""
        return self.lanes * self.entry_bits

    @property
    def bias_bits(self) -> int:
        """Bits of one word of a bias memory: the four biases of a unit."""
        return GATES * self.state.width


def region(width: int) -> int:
    """Places that a vector of ``width`` elements a bank takes: the next power of two."""
    return 1 << (width - 1).bit_length()


def merged(geometry: Geometry, lanes: int) -> Geometry:
    """A matrix's geometry as an array of ``lanes`` sees it: adjacent banks merged.

    Raises
    ------
    DesignError
        If ``lanes`` does not divide the banks.
    """
    if geometry.banks % lanes:
        raise DesignError(
            f"lanes = {lanes} does not divide the {geometry.banks} banks that the matrix was "
            f"pruned with: choose a divisor of {geometry.banks}, or prune with other banks"
        )
    return geometry.merged(geometry.banks // lanes)


def fewest_units(pes: int, lanes: int, k_hh: int) -> int:
    """Fewest element-wise lanes that do not slow a recurrent pass.

    A slot of a recurrent pass lasts ``max(k_hh, pes / 4E)`` cycles; lanes must divide
    ``pes / 4`` and the vector lanes. Where none keeps up, the most that are possible.
    """
    per_slot = pes // GATES
    fitting = [e for e in range(1, lanes + 1) if lanes % e == 0 and per_slot % e == 0]
    return next((e for e in fitting if per_slot // e <= k_hh), fitting[-1] if fitting else 1)


def _check_counts(counts: Mapping[str, object]) -> None:
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise DesignError(f"{name} = {value!r}: must be a whole number of at least 1")


def check_supported(model: Model) -> None:
    """Raise a :class:`DesignError` that names what the accelerator cannot run, if anything."""
    if model.directions != 1:
        raise DesignError(
            f"the model has {model.directions} directions: the accelerator runs forward only "
            "so far; train with bidirectional=False"
        )
    if len(model.layers) != 1:
        raise DesignError(
            f"the model has {len(model.layers)} layers: one is supported so far; "
            "train with num_layers=1"
        )
    if model.layers[0].projection is not None:
        raise DesignError(
            f"the layer projects to {model.layers[0].output_size} elements: projections are not "
            "supported so far; train with proj_size=0"
        )
