"""Needs: what a model takes of an array, by hand and against the compiler's own layout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.array.needs import Needs, design_for
from compiler.array.shapes import LayerShape, fewest_lanes, merged, programs
from compiler.lower.schedule import schedule
from csb_format import Csb, Fixed, Geometry, LstmLayer, Model
from csb_format.model import DenseLayer, Projection
from csb_format.random_models import random_network
from csb_format.scales import DesignError


def empty(rows: int, columns: int, banks: int, k: int) -> Csb:
    geometry = Geometry(rows, columns, banks, k)
    return Csb.pack(np.zeros((rows, columns), np.int64), geometry, fill=True)


def layer_of(x: int, h: int, banks: tuple[int, int, int], k: int, p: int = 0) -> LstmLayer:
    """Banks of ``weight_ih``, ``weight_hh``, ``weight_hr``; p outputs, 0 without projection."""
    gate, weight = Fixed(16, 15), Fixed(16, 14)
    projection = Projection(empty(p, h, banks[2], k), weight, gate) if p else None
    ih, hh = empty(4 * h, x, banks[0], k), empty(4 * h, p or h, banks[1], k)
    bias = np.zeros(4 * h, np.int64)
    return LstmLayer(ih, hh, bias, gate, gate, weight, weight, Fixed(18, 13), projection)


def model_of(*layers: LstmLayer, directions: int = 1, classes: int = 0) -> Model:
    size = layers[-1].output_size
    zeros = np.zeros((classes, size), np.int64), np.zeros(classes, np.int64)
    head = DenseLayer(zeros[0], Fixed(16, 15), layers[-1].output, zeros[1]) if classes else None
    return Model(layers, head, {}, directions)


def test_merged() -> None:
    geometry = Geometry(4, 12, 4, 2)
    assert merged(geometry, 4) == geometry
    two = merged(geometry, 2)
    assert (two.banks, two.nonzeros, two.bank_width) == (2, 4, 6)
    assert merged(Geometry(4, 12, 4, 0), 2).nonzeros == 1
    with pytest.raises(DesignError, match=r"lanes = 8 does not divide the 4 banks.*divisor of 4"):
        merged(geometry, 8)


@pytest.mark.parametrize(
    ("pes", "lanes", "groups", "rows", "fewest"),
    [
        (4, 1, 1, 4, 1),
        (8, 4, 2, 4, 1),
        (8, 4, 1, 4, 2),
        (64, 16, 8, 4, 2),
        (64, 16, 16, 4, 1),
        (64, 16, 1, 4, 16),
        (64, 4, 1, 4, 16),  # four places of a bank at once
        (60, 8, 2, 4, 4),  # of 15 units 12: more than two beats of eight, or seven of two
        (24, 4, 2, 4, 2),  # three would do, but does not divide four
        (64, 16, 8, 1, 8),
        (64, 16, 2, 1, 32),  # several places of a bank at once
        (256, 16, 1, 1, 128),
        (16, 4, 1, 1, 16),
        (12, 4, 3, 1, 4),
        (12, 4, 2, 1, 4),  # eight do not divide twelve
    ],
)
def test_fewest_lanes_that_keep_up(
    pes: int, lanes: int, groups: int, rows: int, fewest: int
) -> None:
    found = fewest_lanes(pes, lanes, groups, rows=rows, projectors=rows == 1)
    assert found == fewest


@given(st.integers(1, 64), st.sampled_from([1, 2, 3, 4, 8, 16]), st.integers(1, 20))
def test_fewest_lanes_always_fit(quarter: int, lanes: int, groups: int) -> None:
    for rows in (4, 1):
        found = fewest_lanes(4 * quarter, lanes, groups, rows=rows, projectors=rows == 1)
        results = 4 * quarter // rows
        assert found <= results
        assert lanes % found == 0 or found in [
            n * lanes for n in (2, 4, 8)[: 3 if rows == 1 else 2]
        ]

        beats = {n: results // n for n in range(1, results + 1) if lanes % n == 0 or n == found}
        cycles = {n: max(groups, each) / (each * n) for n, each in beats.items()}
        assert cycles[found] == min(cycles.values())


def test_programs_are_all_layers_or_the_directions_of_a_level() -> None:
    first, later = (layer_of(x, 8, (4, 4, 4), 1) for x in (8, 8))
    assert programs(model_of(first, later).shape) == ((first.shape, later.shape),)
    wide = layer_of(16, 8, (4, 4, 4), 1)
    two = model_of(first, first, wide, wide, directions=2)
    assert programs(two.shape) == ((first.shape,) * 2, (wide.shape,) * 2)


def test_shape_of_a_projected_layer_by_hand() -> None:
    """12 -> 20 projected to 8, in 4 banks, on 2 lanes and 8 PEs."""
    shape = LayerShape.of(layer_of(12, 20, (4, 4, 4), 1, 8).shape, 2)
    assert [m.nonzeros for m in shape.matrices] == [2, 2, 2]
    assert [m.bank_width for m in shape.matrices] == [6, 4, 10]
    assert (shape.lanes, shape.hidden, shape.widths.output, shape.widths.hidden) == (2, 10, 4, 10)
    assert (shape.slots(8), shape.projection_slots(8)) == (10, 1)
    assert shape.groups(8, 8) == 10 * 4 + 1 * 2
    assert (shape.units(2), shape.projected(4)) == (10, 2)
    assert (shape.cells(8, 1), shape.cells(64, 2)) == (20, 16)


def test_a_stacked_projected_model_by_hand() -> None:
    layers = layer_of(12, 20, (4, 4, 4), 1, 8), layer_of(8, 20, (4, 4, 4), 1, 8)
    needs = Needs(model_of(*layers, classes=5), 8, 2, units=1, projectors=4, head=True)
    assert (needs.linear_counts, needs.head_slots, needs.head_beats) == ((1, 4, 2), 1, 2)
    assert needs.write_ports == 2
    sizes = needs.sizes
    assert sizes == {
        "value_bits": 16,
        "index_bits": 4,
        "row_groups": 4,
        "slots": 20,
        "matrix_depth": 2 * 42 + 4,
        "vector_depth": 2 * 8 + 2 * 2 * 4 + 2 * 16,
        "cells": 40,
        "output_depth": 2 + 20 + 2,
        "program_depth": 28,
        "projectors": 4,
        "linear": 2,
        "contexts": 1,
    }
    design = needs.design(fan_in=3)
    assert design.output_depth == 2 * sizes["output_depth"]
    assert (design.pes, design.lanes, design.units, design.fan_in) == (8, 2, 1, 3)
    assert design.program_depth == 32
    larger = {"output_depth", "program_depth"}
    kept = {name: getattr(design, name) for name in sizes if name not in larger}
    assert kept == {name: value for name, value in sizes.items() if name not in larger}


def gates_model(k: Any = ((3, 1, 2, 6), (2, 1, 1, 2)), **more: Any) -> Model:
    sizes = {"input_size": 24, "hidden_size": 24, "banks": 2} | more
    return random_network(np.random.default_rng(0), k=(*k, 1), **sizes)


def test_k_per_gate_asks_for_slots_of_one_gate() -> None:
    """24 units on 8 PEs are three rounds of four slots."""
    design = design_for(gates_model(), 8, 2)
    assert design.by_gate
    assert (design.slots, design.matrix_depth) == (12, 3 * (12 + 6))
    assert design.row_groups == 8  # of gate o; all gates of the fullest would be as many here
    assert not design_for(gates_model(((3, 3, 3, 3), (2, 2, 2, 2))), 8, 2).by_gate
    padded = design_for(gates_model(), 8, 2, by_gate=False)
    assert (padded.by_gate, padded.matrix_depth) == (False, 12 * (6 + 2))
    compact = design_for(gates_model(), 8, 2, compact=True)
    assert (compact.by_gate, compact.matrix_depth) == (False, 12 * (6 + 2))
    first = design_for(gates_model(((3, 1, 2), (2, 1, 1)), cell="gru0"), 8, 2)
    assert (first.by_gate, first.matrix_depth) == (False, 3 * (6 + 4))  # any array of it does


def test_lanes_keep_up_with_all_gates_of_a_unit() -> None:
    """16 PEs give 16 units in the cycles of all four gates of them."""
    k = (5, 5, 5, 5), (1, 1, 5, 1)
    assert design_for(gates_model(k, banks=4), 32, 4).units == 4  # 8 groups for 32 units
    assert design_for(gates_model(((5,) * 4, (9, 1, 1, 5)), banks=2), 32, 2).units == 2
    rows = gates_model(((5, 5, 5), (1, 2, 4)), banks=4, cell="gru")
    assert design_for(rows, 8, 4).units == 8  # of the row that has fewest groups


def test_rows_of_a_head_may_outnumber_parked_sums() -> None:
    model = model_of(layer_of(4, 2, (2, 2, 2), 1), classes=40)
    needs = Needs(model, 8, 2, head=True)
    assert (needs.shapes[0].slots(8), needs.head_slots, needs.sizes["slots"]) == (1, 5, 5)


def test_contexts_take_state_regions_and_nothing_else() -> None:
    model = model_of(layer_of(8, 8, (2, 2, 2), 1))
    one, three = (Needs(model, 8, 2, contexts=n).sizes for n in (1, 3))
    assert three.pop("vector_depth") - one.pop("vector_depth") == (4 - 1) * 2 * 4
    assert (one.pop("contexts"), three.pop("contexts")) == (1, 3)
    assert one == three


def test_two_directions_leave_together() -> None:
    layer, other = layer_of(8, 8, (2, 2, 2), 1, 4), layer_of(8, 8, (2, 2, 2), 1, 4)
    needs = Needs(model_of(layer, layer, other, other, directions=2), 8, 2, 1, 1)
    assert needs.output_beats == 2 * (8 + 4)
    assert len(needs.programs) == 2
    assert needs.regions(0).part == 4


def refused(match: str, model: Model, *args: Any, **options: Any) -> None:
    with pytest.raises(DesignError, match=match):
        Needs(model, *args, **options)


def test_layers_that_do_not_meet() -> None:
    first, second = layer_of(8, 12, (4, 4, 4), 1), layer_of(12, 12, (8, 4, 4), 1)
    refused(
        r"weight_hh of layer 0 has banks 3 wide on 4 lanes, .* layer 1 4: both",
        model_of(first, second),
        8,
        4,
    )
    other = layer_of(12, 12, (4, 4, 4), 1)
    Needs(model_of(first, other), 8, 4)
    two = model_of(other, replace(second), directions=2)
    refused(r"two directions see inputs \[3, 4\] places wide: prune", two, 8, 4)


def test_other_numbers_of_bits_and_missing_heads_are_refused() -> None:
    layer = layer_of(8, 8, (2, 2, 2), 1)
    refused("no linear output layer", model_of(layer), 8, 2, head=True)
    narrow = replace(layer, input=Fixed(8, 7))
    refused("x of layer 0 has 8 bits", model_of(narrow), 8, 2)
    refused("lanes = 4 does not divide the 2 banks", model_of(layer), 8, 4)


def test_an_array_has_the_reaches_of_its_layers() -> None:
    far = layer_of(8, 8, (2, 2, 2), 1)
    far = replace(far, state=replace(far.arithmetic, reach=64).state, bias=far.bias // 4)
    alone = design_for(model_of(far), 8, 2)
    assert (alone.reaches, alone.state) == ((64,), far.state)
    near = layer_of(8, 8, (2, 2, 2), 1)
    design = design_for(model_of(far, near, far), 8, 2)
    assert (design.reach, design.wider, design.state) == (16, (64,), near.state)
    found = {now.reach for now in schedule(model_of(far, near, far), design).program if now.beats}
    assert found == {0, 1}


def test_needs_of_a_cell_whose_reset_comes_first() -> None:
    """A vector more a layer, more instructions, and lanes that keep up with every pass."""
    other, model = (
        Needs(random_network(np.random.default_rng(1), 16, 16, 4, (1, 4, 1), 2, cell=cell), 16, 4)
        for cell in ("gru", "gru0")
    )
    assert model.sizes["vector_depth"] == other.sizes["vector_depth"] + 2 * 4
    assert model.sizes["program_depth"] > other.sizes["program_depth"]
    assert (model.sizes["slots"], model.units) == (other.sizes["slots"], 16)
    # in a later layer both matrices feed the lanes
    shapes = [[shape.ih.nonzeros, shape.hh.nonzeros] for shape in model.shapes]
    assert shapes == [[1, 4], [1, 4]]
    with pytest.raises(DesignError, match="cell = 'mgu': must be one of lstm, gru, gru0"):
        replace(design_for(model_of(layer_of(8, 8, (4, 4, 4), 1)), 4, 4), cell="mgu")
