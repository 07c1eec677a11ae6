"""Design: what is refused, derived widths, and the smallest design for a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.array.design import Design, bits_for
from compiler.array.needs import check_supported, design_for
from csb_format import Csb, Fixed, Geometry, LstmLayer, Model
from csb_format.model import DenseLayer
from csb_format.scales import MAX_ALIGN, DesignError, Scales
from csb_format.shape import uniform_shape

FINE = Design(8, 4, 2, 6, 24, 32, 4, 8, 16, 3)


def empty(rows: int, columns: int, banks: int, k: int, value_bits: int = 16) -> Csb:
    geometry = Geometry(rows, columns, banks, k, value_bits)
    return Csb.pack(np.zeros((rows, columns), np.int64), geometry, fill=True)


def model_of(
    x: int = 12, h: int = 10, banks: int = 4, k_ih: int = 2, k_hh: int = 3, bits: Any = (16, 16)
) -> Model:
    layer = LstmLayer(
        empty(4 * h, x, banks, k_ih, bits[0]),
        empty(4 * h, h, banks, k_hh, bits[1]),
        np.zeros(4 * h, np.int64),
        Fixed(16, 12),
        Fixed(16, 15),
        Fixed(bits[0], 14),
        Fixed(bits[1], 15),
        Fixed(18, 13),
    )
    return Model((layer,), None, {})


@pytest.mark.parametrize(
    "name",
    [
        *("pes", "lanes", "units", "row_groups", "matrix_depth", "vector_depth", "slots"),
        *("cells", "output_depth", "index_bits", "value_bits", "act_bits", "program_depth"),
        *("contexts", "fan_in"),
    ],
)
@pytest.mark.parametrize("value", [0, -4, 2.0, "8", None])
def test_every_number_is_whole_and_positive(name: str, value: Any) -> None:
    message = f"{name} = {value!r}: must be a whole number of at least 1"
    with pytest.raises(DesignError, match=message):
        replace(FINE, **{name: value})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"pes": 6}, r"pes = 6: must be a multiple of 4"),
        ({"pes": 1, "units": 1}, r"pes = 1: must be a multiple of 4"),
        ({"units": 4}, r"units = 4: must be at most pes / 4 = 2, and divide lanes = 4"),
        ({"lanes": 3}, r"units = 2: must be at most pes / 4 = 2, and divide lanes = 3"),
        ({"pes": 64, "units": 12}, r"units = 12: .* or be a power-of-two multiple"),
        ({"value_bits": 3}, r"value_bits = 3: must be 4 to 18"),
        ({"value_bits": 19}, r"value_bits = 19: must be 4 to 18"),
        ({"act_bits": 5}, r"act_bits = 5: must be 6 to 18"),
        ({"act_bits": 19}, r"act_bits = 19: must be 6 to 18"),
        ({"projectors": 3}, r"projectors = 3: must be at most pes = 8, and divide lanes = 4"),
        ({"projectors": 16}, r"projectors = 16: must be at most pes = 8"),
        ({"pes": 24, "projectors": 12}, r"projectors = 12: .* or be a power-of-two multiple"),
        ({"projectors": -1}, r"projectors = -1: must be a whole number of at least 0"),
        ({"linear": 3}, r"linear = 3: linear layers need projectors"),
        ({"linear": -3}, r"linear = -3: must be a whole number of at least 0"),
        ({"reach": 12}, r"reach = 12: must be one of 8, 16, 32, 64, 128 at act_bits = 16"),
        ({"wider": (16,)}, r"wider = 16: must ascend from above reach = 16"),
        ({"wider": (64, 32)}, r"wider = 64, 32: must ascend"),
        ({"wider": (64,), "act_bits": 7}, r"wider = 64: must be one of 8, 16, 32 at act_bits = 7"),
        ({"wider": 64}, r"wider = 64: must be a list of whole numbers"),
        ({"wider": ["x"]}, r"wider = 'x': must be a whole number of at least 1"),
        ({"fan_in": 1}, r"fan_in = 1: a tree adds at least 2 operands"),
        ({"shallow": True, "deep": True}, r"shallow = True: not with deep = True; leave one"),
        ({"shallow": True, "train": 4}, r"shallow = True: not with train = 4; leave one"),
    ],
)
def test_designs_that_cannot_exist(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(DesignError, match=match):
        replace(FINE, **changes)


def test_slots_of_one_gate() -> None:
    design = replace(FINE, pes=64, by_gate=True)
    assert (design.blocks, design.turns, design.aligns, design.collects) == (4, 4, 4, True)
    assert (design.units_per_slot, design.units_per_round, design.takes_rows) == (8, 32, False)
    plain = replace(FINE, pes=64)
    assert (plain.blocks, plain.turns, plain.aligns, plain.collects) == (1, 1, 4, False)
    gru = replace(FINE, cell="gru", by_gate=True)
    assert (gru.blocks, gru.turns, gru.collects, gru.takes_rows) == (1, 3, False, True)
    with pytest.raises(DesignError, match=r"by_gate = True: .* each gate has passes of its own"):
        replace(FINE, cell="gru0", by_gate=True)
    with pytest.raises(DesignError, match="by_gate = True: a compact design has none"):
        replace(FINE, compact=True, by_gate=True, projectors=0, units=2)
    with pytest.raises(DesignError, match="by_gate = 3: "):
        replace(FINE, by_gate=3)  # type: ignore[arg-type]


def test_derived_numbers() -> None:
    assert (FINE.multipliers, FINE.elementwise_multipliers, FINE.units_per_slot) == (32, 16, 1)
    assert (FINE.entry_bits, FINE.word_bits, FINE.bias_bits) == (19, 76, 72)
    assert (FINE.gate, FINE.state) == (Fixed(16, 15), Fixed(18, 13))
    assert replace(FINE, pes=64).units_per_slot == 8
    assert (FINE.write_ports, FINE.results_per_slot) == (1, 0)


@pytest.mark.parametrize(
    ("projectors", "ports", "results"), [(1, 1, 32), (2, 1, 16), (4, 1, 8), (8, 2, 4), (32, 8, 1)]
)
def test_projectors_beyond_the_lanes_write_several_places(
    projectors: int, ports: int, results: int
) -> None:
    design = replace(FINE, pes=32, projectors=projectors)
    assert (design.write_ports, design.results_per_slot) == (ports, results)


@pytest.mark.parametrize(("contexts", "depth"), [(1, 6), (2, 16), (3, 24)])
def test_cells_of_a_context_start_at_a_power_of_two(contexts: int, depth: int) -> None:
    assert replace(FINE, cells=6, contexts=contexts).state_depth == depth


@given(st.integers(1, 300), st.integers(1, 64), st.integers(4, 18), st.integers(6, 18))
def test_accumulator_holds_every_sum(groups: int, lanes: int, value: int, act: int) -> None:
    design = Design(4, lanes, 1, groups, 1, 4, 1, 1, 1, 1, value, act)
    low, high = -(1 << design.acc_bits - 1), (1 << design.acc_bits - 1) - 1
    terms = groups * lanes << MAX_ALIGN
    weight = (-(1 << value - 1), (1 << value - 1) - 1)
    element = (-(1 << act - 1), (1 << act - 1) - 1)
    sums = [terms * w * x for w in weight for x in element]
    assert low <= min(sums)
    assert max(sums) <= high
    # two bits fewer would not do
    assert max(sums) > high >> 2


@pytest.mark.parametrize(
    ("count", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10), (1025, 11)]
)
def test_bits_for(count: int, bits: int) -> None:
    assert bits_for(count) == bits


def test_for_model_takes_the_least() -> None:
    design = design_for(model_of(), pes=8, lanes=4)
    # banks of 3 for both; 12 units in slots of two; rows of 2 + 3 groups
    assert design == Design(
        pes=8,
        lanes=4,
        units=1,
        row_groups=5,
        matrix_depth=6 * 5,
        vector_depth=2 * 4 + 2 * 4,
        slots=6,
        cells=12,
        output_depth=24,
        index_bits=2,
        value_bits=16,
        act_bits=16,
        program_depth=32,
    )


def test_for_model_on_fewer_lanes() -> None:
    design = design_for(model_of(), pes=16, lanes=2, units=2)
    assert (design.row_groups, design.vector_depth, design.index_bits) == (10, 32, 3)
    assert (design.units, design.slots, design.cells, design.output_depth) == (2, 3, 6, 12)


def test_for_model_without_weights_has_a_group_of_zeros() -> None:
    assert design_for(model_of(k_ih=0, k_hh=0), 4, 4).row_groups == 2


def test_for_model_with_more_pes_than_rows() -> None:
    design = design_for(model_of(h=4, k_hh=1), 64, 4, units=4)
    assert (design.slots, design.cells) == (1, 1)  # there are four units, one a lane
    every = design_for(model_of(h=4, k_hh=1), 64, 4, units=4, all_pes=True)
    assert (every.slots, every.cells) == (1, 4)  # a slot deals 16 units, four a lane


def test_for_model_takes_the_wider_weights() -> None:
    assert design_for(model_of(bits=(16, 8)), 8, 4).value_bits == 16
    assert design_for(model_of(bits=(8, 12)), 8, 4).value_bits == 12


def test_for_model_takes_the_models_width() -> None:
    model = model_of()
    layer = replace(model.layers[0], hidden=Fixed(12, 11), input=Fixed(12, 9), state=Fixed(14, 9))
    assert design_for(replace(model, layers=(layer,)), 8, 4).act_bits == 12


@pytest.mark.parametrize(
    ("pes", "lanes", "units"), [(0, 4, None), (8, 0, None), (8, 4, 0), (-4, 4, 1)]
)
def test_for_model_refuses_arrays_of_nothing(pes: int, lanes: int, units: int | None) -> None:
    with pytest.raises(DesignError, match=r"= (0|-4): must be a whole number of at least 1"):
        design_for(model_of(), pes, lanes, units)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"slot_units": 3}, "slot_units = 3: with units = 1 that are 3 results a slot"),
        ({"slot_results": 1}, "slot_results = 1: with projectors = 0"),
        ({"slot_units": 1, "train": 1}, "slot_units = 1: not with train = 1"),
    ],
)
def test_results_of_a_slot_come_from_pes(fields: dict[str, Any], message: str) -> None:
    design = design_for(uniform_shape(4, 8, (2, 2), (2, 2)), 8, 2, 1)
    with pytest.raises(DesignError, match=message):
        replace(design, **fields)


def test_for_model_refuses_odd_arrays() -> None:
    with pytest.raises(DesignError, match="pes = 6: must be a multiple of 4"):
        design_for(model_of(), 6, 4)
    with pytest.raises(DesignError, match="lanes = 3 does not divide the 4 banks"):
        design_for(model_of(), 8, 3)
    with pytest.raises(DesignError, match="units = 3: must be at most pes / 4 = 2"):
        design_for(model_of(), 8, 4, 3)


def layer_with(ih: int, x: int, hh: int) -> LstmLayer:
    return replace(
        model_of().layers[0],
        weight_ih_format=Fixed(16, ih),
        input=Fixed(16, x),
        weight_hh_format=Fixed(16, hh),
    )


def same(*shifts: int) -> Scales:
    """Scales that are the same for all gates."""
    return Scales(*((shift,) * 4 for shift in shifts))


@pytest.mark.parametrize(
    ("ih", "x", "hh", "scales"),
    [
        (15, 12, 15, same(3, 0, 17)),  # 27 and 30, state at 13
        (18, 15, 15, same(0, 3, 20)),
        (15, 15, 15, same(0, 0, 17)),
        (0, 10, -5, same(3, 3, 0)),  # both below the state's own binary point
        (15, 8, 15, same(7, 0, 17)),
    ],
)
def test_scales_meet_in_one_binary_point(ih: int, x: int, hh: int, scales: Scales) -> None:
    layer = layer_with(ih, x, hh)
    assert Scales.of(layer) == scales
    for align_ih, align_hh, shift in zip(
        scales.align_ih, scales.align_hh, scales.shift, strict=True
    ):
        assert (ih + x + align_ih, hh + 15 + align_hh) == (13 + shift,) * 2


def test_every_gate_has_its_own_scale() -> None:
    layer = layer_with(15, 12, 15)
    formats = (Fixed(16, 15), Fixed(16, 16), Fixed(16, 18), Fixed(16, 20))
    layer = replace(layer, weight_ih_format=formats)
    assert Scales.of(layer) == Scales((3, 2, 0, 0), (0, 0, 0, 2), (17, 17, 17, 19))


@pytest.mark.parametrize(("ih", "x", "hh"), [(15, 7, 15), (20, 15, 12), (0, 5, -10)])
def test_products_too_far_apart(ih: int, x: int, hh: int) -> None:
    match = rf"products, {ih + x} \(input\) and {hh + 15} \(recurrent\), must lie within 7 bits"
    with pytest.raises(DesignError, match=match):
        Scales.of(layer_with(ih, x, hh))


def head_of(model: Model) -> DenseLayer:
    size = model.layers[-1].hidden_size
    weight = np.zeros((5, size), np.int64)
    bias = np.zeros(5, np.int64)
    return DenseLayer(weight, Fixed(16, 15), model.layers[-1].hidden, bias)


def test_what_the_accelerator_cannot_run_is_named() -> None:
    model = model_of()
    check_supported(model)
    with pytest.raises(DesignError, match="no linear output layer: pack it with its classifier"):
        check_supported(model, head=True)
    check_supported(replace(model, head=head_of(model)), head=True)
    layer = replace(model.layers[0], input=Fixed(8, 6))
    with pytest.raises(DesignError, match=r"x of layer 0 has 8 bits, h of the first layer 16: "):
        check_supported(replace(model, layers=(layer,)))


def test_a_head_behind_two_directions_is_left_to_the_host() -> None:
    layer = model_of().layers[0]
    two = Model((layer, layer), None, {}, 2)
    check_supported(two)
    head = replace(head_of(two), weight=np.zeros((5, 20), np.int64))
    with pytest.raises(DesignError, match=r"linear output layer reads both .* \(head=False\)"):
        check_supported(replace(two, head=head), head=True)
