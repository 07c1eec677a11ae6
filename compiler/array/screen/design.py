"""The screen unit: what is fixed when it is generated.

Rows of a :class:`~csb_format.screening.layer.ScreenedLayer` go through three stages that run at the
same time, each on its own lanes, and queues of survivors lie between::

    blocks --> digits of first planes --> second planes --> whole rows --> the largest so far

A stage takes a row when the queue behind it has room; what its bound proves to be out is dropped.
The second and third stages share lanes, and whole rows go first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csb_format.arguments import whole
from csb_format.precision import Precision
from csb_format.scales import DesignError
from csb_format.screening.bounds import BLOCK, FRACTION, lift_of, second_shift
from csb_format.screening.layer import MOST_COLUMNS, ScreenedLayer

from ..addresses import bits_for

__all__ = ["BUS_BITS", "LARGEST", "MOST_TOP", "PLANES_PORTS", "ScreenDesign"]

MOST_TOP = 8
#: Widths of a bus that planes come over.
BUS_BITS = (64, 128, 256, 512)
#: What the ports to a memory with planes begin with, wherever there may be others.
PLANES_PORTS = "m_axi_planes"
#: Logits that are found where nobody says how many.
LARGEST = 5
#: Places of the queue behind first planes, at most: words of a memory block of most FPGAs.
_SURVIVORS = 1024

# of numbers that follow from a head
_MOST = {
    "rows": 1 << 24, "columns": MOST_COLUMNS, "low_bits": 16, "logit_bits": 62, "bound_bits": 62,
    "prior_shift": 62, "far_shift": 62, "norm_shift": 62, "typical": 1 << 32, "places": 1 << 16,
    "bank_width": 1 << 16,
}  # fmt: skip


@dataclass(frozen=True)
class ScreenDesign:
    """A screen unit for heads of one size.

    Parameters
    ----------
    rows, columns : int
        O and H of the head.
    top : int
        k, logits that it finds: 1..8, at most ``rows``.
    digits : int
        S, lanes of the first plane.
    lanes : int
        R, lanes of all other planes, each a multiplier; a multiple of ``elements``.
    elements : int
        E, elements of a hidden state that come in a cycle.
    low_bits, logit_bits, bound_bits : int
        Bits of a weight's lowest digits, of a logit, of a bound (in whole logits).
    prior_shift, far_shift, norm_shift, typical : int
        Numbers of the head as a whole, :class:`~csb_format.screening.layer.Shifts`.
    act_bits : int
        Bits of an element, 8..16.
    places : int
        Of a hidden state as it comes, those of no column included; 0 for as many as columns.
    bank_width : int
        w, places in a bank of the array whose states it takes; 0 behind none.
    blocks_ahead, survivors, finalists : int
        Places of the queues behind blocks, first and second planes. Rows that come early in the
        order often survive, later ones hardly ever: only a deep queue behind first planes lets
        both stages work all the time. ``survivors`` 0 is as many as rows, up to 1,024.
    bus_bits : int
        Of a beat of the bus over which planes come from a memory outside, one of :data:`BUS_BITS`;
        0: they lie in memories of the unit. :func:`~compiler.array.screen.bus.outside` makes such
        a design.

    Raises
    ------
    DesignError
        If one of these does not hold.
    """

    rows: int
    columns: int
    top: int
    digits: int
    lanes: int
    elements: int
    low_bits: int
    logit_bits: int
    bound_bits: int
    prior_shift: int
    far_shift: int
    norm_shift: int
    typical: int
    act_bits: int = Precision.act_bits
    places: int = 0
    bank_width: int = 0
    blocks_ahead: int = 4
    survivors: int = 0
    finalists: int = 4
    bus_bits: int = 0

    def __post_init__(self) -> None:
        if not self.survivors:
            object.__setattr__(self, "survivors", min(_SURVIVORS, self.rows))
        try:
            whole("top", self.top, 1, min(MOST_TOP, self.rows))
            whole("act_bits", self.act_bits, 8, 16)
            for name in ("digits", "lanes", "elements", "survivors", "finalists", "blocks_ahead"):
                whole(name, getattr(self, name), 1, 4096)
            for name, most in _MOST.items():  # plain numbers, as they go into JSON and hashes
                object.__setattr__(self, name, whole(name, getattr(self, name), 0, most))
        except ValueError as error:
            raise DesignError(str(error)) from error
        object.__setattr__(self, "places", max(self.places, self.columns))
        if self.bus_bits not in (0, *BUS_BITS):
            raise DesignError(
                f"bus_bits = {self.bus_bits} of a screen: must be one of "
                f"{', '.join(map(str, BUS_BITS))}, or 0 for planes on the chip"
            )
        if self.lanes % self.elements:
            raise DesignError(
                f"lanes = {self.lanes} of a screen: must be a multiple of its elements = "
                f"{self.elements}"
            )

    @classmethod
    def of(
        cls,
        layer: ScreenedLayer,
        *,
        top: int,
        digits: int,
        lanes: int,
        elements: int = 1,
        places: int = 0,
        bank_width: int = 0,
    ) -> ScreenDesign:
        """The unit for a head, with the least widths that hold all its numbers.

        Parameters
        ----------
        layer : ScreenedLayer
        top, digits, lanes, elements, places, bank_width : int
        """
        shifts = layer.shifts
        logit, bound = _widths(layer)
        return cls(
            layer.output_size, layer.input_size, top, digits, lanes, elements, _low_bits(layer),
            logit, bound, shifts.prior, shifts.far, shifts.norm, shifts.typical,
            max(8, layer.input.width), places, bank_width,
        )  # fmt: skip

    @property
    def groups(self) -> int:
        """Words of a row's first plane."""
        return -(-self.places // self.digits)

    @property
    def words(self) -> int:
        """Words of a row's other planes, each."""
        return -(-self.places // self.lanes)

    @property
    def beats(self) -> int:
        """Beats in which a hidden state comes."""
        return -(-self.places // self.elements)

    @property
    def blocks(self) -> int:
        """Blocks of rows."""
        return -(-self.rows // BLOCK)

    @property
    def lift(self) -> int:
        """See :func:`csb_format.screening.bounds.lift_of`."""
        return lift_of(self.columns)

    @property
    def row_bits(self) -> int:
        """Bits of a row's number, and of an output's."""
        return bits_for(self.rows)

    @property
    def square_bits(self) -> int:
        """Bits of a sum of squares of elements, even: two bits are one of the root."""
        return 2 * (-(-(2 * self.act_bits + self.columns.bit_length()) // 2))

    @property
    def norm_bits(self) -> int:
        """Bits of a norm of a hidden state, rounded up."""
        return self.square_bits // 2 + 1

    @property
    def reach_bits(self) -> int:
        """Bits of ``|y| + 16 |z|``."""
        return self.norm_bits + 5

    @property
    def exact_cycles(self) -> int:
        """Cycles of a whole row: two passes, and no row ends before the list has taken the last."""
        return max(2 * self.words, self.top + 2)

    @property
    def bits_per_weight(self) -> float:
        """Bits of on-chip memory for each weight, everything counted.

        The second stage reads its signs and sizes from a copy, so that no stage waits for the
        memory of another: two bits more than in a file.
        """
        first = 2 * self.digits * self.groups + 32
        refined = (5 + self.low_bits) * self.lanes * self.words
        beside = self.second_bits + self.logit_bits + self.row_bits
        return (first + refined + beside + 32 / BLOCK) / self.columns

    @property
    def second_bits(self) -> int:
        """Bits that are stored of a row for its second bound: prior, norm, shifts, fold."""
        return 12 + 16 + 4 + 4 + 4 + 2


def _low_bits(layer: ScreenedLayer) -> int:
    cells = layer.rows.cells
    whole_bits = np.where(cells.fold > 0, cells.width - 4, cells.width - 5)
    doubled = cells.width - 5 - cells.fold == 0  # halves are stored there
    return max(1, int((whole_bits + doubled).max()))


def _widths(layer: ScreenedLayer) -> tuple[int, int]:
    """Bits of the largest logit, and of the largest bound, that any hidden state can give."""
    rows, blocks, columns = layer.rows, layer.blocks, layer.input_size
    lift, span = lift_of(columns), 1 << layer.input.width
    size = abs(layer.weight).sum(axis=1) * (span >> 1) + abs(layer.bias)
    prior = abs(rows.prior) << rows.prior_shift
    # |y| and |h| are below a root of the columns times the span, and so is 16 |z|
    reach = 2 * span << lift
    first = (3 * rows.scale * columns * span + (rows.norm << lift) * reach) << rows.exponent
    second = (rows.second << second_shift(rows.cells, lift)) * reach
    sums = 128 * columns * span << (rows.cells.unit + 1)
    far = abs(blocks.far) << blocks.far_shift
    far = far + ((blocks.most << blocks.norm_shift) * max(blocks.typical, span << lift))
    bounds = np.maximum(first >> FRACTION, (second >> FRACTION) + sums) + prior
    most = max(int(bounds.max()), int(far.max()), int(size.max()))
    return int(size.max()).bit_length() + 1, most.bit_length() + 1
