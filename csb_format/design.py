"""The array: everything that is fixed when hardware is generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .cell import CellArithmetic
from .fixed import Fixed

if TYPE_CHECKING:
    from .model import LstmLayer, Model

__all__ = [
    "GATES",
    "MAX_ALIGN",
    "Design",
    "DesignError",
    "PerGate",
    "Scales",
    "bits_for",
    "check_supported",
]

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

    @staticmethod
    def largest(layer: LstmLayer) -> int:
        """Largest left shift that a layer needs."""
        found = Scales.of(layer)
        return max(*found.align_ih, *found.align_hh)

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
        partial sums of a PE (rows), in the bias memory of an element-wise lane (units), in
        the program (instructions) and in the output buffer (beats).
    projectors : int
        Q, lanes that round sums without a cell: projections and linear layers; 0 for
        none. Divides ``pes``, and divides ``lanes`` or is a power-of-two multiple of it:
        then a bank has ``Q / N`` write ports.
    linear : int
        Places in the bias memory of a projector (beats of linear layers); 0 for none.
    contexts : int
        Independent streams whose states are kept.
    fan_in : int
        Operands added between two registers of a PE's tree: more is fewer cycles, at a
        lower clock.
    streamed : bool
        Matrices come as a stream of words instead of from memories of the PEs.
    deep : bool
        More registers on the way to the vectors and in the lanes: a higher clock, for more
        cycles from step to step.
    pieces : int
        Cycles in which a group's word is read: matrix memories that many times narrower and
        deeper, and products in one cycle of so many.
    compact : bool
        For devices of few cells: a lane takes a unit every ``lane_period`` cycles, with one
        table and one multiplier of several steps, matrix memories have a single port, an
        instruction is read in ``program_pieces`` cycles when the one before has ended, and
        only some counters are there, of 32 bits. M = 4 E, no projectors.
    max_align : int
        Largest left shift of a product sum that the array can make, 0..7.

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
    projectors: int = 0
    linear: int = 0
    contexts: int = 1
    fan_in: int = 4
    streamed: bool = False
    deep: bool = False
    pieces: int = 1
    compact: bool = False
    max_align: int = MAX_ALIGN

    def __post_init__(self) -> None:
        counts = asdict(self)
        names = ("projectors", "linear", "streamed", "deep", "compact", "max_align")
        optional = {name: counts.pop(name) for name in names}
        _check_counts(counts)
        _check_counts({name: int(n) for name, n in optional.items()}, least=0)
        self._check_projectors()
        self._check_narrow()
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

    def _check_narrow(self) -> None:
        if self.max_align > MAX_ALIGN:
            raise DesignError(f"max_align = {self.max_align}: must be 0 to {MAX_ALIGN}")
        if self.pieces > 1 and self.streamed:
            raise DesignError(
                f"pieces = {self.pieces}: a streamed design has no matrix memories to be "
                "narrow; take pieces = 1"
            )
        if self.pieces > 1 and self.deep and not self.compact:
            raise DesignError(
                f"pieces = {self.pieces}: a deep design is not proven to gather words; "
                "take pieces = 1 or leave deep out"
            )
        if not self.compact:
            return
        for name in ("deep", "streamed", "projectors"):
            if value := getattr(self, name):
                raise DesignError(f"{name} = {value}: a compact design has none; leave it out")
        if self.pes != GATES * self.units:
            raise DesignError(
                f"units = {self.units}: a compact design has a lane for every {GATES} of its "
                f"pes = {self.pes}"
            )

    def _check_projectors(self) -> None:
        q, n = self.projectors, self.lanes
        if q and (self.pes % q or not (n % q == 0 or (q % n == 0 and (q // n).bit_count() == 1))):
            raise DesignError(
                f"projectors = {q}: must divide pes = {self.pes}, and divide lanes = {n} "
                "or be a power-of-two multiple of them"
            )
        if self.linear and not q:
            raise DesignError(f"linear = {self.linear}: linear layers need projectors")
        if self.fan_in < 2:
            raise DesignError(f"fan_in = {self.fan_in}: a tree adds at least 2 operands")

    @classmethod
    def for_model(
        cls,
        model: Model,
        pes: int,
        lanes: int,
        units: int | None = None,
        *,
        projectors: int | None = None,
        contexts: int = 1,
        head: bool = False,
        **options: int | bool,
    ) -> Design:
        """The smallest design of this array that holds a model.

        Parameters
        ----------
        model : Model
        pes, lanes : int
            M and N; N must divide the banks of every matrix.
        units, projectors : int, optional
            Element-wise lanes and projectors; by default the fewest that keep up with the
            products.
        contexts : int
        head : bool
            Whether the model's linear output layer runs on the array too.
        **options
            ``fan_in``, ``streamed``, ``deep``, ``pieces``, ``compact``, ``max_align``; the
            last and ``pieces`` are what the model needs if the design is compact.

        Raises
        ------
        DesignError
            If the array cannot carry the model.
        """
        from .needs import Needs

        if options.get("compact"):
            units = units or pes // GATES
        given = {"units": units, "projectors": projectors}
        counts = {"pes": pes, "lanes": lanes, "contexts": contexts}
        _check_counts(counts | {name: n for name, n in given.items() if n is not None})
        if pes % GATES:
            raise DesignError(f"pes = {pes}: must be a multiple of {GATES}, one PE a gate")
        needs = Needs(model, pes, lanes, units or 0, projectors or 0, contexts, head)
        return needs.design(**options)

    @property
    def multipliers(self) -> int:
        """Multipliers of the product array, M x N."""
        return self.pes * self.lanes

    @property
    def elementwise_multipliers(self) -> int:
        """Multipliers of the element-wise lanes: 5 interpolations and 3 products each.

        A compact lane has one interpolation; its products are made of adders.
        """
        return self.units if self.compact else 8 * self.units

    @property
    def write_ports(self) -> int:
        """Places of a vector bank that one beat writes."""
        return max(1, self.projectors // self.lanes)

    @property
    def results_per_slot(self) -> int:
        """Results that one projector takes at the end of a slot, M / Q; 0 without them."""
        return self.pes // self.projectors if self.projectors else 0

    @property
    def state_depth(self) -> int:
        """Places in the cell memory of an element-wise lane, for all contexts."""
        return self.cells if self.contexts == 1 else self.contexts << bits_for(self.cells)

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
        return self.value_bits + self.act_bits + (terms - 1).bit_length() + self.max_align

    @property
    def entry_bits(self) -> int:
        """Bits of one stored weight: value and index."""
        return self.value_bits + self.index_bits

    @property
    def word_bits(self) -> int:
        """Bits of one word of a matrix memory: a CSB group."""
        return self.lanes * self.entry_bits

    @property
    def piece_bits(self) -> int:
        """Bits of one word of a matrix memory: a group, or a piece of it."""
        return -(-self.word_bits // self.pieces)

    @property
    def row_cycles(self) -> int:
        """Most cycles in which groups of one row are read."""
        return self.row_groups * self.pieces

    @property
    def lane_period(self) -> int:
        """Fewest cycles from unit to unit of an element-wise lane."""
        return 16 if self.compact else 1

    @property
    def lane_pause(self) -> int:
        """Other than ``lane_period``, from so many cycles on any number does."""
        return 24 if self.compact else 1

    def lane_interval(self, cycles: int) -> int:
        """Cycles from unit to unit, at least so many."""
        return self.lane_period if cycles <= self.lane_period else max(cycles, self.lane_pause)

    @property
    def program_pieces(self) -> int:
        """Cycles in which an instruction is read, a power of two."""
        return 8 if self.compact else 1

    @property
    def counter_bits(self) -> int:
        """Bits of a performance counter."""
        return 32 if self.compact else 64

    @property
    def bias_bits(self) -> int:
        """Bits of one word of a bias memory: the four biases of a unit."""
        return GATES * self.state.width


def check_supported(model: Model, *, head: bool = False) -> None:
    """Raise a :class:`DesignError` that names what the accelerator cannot run, if anything."""
    for n, layer in enumerate(model.layers):
        width = model.layers[0].hidden.width
        for name, fixed in (("x", layer.input), ("h", layer.hidden), ("output", layer.output)):
            if fixed.width != width:
                raise DesignError(
                    f"{name} of layer {n} has {fixed.width} bits, h of the first layer {width}: "
                    "the array has one width; quantise all activations with the same act_bits"
                )
    if head and model.head is None:
        raise DesignError("the model has no linear output layer: pack it with its classifier")
    if head and model.directions == 2:
        raise DesignError(
            "the linear output layer reads both directions, which end in different cycles: "
            "leave it to the host (head=False)"
        )


def _check_counts(counts: Mapping[str, object], least: int = 1) -> None:
    for name, value in counts.items():
        if not isinstance(value, int) or value < least:
            raise DesignError(f"{name} = {value!r}: must be a whole number of at least {least}")
