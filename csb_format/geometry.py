"""The shape of a bank-balanced matrix: one validated object that every room shares."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction

from .precision import Precision

__all__ = [
    "MAX_BANK_WIDTH",
    "MAX_SPARE",
    "MAX_VALUE_BITS",
    "MIN_VALUE_BITS",
    "Geometry",
    "most_banks",
]

MIN_VALUE_BITS = 4
# Two 18-bit operands are what one multiplier of the common FPGA families takes.
MAX_VALUE_BITS = 18
# In-bank indices are stored as uint16.
MAX_BANK_WIDTH = 1 << 16
# Banks that a matrix of fewer columns may have, for arrays of so many lanes; every row stores them.
MAX_SPARE = 64


def most_banks(columns: int) -> int:
    """Most banks of a row: one a column, or as many as a narrow input on wide arrays may have."""
    return max(columns, MAX_SPARE)


@dataclass(frozen=True)
class Geometry:
    """Shape, banks and kept weights of one bank-balanced matrix.

    Columns are cut into contiguous banks: column ``c`` lies in bank ``c // bank_width``
    at index ``c % bank_width``. The last banks may be partly or wholly padding.

    Parameters
    ----------
    rows, columns : int
        Shape of the dense matrix, each at least 1.
    banks : int
        Banks in a row, 1 to :func:`most_banks`. Those beyond the columns are padding.
    nonzeros : int
        Weights kept in every bank of every row (the paper's k), 0..bank_width.
    value_bits : int
        Width of a stored two's complement value, 4..18.
    bank_width : int
        Columns in a bank, padding included, at most 65536. 0 (the default) takes
        ``ceil(columns / banks)``; only :meth:`merged` needs a larger one, because merged
        banks keep the padding of the banks they are made of.
    parts : tuple of int
        k of each equal part of the rows, from the first row on, where parts differ: of the gates
        of a cell. ``nonzeros`` is the largest of them. Empty (the default) where all rows keep
        ``nonzeros``; parts that are all equal become that.

    Raises
    ------
    ValueError
        For a field outside its range; the message says how to mend it.
    """

    rows: int
    columns: int
    banks: int
    nonzeros: int
    value_bits: int = Precision.value_bits
    bank_width: int = 0
    parts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "parts":
                object.__setattr__(self, field.name, _whole(field.name, getattr(self, field.name)))
        self._check_shape()
        self._set_bank_width()
        self._check_entries()
        self._set_parts()

    def _check_shape(self) -> None:
        for name in ("rows", "columns"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)}: must be at least 1")
        most = most_banks(self.columns)
        if not 1 <= self.banks <= most:
            mend = "choose fewer banks" if self.banks > most else "use 1 for a single bank"
            raise ValueError(
                f"banks {self.banks}: must be 1 to {most} for {self.columns} columns; {mend}"
            )

    def _set_bank_width(self) -> None:
        least = -(-self.columns // self.banks)
        width = self.bank_width or least
        if width < least:
            raise ValueError(
                f"bank_width {width}: {self.banks} banks hold {self.banks * width} of "
                f"{self.columns} columns; use at least {least}, or leave it out"
            )
        if width > MAX_BANK_WIDTH:
            raise ValueError(
                f"bank_width {width}: an index has 16 bits, so at most {MAX_BANK_WIDTH}; "
                f"use at least {-(-self.columns // MAX_BANK_WIDTH)} banks"
            )
        object.__setattr__(self, "bank_width", width)

    def _check_entries(self) -> None:
        if not 0 <= self.nonzeros <= self.bank_width:
            raise ValueError(
                f"nonzeros {self.nonzeros}: a bank is {self.bank_width} columns wide, "
                f"so keep 0 to {self.bank_width} of them"
                + ("" if self.nonzeros < 0 else ", or use fewer banks")
            )
        if not MIN_VALUE_BITS <= self.value_bits <= MAX_VALUE_BITS:
            raise ValueError(
                f"value_bits {self.value_bits}: must be {MIN_VALUE_BITS} to {MAX_VALUE_BITS}"
            )

    def _set_parts(self) -> None:
        parts = tuple(_whole("parts", k) for k in self.parts)
        if parts and (self.rows % len(parts) or max(parts) != self.nonzeros or min(parts) < 0):
            raise ValueError(
                f"parts {parts}: give k of each equal part of the {self.rows} rows, none below 0 "
                f"and the largest of them as nonzeros, which is {self.nonzeros}"
            )
        object.__setattr__(self, "parts", parts if len(set(parts)) > 1 else ())

    @classmethod
    def of_parts(
        cls,
        rows: int,
        columns: int,
        banks: int,
        parts: Sequence[int],
        value_bits: int = Precision.value_bits,
        bank_width: int = 0,
    ) -> Geometry:
        """The geometry of a matrix whose equal parts of rows keep ``parts`` weights a bank.

        Parameters
        ----------
        rows, columns, banks, value_bits, bank_width : int
            As in :class:`Geometry`.
        parts : sequence of int
            At least one; as many as divide the rows.

        Raises
        ------
        ValueError
            As :class:`Geometry`.
        """
        return cls(rows, columns, banks, max(parts), value_bits, bank_width, tuple(parts))

    @classmethod
    def nearest(
        cls,
        rows: int,
        columns: int,
        banks: int,
        sparsity: float,
        value_bits: int = Precision.value_bits,
        minimum: int = 1,
    ) -> Geometry:
        """The geometry whose achieved sparsity is nearest to a requested one.

        Parameters
        ----------
        rows, columns, banks, value_bits : int
            As in :class:`Geometry`.
        sparsity : float
            Share of weights to remove, 0..1. A number half way between two achievable
            ones keeps more weights.
        minimum : int
            Fewest weights kept in a bank, 0..bank_width.

        Raises
        ------
        ValueError
            For a sparsity or minimum outside its range, or any bad geometry field.
        """
        if not 0 <= sparsity <= 1:
            raise ValueError(
                f"sparsity {sparsity}: must be 0 to 1; it is the share of weights removed "
                "(0.875, not 87.5)"
            )
        widest = cls(rows, columns, banks, 0, value_bits)
        if not 0 <= minimum <= widest.bank_width:
            raise ValueError(
                f"minimum {minimum}: a bank is {widest.bank_width} columns wide, "
                f"so keep 0 to {widest.bank_width}"
            )
        # The decimal that was written, not its binary neighbour, decides ties.
        kept = columns * (1 - Fraction(repr(float(sparsity))))
        sizes = widest.bank_columns
        best = min(
            range(minimum, widest.bank_width + 1),
            key=lambda k: (abs(sum(min(k, size) for size in sizes) - kept), -k),
        )
        return cls(rows, columns, banks, best, value_bits)

    def merged(self, factor: int) -> Geometry:
        """The geometry after every ``factor`` adjacent banks become one.

        The padded width stays the same, so the result's ``bank_width`` is explicit.

        Parameters
        ----------
        factor : int
            At least 1, must divide ``banks``.

        Raises
        ------
        ValueError
            If ``factor`` does not divide the banks.
        """
        if factor < 1 or self.banks % factor:
            allowed = ", ".join(str(f) for f in range(1, self.banks + 1) if self.banks % f == 0)
            raise ValueError(
                f"merge factor {factor}: must divide the {self.banks} banks; use one of {allowed}"
            )
        return Geometry(
            self.rows,
            self.columns,
            self.banks // factor,
            self.nonzeros * factor,
            self.value_bits,
            self.bank_width * factor,
            tuple(k * factor for k in self.parts),
        )

    @property
    def split(self) -> tuple[Geometry, ...]:
        """Geometries of the parts of the rows, each with one k; of one k, itself."""
        if not self.parts:
            return (self,)
        rows = self.rows // len(self.parts)
        return tuple(replace(self, rows=rows, nonzeros=k, parts=()) for k in self.parts)

    @property
    def padded_columns(self) -> int:
        """Columns with padding: ``banks * bank_width``."""
        return self.banks * self.bank_width

    @property
    def padding_columns(self) -> int:
        """Columns that exist only to fill the last banks."""
        return self.padded_columns - self.columns

    @property
    def bank_columns(self) -> tuple[int, ...]:
        """Real columns of every bank; less than ``bank_width`` where padding starts."""
        width = self.bank_width
        return tuple(max(0, min(width, self.columns - b * width)) for b in range(self.banks))

    @property
    def index_bits(self) -> int:
        """Bits of an in-bank index: ``ceil(log2(bank_width))``, 0 for a width of 1."""
        return (self.bank_width - 1).bit_length()

    @property
    def kept_text(self) -> str:
        """The k for people: ``"5"``, or ``"5/3/4/6"`` of parts."""
        return "/".join(map(str, self.parts or [self.nonzeros]))

    @property
    def slots(self) -> int:
        """Stored entries, padding entries included: ``rows * banks * nonzeros`` of each part."""
        return sum(part.rows * part.banks * part.nonzeros for part in self.split)

    @property
    def real_nonzeros(self) -> int:
        """Kept weights of a matrix packed in this geometry, padding entries left out.

        A matrix whose banks were merged may keep fewer, see :attr:`.Csb.real_nonzeros`.
        """
        sizes = self.bank_columns
        return sum(g.rows * sum(min(g.nonzeros, size) for size in sizes) for g in self.split)

    @property
    def sparsity(self) -> float:
        """Achieved sparsity: ``1 - real_nonzeros / (rows * columns)``."""
        return 1 - self.real_nonzeros / (self.rows * self.columns)

    @property
    def bits_per_nonzero(self) -> int:
        """Stored bits of one entry, value and index: 22 for 16-bit values in banks of 64."""
        return self.value_bits + self.index_bits

    @property
    def packed_bits(self) -> int:
        """Exact size of the packed matrix; there are no row pointers, k is constant in a part."""
        return self.slots * self.bits_per_nonzero


def _whole(name: str, value: object) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"{name} {value!r}: must be a whole number") from None
