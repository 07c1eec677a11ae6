"""The parameters of an array, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from csb_format.cells import LSTM, cell_named
from csb_format.cells.cell import Cell
from csb_format.fixed import Fixed
from csb_format.precision import Precision
from csb_format.scales import MAX_ALIGN

from ..addresses import bits_for

if TYPE_CHECKING:
    from ..screen.design import ScreenDesign

__all__ = ["MOST_BACK", "PART_PLACES", "Parameters"]

PART_PLACES = 64  # of a memory that look-up tables of six inputs are
MOST_BACK = 8  # frames back that are told apart; what is further back has long come home


@dataclass(frozen=True)
class Parameters:
    """An accelerator of ``pes`` x ``lanes`` multipliers and its memories.

    Parameters
    ----------
    pes : int
        M, rows worked on at once; of an LSTM a multiple of 4 (the gates of a unit lie side by
        side).
    lanes : int
        N, multipliers of a PE and banks of a vector.
    units : int
        E, element-wise lanes; at most the units whose rows PEs have room for, ``pes`` or, of an
        LSTM, ``pes / 4``. Divides ``lanes`` or is a power-of-two multiple of it: then a bank has
        ``E / N`` write ports. PEs beyond a multiple of E have no rows.
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
        none. At most ``pes``; else as ``units``.
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
    cell : str
        Of the element-wise lanes, a name of ``csb_format.cells.CELLS``.
    reach : int
        Of their pre-activations, biases and cell states; see :class:`csb_format.cells.cell.Cell`.
    wider : tuple of int
        Other reaches that layers may have, ascending, all above ``reach``: lanes then take the
        layer's from its instructions. None by default: one for all.
    by_gate : bool
        Rows of one gate in a slot, which takes the cycles of what this gate keeps. Of cells whose
        gates would lie side by side PEs keep the sums of a unit until its last is there.
    checked : bool
        A parity bit with every word of the matrix, bias, program and vector memories, with every
        beat of a frame, and a check word behind every load packet; :mod:`compiler.lower.parity`.
    train : int
        Weights of a PE that can learn on the array, from the first of the linear output layer on:
        places in its memory of masters; 0 for none. See :mod:`compiler.learn`.
    walk : bool
        Of a checked design: in cycles in which nobody reads them the memories that a program only
        reads are held against their check; :mod:`compiler.lower.walk`.
    backward : bool
        Of a design that trains: its recurrent layers learn too. Gates leave beside the states, of
        all layers, PEs have accumulators of columns, and sums may be shifted by up to
        ``MOST_ALIGN``.
    forward : int
        Bits of sums of the forward pass, where those that a design learns from have more: of what
        is parked, of lanes, projectors and biases of a linear layer. 0: as many, ``acc_bits``.
    screen : ScreenDesign, optional
        The unit behind the array that finds the largest logits of a screened head.
    indexed : int
        Places of the matrix memory of a PE (groups), from the first on, that have an index beside
        each weight. Behind them lie rows of dense layers, whose weights are taken in the order of
        the vector. 0: all places have indices.
    row_bits : int
        Of a weight of the linear output layer, 4..``value_bits``: a word has the weights of several
        groups, and each row's sum is shifted left. Of a design with ``indexed`` alone; 0 for none.
    row_shift : int
        Most bits that a row's sum is shifted by.
    parts : bool
        A vector bank is several memories of up to ``PART_PLACES`` places that are read within a
        cycle: for devices whose look-up tables are such memories. Cycles stay what they are.
    block_banks : bool
        Banks are block memories, whatever their size: for devices with blocks to spare, which
        look-up tables run out in. Not with ``parts``.
    unguarded : bool
        Synthesis is told that no place of a vector bank is read in the cycle that writes it, as
        none is whose element counts; block RAMs then need nothing beside them.
    spread : int
        PEs, the last ones, whose matrix memories are look-up tables: where a device has too few
        blocks for all of them. 0: synthesis chooses.
    rectified : bool
        Results of a linear layer may be what the next one takes: with their bias, through a ReLU,
        rounded and saturated they are written to the vectors. So heads of several layers run.
    batched : bool
        Of a streamed design: frames of all ``contexts`` are worked on together. A word of the
        matrices is used for each stream that is there before the next one is taken; see
        :mod:`compiler.array.batch`.
    shallow : bool
        Fewer registers in PEs, lanes and output buffer: fewer cycles from step to step and to the
        last beat out, at a lower clock. docs/schedule.md says which.
    slot_units, slot_results : int
        Units that an element-wise lane takes at the end of a slot, results that a projector
        does; 0 for as many as PEs have room for. PEs beyond them have no rows.
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
    value_bits: int = Precision.value_bits
    act_bits: int = Precision.act_bits
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
    cell: str = LSTM
    reach: int = Precision.reach
    wider: tuple[int, ...] = ()
    by_gate: bool = False
    checked: bool = False
    train: int = 0
    walk: bool = False
    backward: bool = False
    forward: int = 0
    screen: ScreenDesign | None = None
    indexed: int = 0
    row_bits: int = 0
    row_shift: int = 0
    parts: bool = False
    unguarded: bool = False
    block_banks: bool = False
    spread: int = 0
    rectified: bool = False
    batched: bool = False
    shallow: bool = False
    slot_units: int = 0
    slot_results: int = 0

    @property
    def gates(self) -> int:
        """Rows of a matrix for each unit: gates of the cell."""
        return len(cell_named(self.cell).gate_names)

    @property
    def abreast(self) -> int:
        """Rows of a unit that PEs side by side work on at once."""
        return cell_named(self.cell).abreast

    @property
    def collects(self) -> bool:
        """Whether PEs keep the sums of the gates of a unit, as these come in slots of their own."""
        return self.by_gate and self.abreast > 1

    @property
    def takes_rows(self) -> bool:
        """Whether a lane takes the rows of a unit one after the other, not all at once."""
        return self.arithmetic.turns > 1

    @property
    def blocks(self) -> int:
        """Blocks of units that a round makes ready; see :class:`~compiler.array.rounds.Round`."""
        return self.abreast if self.collects else 1

    @property
    def turns(self) -> int:
        """Most slots of a round, in which the rows of a unit follow each other."""
        return self.arithmetic.turns * self.blocks

    @property
    def passes(self) -> int:
        """Passes over a matrix, each of some of its gates."""
        return len(cell_named(self.cell).passes)

    @property
    def aligns(self) -> int:
        """Most rows of a unit in a pass."""
        return max(map(len, self.arithmetic.kinds))

    @property
    def shifts(self) -> int:
        """Most sums of a unit that an element-wise lane takes in a pass."""
        cell = self.arithmetic
        return max(len(cell.sums_of(kind)) for kind in range(self.passes))

    @property
    def sums(self) -> int:
        """Sums of products, and biases, of each unit."""
        return len(cell_named(self.cell).sums)

    @property
    def multipliers(self) -> int:
        """Multipliers of the product array, M x N."""
        return self.pes * self.lanes

    @property
    def elementwise_multipliers(self) -> int:
        """Multipliers of the element-wise lanes: of an LSTM 5 interpolations and 3 products each.

        A compact lane has one interpolation; its products are made of adders.
        """
        cell = cell_named(self.cell)
        products = cell.tables + cell.narrow_products + cell.wide_products
        return self.units if self.compact else products * self.units

    @property
    def write_ports(self) -> int:
        """Places of a vector bank that one beat writes."""
        return max(1, self.projectors // self.lanes, self.units // self.lanes)

    @property
    def bank_depth(self) -> int:
        """Places of a vector bank that one of its write ports writes."""
        return -(-self.vector_depth // self.write_ports)

    @property
    def bank_parts(self) -> tuple[int, ...]:
        """Places of the memories that such a bank, or its share of a write port, is made of."""
        if not self.parts:
            return (self.bank_depth,)
        whole, rest = divmod(self.bank_depth, PART_PLACES)
        return (*[PART_PLACES] * whole, *[rest] * bool(rest))

    @property
    def frames_back(self) -> int:
        """How far back the last frame of a frame's stream is, at most: all further ones are alike.

        With one context or two the one before, or another; so it is said where frames of all
        contexts run together, of which none waits for that of a stream in between.
        """
        if self.batched:
            return 2
        return max(2, min(self.contexts, MOST_BACK))

    @property
    def batch(self) -> int:
        """B, streams whose frames are worked on together."""
        return self.contexts if self.batched else 1

    @property
    def stream_bits(self) -> int:
        """Bits that name one of these in an address; none where there is but one."""
        return (self.batch - 1).bit_length()

    @property
    def frame_ports(self) -> int:
        """Places of a bank that a beat of input fills: as many as a beat of states."""
        return max(1, self.units // self.lanes)

    @property
    def results_per_slot(self) -> int:
        """Results that one projector takes at the end of a slot, floor(M / Q); 0 without them."""
        if self.slot_results:
            return self.slot_results
        return self.pes // self.projectors if self.projectors else 0

    @property
    def state_depth(self) -> int:
        """Places in the cell memory of an element-wise lane, for all contexts."""
        return self.cells if self.contexts == 1 else self.contexts << bits_for(self.cells)

    @property
    def units_per_slot(self) -> int:
        """Units of a block that one element-wise lane takes: floor(M / 4E) of an LSTM."""
        return self.slot_units or self.pes // (self.abreast * self.units)

    @property
    def units_per_round(self) -> int:
        """Most units that one element-wise lane takes at the end of a slot."""
        return self.units_per_slot * self.blocks

    @property
    def reaches(self) -> tuple[int, ...]:
        """Those that layers may have; instructions name them by their place here."""
        return (self.reach, *self.wider)

    @property
    def arithmetic(self) -> Cell:
        """Formats and bit-exact functions of the element-wise lanes, at the least reach."""
        return self.arithmetics[0]

    @property
    def arithmetics(self) -> tuple[Cell, ...]:
        """Of each of :attr:`reaches`: other binary points in the same widths."""
        return tuple(cell_named(self.cell)(self.act_bits, reach) for reach in self.reaches)

    @property
    def gate(self) -> Fixed:
        """Format of gates and hidden state."""
        return self.arithmetic.gate

    @property
    def state(self) -> Fixed:
        """Format of pre-activations, biases and an LSTM's cell state, at the least reach."""
        return self.arithmetic.state

    @property
    def plane_bits(self) -> int:
        """Of the bus over which planes of a screen unit come; 0 without one, or with them here."""
        return self.screen.bus_bits if self.screen else 0

    @property
    def acc_bits(self) -> int:
        """Accumulator width: no sum of ``row_groups * lanes`` extreme products overflows."""
        return self.sum_bits(self.row_groups, self.max_align)

    @property
    def forward_bits(self) -> int:
        """Width of sums of the forward pass."""
        return self.forward or self.acc_bits

    def sum_bits(self, groups: int, align: int) -> int:
        """Bits of any sum of ``groups * lanes`` products that are shifted left by ``align``."""
        terms = groups * self.lanes
        weight = max(self.value_bits, self.row_bits + self.row_shift)
        return weight + self.act_bits + (terms - 1).bit_length() + align

    @property
    def entry_bits(self) -> int:
        """Bits of one stored weight: value and index."""
        return self.value_bits + self.index_bits

    @property
    def word_bits(self) -> int:
        """Bits of one word of a matrix memory: a CSB group."""
        return self.lanes * self.entry_bits

    @property
    def groups_per_word(self) -> int:
        """Groups of the linear output layer in a word of a PE, of ``row_bits`` a weight."""
        if not self.row_bits:
            return 1
        return (self.entry_bits if self.streamed else self.value_bits) // self.row_bits

    @property
    def packed_words(self) -> int:
        """Words of a stream whose indices hold one group more; :mod:`compiler.lower.packed`."""
        return -(-self.value_bits // self.index_bits)

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
        """Bits of one word of a bias memory: the biases of a unit."""
        return self.sums * self.state.width
