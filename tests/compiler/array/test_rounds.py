"""Rounds of slots: every row once, by hand and as the lanes find them again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.array.rounds import Round, Rounds, Walk

GATES = (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("blocks", "gates", "places"),
    [
        (1, ["0123"], ["0000"]),
        (2, ["0011", "2233"], ["0101", "0101"]),
        (3, ["0001", "1122", "2333"], ["0120", "1201", "2012"]),
        (4, ["0000", "1111", "2222", "3333"], ["0123"] * 4),
    ],
)
def test_four_gates_abreast_by_hand(blocks: int, gates: list[str], places: list[str]) -> None:
    """Slots of a round, and in each the gate and the block of the row of every PE of four."""
    found = Round(GATES, 4, blocks)
    assert ["".join(map(str, slot)) for slot in found.gates.tolist()] == gates
    assert ["".join(map(str, slot)) for slot in found.places.tolist()] == places
    assert found.turns == blocks


@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
def test_a_pe_has_each_gate_at_most_once_and_the_last_comes_last(blocks: int) -> None:
    """So a register a gate is enough, and that of the last is not needed before the end."""
    found = Round(GATES, 4, blocks)
    for column in found.gates.T.tolist():
        assert len(set(column)) == len(column)
    assert set(np.argwhere(found.gates == 3)[:, 0].tolist()) == {blocks - 1}
    # what the sequencer tells the lanes: which PE has a gate of a block
    for gate in GATES:
        for block in range(blocks):
            ((turn, pe),) = np.argwhere((found.gates == gate) & (found.places == block)).tolist()
            assert (turn, pe) == divmod(gate * blocks + block, 4)


def test_rows_one_after_the_other_and_side_by_side() -> None:
    assert Round((0, 1, 2), 1, 1).gates.tolist() == [[0], [1], [2]]  # a GRU
    assert Round(GATES, 4, 1).groups((5, 3, 4, 6)) == [6]  # an LSTM, and whoever is fullest
    assert Round(GATES, 4, 4).groups((5, 3, 4, 6)) == [5, 3, 4, 6]
    assert Round(GATES, 4, 3).groups((5, 3, 4, 6)) == [5, 4, 6]
    assert Round((0,), 1, 1).groups((7,)) == [7]  # a projection


@given(st.integers(1, 40), st.sampled_from([1, 4]))
def test_all_rounds_hold_every_row_once(blocks: int, most: int) -> None:
    rounds = Rounds(GATES, 4, blocks, most)
    assert rounds.slots == blocks == len(rounds.gates)
    jobs = list(zip(rounds.gates.ravel().tolist(), rounds.places.ravel().tolist(), strict=True))
    assert sorted(jobs) == [(gate, block) for gate in GATES for block in range(blocks)]
    assert [one.blocks for one in rounds.each][1:] == [most] * (len(rounds.each) - 1)
    kept = (5, 3, 4, 6)
    assert rounds.groups(kept) == sum(max(kept[g] for g in slot) for slot in rounds.gates.tolist())


def test_a_walk_by_hand() -> None:
    """Two slots of an opening and two rounds of three: groups, cycles."""
    walk = Walk.of(8, [(2, 3), (1, 1)], [(4, 5), (1, 2), (2, 2)])
    assert walk.starts.tolist() == [0, 3, 4, 9, 11, 13, 18, 20]
    assert walk.groups.tolist() == [2, 1, 4, 1, 2, 4, 1, 2]
    assert walk.lasts.tolist() == [1, 3, 7, 9, 12, 16, 18, 21]
    assert walk.words.tolist() == [0, 2, 3, 7, 8, 10, 14, 15]
    assert (walk.ends.tolist(), walk.turns.tolist(), walk.cycles) == ([1, 4, 7], [2, 3, 3], 22)


def test_a_walk_of_nothing() -> None:
    walk = Walk.of(0, [], [(0, 0)])
    assert (walk.starts.size, walk.ends.size, walk.cycles) == (0, 0, 0)
