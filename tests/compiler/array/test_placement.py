"""Placement: every element once, in the banks that its lane writes; by hand and at random."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.array.design import Design
from compiler.array.placement import PADDING, Placement, row_order, rows_by_gate


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    lanes = 1 << draw(st.integers(0, 4))
    units = 1 << draw(st.integers(0, lanes.bit_length() - 1))
    pes = 4 * units * draw(st.integers(1, 5))
    fitting = [q for q in (1, 2, 4, 8, 16, 32, 64) if pes % q == 0 and q <= 8 * lanes]
    projectors = draw(st.sampled_from(fitting))
    width = draw(st.integers(1, 9))
    size = draw(st.integers(1, lanes * width))
    design = Design(pes, lanes, units, 4, 8, 64, 4, 64, 8, 4, projectors=projectors)
    return Placement(design, size, width, draw(st.sampled_from([1, 4])))


@given(placements())
def test_order_holds_every_element_once(placement: Placement) -> None:
    order = placement.order
    assert sorted(order[order != PADDING]) == list(range(placement.size))
    assert (order[placement.elements :] == PADDING).all()
    assert len(order) == placement.slots * placement.design.pes // placement.gates


@given(placements())
def test_results_lie_in_the_bank_and_place_that_they_are_written_to(placement: Placement) -> None:
    """Beat n of B lanes goes to bank (n * B + lane) mod N at place (n * B + lane) div N."""
    for t, element in enumerate(placement.order[: placement.elements]):
        if element != PADDING:
            bank, place = divmod(int(element), placement.bank_width)
            assert (place, bank) == divmod(t, placement.design.lanes)


@given(placements())
def test_every_row_once_and_the_gates_of_a_unit_side_by_side(placement: Placement) -> None:
    rows = placement.rows
    assert rows.shape == (placement.slots, placement.design.pes)
    assert sorted(rows[rows != PADDING]) == list(range(placement.gates * placement.size))
    units = rows.reshape(-1, placement.gates)
    real = units[units[:, 0] != PADDING]
    assert ((units == PADDING).all(axis=1) | (units != PADDING).all(axis=1)).all()
    steps = np.arange(placement.gates) * placement.size
    np.testing.assert_array_equal(real - real[:, :1], np.broadcast_to(steps, real.shape))
    np.testing.assert_array_equal(units[:, 0], placement.order)


@given(placements())
def test_slots_of_one_gate_hold_the_same_rows(placement: Placement) -> None:
    """Units come in the same order; a slot of four has the rows that four slots had."""
    by_gate = replace(placement, design=replace(placement.design, by_gate=True))
    np.testing.assert_array_equal(by_gate.order, placement.order)
    assert by_gate.slots == placement.slots
    if placement.gates == 1:
        np.testing.assert_array_equal(by_gate.rows, placement.rows)
        return
    first = placement.slots % 4
    np.testing.assert_array_equal(
        np.sort(by_gate.rows[:first].ravel()), np.sort(placement.rows[:first].ravel())
    )
    for slot in range(first, placement.slots, 4):
        four = slice(slot, slot + 4)
        for n, rows in enumerate(by_gate.rows[four]):
            assert {row // placement.size for row in rows.tolist() if row != PADDING} <= {n}
        found, wanted = (np.sort(p.rows[four].ravel()) for p in (by_gate, placement))
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("pes", [4, 8, 16, 24])
def test_rows_by_gate_are_those_of_a_design(pes: int) -> None:
    design = Design(pes, 4, 1, 4, 8, 64, 4, 64, 8, 4, by_gate=True)
    shapes = {"weight_ih": (4 * 20, 7), "weight_hh": (4 * 20, 20)}
    rows = rows_by_gate(row_order("weight_ih", shapes, 4), 4, 4, pes)
    np.testing.assert_array_equal(rows, Placement(design, 20, 5).rows)


@given(placements())
def test_to_order_and_from_order_are_inverse(placement: Placement) -> None:
    natural = np.random.default_rng(2).integers(1, 1000, (3, 2, placement.size))
    ordered = placement.to_order(natural)
    assert ordered.shape == (3, 2, placement.beats * placement.lanes)
    assert np.count_nonzero(ordered) == natural.size  # padding is 0
    np.testing.assert_array_equal(placement.from_order(ordered), natural)


@given(placements())
def test_no_beat_more_than_results_need(placement: Placement) -> None:
    assert 0 <= placement.beats * placement.lanes - placement.elements < placement.lanes
    taken = placement.slots * placement.design.pes - placement.gates * placement.elements
    assert 0 <= taken < placement.design.pes


def test_units_by_hand() -> None:
    placement = Placement(Design(8, 2, 1, 1, 8, 8, 2, 4, 4, 1), size=3, bank_width=2)
    assert (placement.elements, placement.beats, placement.slots) == (4, 4, 2)
    assert placement.order.tolist() == [0, 2, 1, -1]
    assert placement.rows.tolist() == [
        [0, 3, 6, 9, 2, 5, 8, 11],
        [1, 4, 7, 10, -1, -1, -1, -1],
    ]
    assert placement.to_order(np.array([10, 20, 30])).tolist() == [10, 30, 20, 0]


@pytest.mark.parametrize(("projectors", "beats"), [(1, 6), (2, 3), (4, 2), (8, 1)])
def test_outputs_by_hand(projectors: int, beats: int) -> None:
    """Five outputs in two banks of three; eight rows at once."""
    design = Design(8, 2, 1, 1, 8, 8, 2, 4, 4, 1, projectors=projectors)
    placement = Placement(design, size=5, bank_width=3, gates=1)
    assert (placement.lanes, placement.beats, placement.slots) == (projectors, beats, 1)
    assert placement.rows.tolist() == [[0, 3, 1, 4, 2, -1, -1, -1]]
    found = placement.to_order(np.arange(10, 15))
    assert found.tolist() == [10, 13, 11, 14, 12, 0, 0, 0][: beats * projectors]
