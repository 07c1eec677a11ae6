"""How the rows of a pass lie in slots, and the slots in rounds that make elements ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from csb_format.fixed import IntArray

__all__ = ["Round", "Rounds", "Walk"]


@dataclass(frozen=True)
class Round:
    """Slots that make blocks of elements ready together.

    A block is what PEs have room for when all rows of an element that they can work on side by
    side are in one slot: M / ``abreast`` elements. The rows of a round are its jobs, one gate after
    the other and in a gate one block after the other; a slot takes the next ``abreast`` of them.

    Parameters
    ----------
    rows : tuple of int
        Which rows of an element are worked on: its gates.
    abreast : int
        Jobs of a slot; divides rows times blocks.
    blocks : int
        Blocks that it makes ready.
    """

    rows: tuple[int, ...]
    abreast: int
    blocks: int

    @property
    def turns(self) -> int:
        """Its slots."""
        return len(self.rows) * self.blocks // self.abreast

    @cached_property
    def gates(self) -> IntArray:
        """Gate of each job, int64 (turns, abreast)."""
        return self._shaped(np.repeat(self.rows, self.blocks))

    @cached_property
    def places(self) -> IntArray:
        """Block of each job, int64 (turns, abreast)."""
        return self._shaped(np.tile(np.arange(self.blocks), len(self.rows)))

    def _shaped(self, jobs: IntArray) -> IntArray:
        return np.asarray(jobs, np.int64).reshape(self.turns, self.abreast)

    def groups(self, kept: Sequence[int]) -> list[int]:
        """Groups of each slot, those of its fullest row.

        Parameters
        ----------
        kept : sequence of int
            Those of the rows of each gate.
        """
        return [max(kept[gate] for gate in slot) for slot in self.gates.tolist()]


@dataclass(frozen=True)
class Rounds:
    """All rounds of a pass: the first may have fewer blocks than the others.

    Parameters
    ----------
    rows, abreast
        As in :class:`Round`.
    blocks : int
        Of the pass.
    most : int
        Of a round.
    """

    rows: tuple[int, ...]
    abreast: int
    blocks: int
    most: int

    @property
    def opening(self) -> Round | None:
        """The first, if it is shorter than the others."""
        rest = self.blocks % self.most
        return Round(self.rows, self.abreast, rest) if rest else None

    @property
    def whole(self) -> Round:
        """All others."""
        return Round(self.rows, self.abreast, self.most)

    @property
    def each(self) -> list[Round]:
        """In their order."""
        opening = [self.opening] if self.opening else []
        return [*opening, *[self.whole] * (self.blocks // self.most)]

    @property
    def slots(self) -> int:
        """Of the pass."""
        return len(self.rows) * self.blocks // self.abreast

    @property
    def gates(self) -> IntArray:
        """Gate of each job, int64 (slots, abreast)."""
        return np.concatenate([one.gates for one in self.each])

    @property
    def places(self) -> IntArray:
        """Block of each job, int64 (slots, abreast), counted from the first of the pass."""
        starts = np.cumsum([0, *(one.blocks for one in self.each)])[:-1].tolist()
        return np.concatenate([one.places + at for one, at in zip(self.each, starts, strict=True)])

    def taken(self, kept: Sequence[int], beats: int) -> int:
        """Cycles of all slots, of which lanes take each one's results in so many beats."""
        first, whole = (
            max(sum(one.groups(kept)), beats * one.turns) if one else 0
            for one in (self.opening, self.whole)
        )
        return first + whole * (self.blocks // self.most)

    def groups(self, kept: Sequence[int]) -> int:
        """Groups of all slots."""
        opening = self.opening.groups(kept) if self.opening else []
        return sum(opening) + sum(self.whole.groups(kept)) * (self.blocks // self.most)


@dataclass(frozen=True, eq=False)
class Walk:
    """When a pass issues what, as its instruction says.

    Parameters
    ----------
    starts : int64 array (slots,)
        Cycle of each slot's first group, from that of the pass on.
    groups : int64 array (slots,)
        Of each slot.
    ends : int64 array (rounds,)
        The last slot of each round.
    turns : int64 array (rounds,)
        Slots of each round.
    cycles : int
        Of the pass.
    """

    starts: IntArray
    groups: IntArray
    ends: IntArray
    turns: IntArray
    cycles: int

    @classmethod
    def of(
        cls, slots: int, opening: Sequence[tuple[int, int]], whole: Sequence[tuple[int, int]]
    ) -> Walk:
        """Of a number of slots.

        Parameters
        ----------
        slots : int
        opening, whole : sequences of (int, int)
            Groups and cycles of each slot of the first round, none if it is as the others, and of
            those of every other one.
        """
        rounds = -(-(slots - len(opening)) // len(whole))
        walked = np.array([*opening, *[*whole] * rounds], np.int64).reshape(-1, 2)[:slots]
        groups, intervals = walked[:, 0], walked[:, 1]
        turns = np.array([len(opening)] * bool(opening) + [len(whole)] * rounds, np.int64)
        starts = np.cumsum(intervals) - intervals
        return cls(starts, groups, np.cumsum(turns) - 1, turns, int(intervals.sum()))

    @property
    def lasts(self) -> IntArray:
        """Cycle of each slot's last group, int64 (slots,)."""
        return self.starts + self.groups - 1

    @property
    def words(self) -> IntArray:
        """First word of each slot in the matrix memories, from that of the pass on."""
        return np.cumsum(self.groups) - self.groups
