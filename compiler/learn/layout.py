"""Where gradients, inputs and masters of a batch lie in an array that trains."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

import numpy as np

from csb_format.fixed import IntArray
from csb_format.scales import DesignError
from csb_format.words import join_fields

from ..array.design import Design
from ..array.widths import row_left
from ..lower.learning.masters import first_master, layer_of, learning_pass
from ..lower.load import Space, packet
from ..lower.passes import HEAD, Pass
from ..lower.plan import Plan
from .packets import marked_words

__all__ = ["GRADIENT_BITS", "LearningLayout"]

GRADIENT_BITS = 16  # of the head's gradients


@dataclass(frozen=True)
class LearningLayout:
    """Places of what an update of a matrix reads.

    The product of gradients and inputs runs on the multipliers, tree and accumulators of the
    forward pass: answers of a batch take the place of banks. Of answer f the inputs lie in bank
    ``f mod N``, at the place of the weight's column (the *tape*), and its gradients are the values
    of words of a PE (behind those of the matrices). So a weight's sum takes ``ceil(F / N)`` cycles
    for each digit that gradients are cut into, and needs no accumulator of its own.

    Parameters
    ----------
    plan : Plan
        With the linear output layer.
    answers : int
        F, most answers of a batch; of a recurrent layer its steps in all sequences.
    chosen : Pass, optional
        Whose weights learn; by default that of the linear output layer.
    bits : int
        Of gradients.
    """

    plan: Plan
    answers: int
    chosen: Pass | None = None
    bits: int = GRADIENT_BITS

    @property
    def design(self) -> Design:
        """The array."""
        return self.plan.design

    @cached_property
    def given(self) -> Pass:
        """The pass whose weights learn."""
        return self.chosen or learning_pass(self.plan)

    @property
    def masters(self) -> int:
        """Place of its first master."""
        word = self.given.instruction.matrix - first_master(self.plan)
        return word * self.design.lanes

    @property
    def groups(self) -> int:
        """CSB groups of a row."""
        return self.given.instruction.groups

    @property
    def slots(self) -> int:
        """Rows of a PE."""
        return self.given.placement.slots

    @cached_property
    def fracs(self) -> IntArray:
        """Fraction bits of weights by row, int64 (rows,)."""
        shape, given = self.plan.shape, self.given
        if given.matrix == HEAD:
            assert shape.head is not None
            formats = (shape.head.weight_format,)
        else:
            layer = shape.layers[layer_of(self.plan, given)]
            found = getattr(layer, f"{given.matrix}_format", None)
            formats = (found,) if found else getattr(layer, f"{given.matrix}_formats")
        fracs = np.array([f.frac for f in formats], np.int64)
        return np.repeat(fracs, given.geometry.rows // len(formats))

    @property
    def abreast(self) -> IntArray:
        """Left shifts of the sums of each gate whose rows PEs side by side have, to one format.

        Int64 (abreast,), of the update: the coarsest of all.
        """
        gates = self.fracs.reshape(self.given.placement.abreast, -1)[:, 0]
        lefts: IntArray = gates - self.fracs.min()
        return lefts

    @property
    def in_turn(self) -> bool:
        """Whether PEs work on rows of several formats one after the other."""
        return self.given.placement.abreast == 1 and bool(np.ptp(self.fracs))

    @property
    def span(self) -> int:
        """Bits between the formats of its rows."""
        return int(np.ptp(self.fracs))

    @property
    def marks_rows(self) -> bool:
        """Whether words of gradients tell the formats of such rows, on the way back too."""
        return self.in_turn and row_left(self.design) > 0

    @property
    def chunks(self) -> int:
        """Groups of N answers."""
        return -(-self.answers // self.design.lanes)

    @property
    def aligns(self) -> IntArray:
        """Left shift of each digit of a gradient, int64 (D,)."""
        bits, shift = self.design.value_bits, self._shift
        if bits >= self.bits:
            return np.zeros(1, np.int64)
        largest = 1 << (self.bits - 1 - shift)
        return np.array([0] + [shift] * -(-largest // ((1 << (bits - 1)) - 1)), np.int64)

    @property
    def _shift(self) -> int:
        return min(self.design.max_align, self.design.value_bits - 1)

    @property
    def terms(self) -> int:
        """Words of gradients of a row: cycles of a weight's sum."""
        return self.chunks * len(self.aligns)

    @property
    def gradients(self) -> int:
        """First word of gradients: the dice of all rows, then each term, of all rows."""
        return self.plan.groups

    @property
    def tape(self) -> int:
        """First place of the tape in the vector banks."""
        size = 1 << self.design.index_bits
        needs = self.plan.parts[0].needs
        depth = max(needs.regions(n).depth for n in range(len(self.plan.parts)))
        return -(-depth // size) * size

    @property
    def sizes(self) -> dict[str, int]:
        """What a design must have for it."""
        places = self.chunks * self.design.lanes << self.design.index_bits
        return {
            "train": self.masters + self.given.words * self.design.lanes,
            "matrix_depth": self.gradients + self.slots * (1 + self.terms),
            "vector_depth": self.tape + places,
            "row_groups": max(self.design.row_groups, self.terms),
        }

    def check(self) -> None:
        """Raise a :class:`.DesignError` if the design is too small for the batch."""
        for name, least in self.sizes.items():
            if (found := getattr(self.design, name)) < least:
                raise DesignError(
                    f"{name} = {found}: {self.answers} answers a batch need {least}; give smaller "
                    "batches, or a design that was made for them"
                )

    def digits(self, gradients: IntArray) -> IntArray:
        """Gradients (...) as digits (..., D): their sum, each shifted as ``aligns`` says.

        The parts above the lowest are as large as a value can be, one after the other.
        """
        aligns = self.aligns
        if len(aligns) == 1:
            return gradients[..., None]
        shift, most = self._shift, (1 << (self.design.value_bits - 1)) - 1
        half = 1 << (shift - 1)
        low = ((gradients + half) & ((1 << shift) - 1)) - half
        rest, found = (gradients - low) >> shift, [low]
        for _ in aligns[1:]:
            found.append(np.clip(rest, -most, most))
            rest = rest - found[-1]
        return np.stack(found, axis=-1)

    def tape_packets(self, fed: IntArray) -> list[int]:
        """Load packets of the inputs (F, I) of all answers; others are 0.

        Places of a bank that no column of the matrix has are left out where that is shorter.
        """
        design, width = self.design, self.given.geometry.bank_width
        lanes, size = design.lanes, 1 << design.index_bits
        padded = np.zeros((self.chunks * lanes, lanes * width), np.int64)
        padded[: len(fed), : fed.shape[1]] = fed
        banks = padded.reshape(self.chunks, lanes, lanes, width)  # chunk, answer, bank, place
        places = np.zeros((self.chunks, lanes, size, lanes), np.int64)
        places[:, :, :width] = banks.transpose(0, 2, 3, 1)
        words = join_fields(places.reshape(-1, lanes), design.act_bits).tolist()
        starts = range(self.tape, self.tape + len(words), size)
        whole = packet(design, Space.VECTOR, 0, self.tape, words, "vector")
        parts = list[int]()
        for n, at in enumerate(starts):
            some = words[n * size : n * size + width]
            parts += packet(design, Space.VECTOR, 0, at, some, "vector")
        return min(whole, parts, key=len)

    def gradient_packets(
        self,
        gradients: IntArray,
        dice: IntArray,
        lefts: IntArray | None = None,
        there: Container[int] = (),
    ) -> list[int]:
        """Load packets of gradients (F, O) of all answers, and of the dice of rows (O,).

        ``lefts`` (chunks,) are shifts of the products of N answers. Gradients of the chunks that
        are ``there`` already are left out.
        """
        found = self._matrix_packets(self.gradients, self._dice_words(dice))
        values, shifts = self._terms(gradients, lefts)
        digits = len(self.aligns)
        for gone, some in groupby(range(self.chunks), lambda chunk: chunk in there):
            if gone:
                continue
            chunks = list(some)
            first, last = chunks[0], chunks[-1]
            part = slice(first * digits, (last + 1) * digits)
            rows = self._row_lefts if self.in_turn else None
            found += self._term_packets(self.chunk_at(first), values[part], shifts[part], rows)
        return found

    @property
    def _row_lefts(self) -> IntArray:
        """Shifts (slots, M) of the products of rows in finer formats."""
        return np.append(self.fracs - self.fracs.min(), 0)[self.given.placement.rows]

    @property
    def _marked_rows(self) -> IntArray | None:
        return self._row_lefts if self.marks_rows else None

    def chunk_packets(self, chunk: int, gradients: IntArray, left: int) -> list[int]:
        """Load packets of the gradients (N, O) of one chunk, of all digits, and its shift."""
        one = replace(self, answers=self.design.lanes)
        terms = one._terms(gradients, np.array([left]))
        return self._term_packets(self.chunk_at(chunk), *terms, self._marked_rows)

    def chunk_at(self, chunk: int) -> int:
        """First word of a chunk's gradients; those of the next digit lie ``slots`` behind."""
        return self.behind + chunk * self.slots * len(self.aligns)

    def _dice_words(self, dice: IntArray) -> np.ndarray:
        return np.append(dice, 0)[self.given.placement.rows].astype(object)

    def back_packets(self, gradients: IntArray) -> list[int]:
        """Load packets of gradients (N, O) for W^T d alone, to where dice lie else."""
        one = replace(self, answers=self.design.lanes, bits=self.design.value_bits)
        return self._term_packets(self.gradients, *one._terms(gradients, None), self._marked_rows)

    @property
    def behind(self) -> int:
        """First word behind the dice."""
        return self.gradients + self.slots

    def _matrix_packets(self, at: int, words: np.ndarray) -> list[int]:
        found: list[int] = []
        for pe, contents in enumerate(words.T.tolist()):
            found += packet(self.design, Space.MATRIX, pe, at, contents, "matrix")
        return found

    def _term_packets(
        self, at: int, values: IntArray, shifts: IntArray, rows: IntArray | None = None
    ) -> list[int]:
        """Load packets of terms that lie behind each other, as :meth:`_terms` gives them.

        The shortest: words as they lie, or a packet a term of values alone; whatever shifts are.
        Only the first can tell ``rows`` (slots, M), shifts of their own.
        """
        design, short = self.design, list[int]()
        every = shifts[:, None, None] + np.zeros(values.shape[1:-1], np.int64)
        every = every + (0 if rows is None else rows)
        if every.max() > design.max_align:
            raise DesignError(
                f"gradients of a batch lie {every.max()} bits apart, the array shifts sums by "
                f"{design.max_align}: take another design"
            )
        whole = marked_words(values, every, design).reshape(-1, design.pes)
        if rows is not None:
            return self._matrix_packets(at, whole)
        words = join_fields(values, [design.value_bits] * design.lanes)
        for n, (term, shift) in enumerate(zip(words, shifts.tolist(), strict=True)):
            for pe, contents in enumerate(term.T.tolist()):
                place = at + n * self.slots
                short += packet(design, Space.GRADIENTS, pe, place, contents, "matrix", shift)
        return min(short, self._matrix_packets(at, whole), key=len)

    def _terms(self, gradients: IntArray, lefts: IntArray | None) -> tuple[IntArray, IntArray]:
        """Gradients (terms, slots, M, N) of all rows, and the shifts (terms,) of their products."""
        design, rows = self.design, self.given.placement.rows
        lanes, chunks = design.lanes, self.chunks
        padded = np.zeros((chunks * lanes, gradients.shape[1] + 1), np.int64)
        padded[: len(gradients), :-1] = gradients  # row -1 is padding, whose gradients are 0
        digits = self.digits(padded.T[rows])  # slots, M, answers, D
        values = digits.reshape(*rows.shape, chunks, lanes, -1).swapaxes(-1, -2)
        shifts = np.broadcast_to(self.aligns, (chunks, len(self.aligns)))
        if lefts is not None:
            shifts = shifts + np.pad(lefts, (0, chunks - len(lefts)))[:, None]
        by_term = values.reshape(*rows.shape, self.terms, lanes).transpose(2, 0, 1, 3)
        return by_term, shifts.ravel()
