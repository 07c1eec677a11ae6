"""What every recurrent cell brings: gates, sums, formats, integers; and which cells there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ..fixed import Fixed, IntArray, round_shift, saturate
from ..precision import Precision
from .piecewise import Piecewise

__all__ = ["Cell", "Sum", "reach_of", "reaches", "reaches_of"]


class Sum(NamedTuple):
    """A sum of products that the element-wise lane takes of a unit, with a bias of its own.

    Parameters
    ----------
    name : str
    gate : int
        Whose row it is, among ``Cell.gate_names``.
    input, recurrent : bool
        Whether the products of ``weight_ih`` and of ``weight_hh`` are in it.
    reset : bool
        Whether those of ``weight_hh`` are with ``r * h``, not with h; see :meth:`Cell.reset`.
    """

    name: str
    gate: int
    input: bool = True
    recurrent: bool = True
    reset: bool = False


def reaches(act_bits: int) -> tuple[int, ...]:
    """What ``Cell.reach`` may be at a width of activations: 3 fraction bits are left."""
    return tuple(reach for reach in Precision.reaches if reach <= 1 << (act_bits - 2))


def reach_of(state: Fixed) -> int:
    """The reach that a format of states has: 16 of [-16, 16)."""
    return 1 << max(0, state.width - 1 - state.frac)


def reaches_of(given: int | Sequence[int], layers: int) -> tuple[int, ...]:
    """One of each layer, where one of all or one of each is given.

    Raises
    ------
    ValueError
        For another number of them.
    """
    if not isinstance(given, Sequence):
        return (given,) * layers
    if len(given) != layers:
        said = ", ".join(map(str, given))
        raise ValueError(
            f"reach {said} (--cell-range): {len(given)} of {layers} layers, each direction of a "
            "layer counts, forward first; give one for all or one for each"
        )
    return tuple(given)


@dataclass(frozen=True)
class Cell:
    """A cell: its gates, and rounding and saturation points of the element-wise unit.

    A cell names its gates and sums, says how the array deals them, and computes in integers;
    :mod:`compiler.array.latency` and :mod:`hdl.core.lanes` have the latency and the lane of each
    by its ``name``.

    Parameters
    ----------
    act_bits : int
        Width of activations, 6 to 18.
    reach : int
        Of pre-activations and biases, and of the cell state of an LSTM: they lie in
        [-reach, reach). 8, 16, 32, 64 or 128, and at most ``2**(act_bits - 2)``.

    Raises
    ------
    ValueError
        For another width or reach.
    """

    act_bits: int = Precision.act_bits
    reach: int = Precision.reach

    #: Of the cell, where lanes, latencies and files are chosen by it.
    name: ClassVar[str]
    #: For people, with its article.
    title: ClassVar[str]
    #: Gates in the order of the rows of a matrix: H rows of each, as torch has them.
    gate_names: ClassVar[str]
    #: What a lane takes of a unit. Biases and pre-activations are in this order.
    sums: ClassVar[tuple[Sum, ...]]
    #: Passes that an array makes over a matrix, and the gates of each in the order of their rows.
    passes: ClassVar[tuple[str, ...]]
    #: Rows of a unit that PEs side by side work on at once. The others follow in later slots of
    #: the same PEs, and the unit is ready with the last of these.
    abreast: ClassVar[int]
    #: Whether ``weight_hr`` may follow it, as in ``torch.nn.LSTM``.
    projects: ClassVar[bool] = False
    #: Whether a compact design has a lane for it.
    compact: ClassVar[bool] = False
    #: Of a lane: tables, products of two gates, and products of a gate and a number of ``state``
    #: width.
    tables: ClassVar[int]
    narrow_products: ClassVar[int]
    wide_products: ClassVar[int]

    def __post_init__(self) -> None:
        if not 6 <= self.act_bits <= 18:
            raise ValueError(f"activation width {self.act_bits}: choose 6 to 18 bits")
        there = reaches(self.act_bits)
        if self.reach not in there:
            raise ValueError(
                f"reach {self.reach} of the cell's states, at {self.act_bits} bits of activations: "
                f"choose {', '.join(map(str, there))}"
            )

    @property
    def kinds(self) -> tuple[tuple[int, ...], ...]:
        """Gates of each of :attr:`passes`, by their numbers."""
        return tuple(tuple(map(self.gate_names.index, names)) for names in self.passes)

    @property
    def turns(self) -> int:
        """Most slots in which the rows of a unit follow each other in a pass."""
        return max(map(len, self.kinds)) // self.abreast

    def sums_of(self, kind: int) -> tuple[int, ...]:
        """Numbers of the sums that a lane takes of a unit in a pass."""
        return tuple(n for g in self.kinds[kind] for n, s in enumerate(self.sums) if s.gate == g)

    def gives(self, kind: int) -> str:
        """What a lane puts out in a pass: ``"state"``, ``"reset"`` or nothing, a gate to keep.

        The last pass gives the new state, the one with the first sum what :meth:`reset` makes.
        """
        if kind == len(self.passes) - 1:
            return "state"
        return "reset" if self.resets and 0 in self.sums_of(kind) else ""

    @property
    def apart(self) -> tuple[int, ...]:
        """Gates whose two products do not meet: both sums go to the lane."""
        return tuple(s.gate for s in self.sums if not s.input)

    @property
    def resets(self) -> tuple[int, ...]:
        """Gates whose rows of ``weight_hh`` wait for r, as they take ``r * h``."""
        return tuple(s.gate for s in self.sums if s.reset)

    @property
    def gate(self) -> Fixed:
        """Format of gates and hidden state, [-1, 1)."""
        return Fixed(self.act_bits, self.act_bits - 1)

    @property
    def state(self) -> Fixed:
        """Format of pre-activations and biases, [-reach, reach)."""
        return Fixed(self.act_bits + 2, self.act_bits + 2 - self.reach.bit_length())

    @property
    def taped(self) -> dict[str, Fixed]:
        """What a step back needs of a unit beside its states, in the order in which it leaves."""
        return dict.fromkeys(self.gate_names, self.gate)

    @property
    def kept(self) -> Fixed:
        """Format of what a lane keeps of a unit from step to step, as wide as ``state``."""
        return self.state

    @property
    def piecewise(self) -> Piecewise:
        """Sigmoid and tanh between these formats."""
        return Piecewise(self.state, self.gate)

    def preactivation(self, total: IntArray, bias: IntArray, shift: int) -> IntArray:
        """Round exact sums to ``state`` format and add the bias.

        Parameters
        ----------
        total : int64 array
            Sums of products, ``state.frac + shift`` fraction bits.
        bias : int64 array
            In ``state`` format.
        shift : int
            0..63.

        Returns
        -------
        int64 array
            Saturated to ``state``.
        """
        return saturate(round_shift(total, shift) + bias, self.state.width)

    def reset(self, r: IntArray, kept: IntArray) -> IntArray:
        """What the rows of :attr:`resets` take in the place of h.

        Parameters
        ----------
        r : int64 array
            Pre-activations of the first sum in ``state`` format.
        kept : int64 array
            In ``kept`` format.

        Returns
        -------
        int64 array
            In ``gate`` format.
        """
        raise NotImplementedError

    def step(self, pre: tuple[IntArray, ...], kept: IntArray) -> tuple[IntArray, IntArray]:
        """One update of any number of units.

        Parameters
        ----------
        pre : int64 arrays
            Pre-activations of the sums in ``state`` format.
        kept : int64 array
            In ``kept`` format.

        Returns
        -------
        h, kept : int64 arrays
            In ``gate`` and ``kept`` format.
        """
        raise NotImplementedError
