"""compile_model: every weight once and in its place, nothing else, and what does not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from csb_format import Csb, Fixed, IntArray, Model
from csb_format.design import Design, DesignError, Scales, merged
from csb_format.words import split_fields
from hdl.compiler import PADDING, Image, Placement, compile_model
from hdl.loader import Space, header
from hdl.program import Instruction, Op
from sim.random_models import random_model

# X, H, banks, k_ih, k_hh, value bits, act bits, M, N, E
CASES = [
    (6, 8, 2, 1, 2, 16, 16, 8, 2, 1),
    (7, 5, 4, 2, 1, 8, 12, 4, 4, 1),
    (9, 6, 4, 1, 2, 12, 8, 16, 4, 2),
    (5, 3, 1, 2, 3, 4, 6, 16, 1, 1),
    (16, 16, 8, 1, 1, 16, 16, 8, 4, 2),
    (11, 10, 8, 1, 2, 18, 18, 8, 2, 2),
    (8, 9, 8, 1, 1, 16, 16, 32, 8, 4),
    (6, 6, 2, 0, 1, 16, 16, 4, 2, 1),
    (6, 6, 3, 1, 0, 16, 16, 4, 1, 1),
    (4, 4, 4, 0, 0, 16, 16, 8, 4, 2),
    (3, 2, 1, 3, 2, 16, 16, 24, 1, 1),
    (40, 4, 4, 5, 1, 16, 16, 4, 4, 1),
    (4, 34, 4, 1, 3, 16, 16, 16, 4, 2),
]


def build(case: tuple[int, ...], seed: int = 1) -> tuple[Model, Image]:
    *sizes, pes, lanes, units = case
    model = random_model(np.random.default_rng(seed), *sizes)
    return model, compile_model(model, Design.for_model(model, pes, lanes, units))


@pytest.fixture(params=CASES, ids=lambda case: "-".join(map(str, case)))
def compiled(request: pytest.FixtureRequest) -> tuple[Model, Image]:
    return build(request.param)


def unit_at(image: Image, slot: int, j: int) -> int | None:
    """Unit that PEs 4j..4j+3 work on in a slot, from the architecture's formula."""
    design, placement = image.design, image.placement
    t = slot * (design.pes // 4) + j
    if t >= design.lanes * placement.bank_width:
        return None
    unit = (t % design.lanes) * placement.bank_width + t // design.lanes
    return unit if unit < placement.hidden_size else None


def entries(image: Image, pe: int, first: int, count: int) -> tuple[IntArray, IntArray]:
    """Values and indices, (count, N) each, of words of a matrix memory."""
    design = image.design
    words = image.memories[f"matrix_{pe:03d}"][first : first + count]
    widths = [design.value_bits, design.index_bits + 1] * design.lanes
    if not words:
        return np.zeros((0, design.lanes), np.int64), np.zeros((0, design.lanes), np.int64)
    fields = split_fields([widened(word, design) for word in words], widths)
    return fields[:, 0::2], fields[:, 1::2]


def widened(word: int, design: Design) -> int:
    """The word with a zero bit above every index, as ``split_fields`` is signed."""
    size, result = design.entry_bits, 0
    for lane in range(design.lanes):
        entry = word >> (lane * size) & ((1 << size) - 1)
        result |= entry << (lane * (size + 1))
    return result


def dense_row(image: Image, pe: int, first: int, groups: int, width: int) -> IntArray:
    """The row over padded columns that a PE multiplies, from its memory alone."""
    values, indices = entries(image, pe, first, groups)
    row = np.zeros((image.design.lanes, width), np.int64)
    np.add.at(row, (np.arange(image.design.lanes)[None, :], indices), values)
    return row.ravel()


def test_every_pe_multiplies_its_rows(compiled: tuple[Model, Image]) -> None:
    model, image = compiled
    layer, hidden = model.layers[0], model.layers[0].hidden_size
    seen = np.zeros((2, 4 * hidden), int)
    for p, matrix in ((1, layer.weight_ih), (2, layer.weight_hh)):
        geometry, code = merged(matrix.geometry, image.design.lanes), image.program[p]
        dense = np.zeros((4 * hidden, geometry.padded_columns), np.int64)
        dense[:, : geometry.columns] = matrix.to_dense()
        for slot in range(image.placement.slots):
            for pe in range(image.design.pes):
                first = code.matrix + slot * code.groups
                row = dense_row(image, pe, first, code.groups, geometry.bank_width)
                unit = unit_at(image, slot, pe // 4)
                if unit is None:
                    assert not row.any()
                else:
                    number = pe % 4 * hidden + unit
                    np.testing.assert_array_equal(row, dense[number])
                    seen[p - 1, number] += 1
    assert (seen == 1).all()  # every row of both matrices once


def test_every_real_weight_is_stored_exactly_once(compiled: tuple[Model, Image]) -> None:
    model, image = compiled
    layer = model.layers[0]
    depth = len(image.memories["matrix_000"])
    stored = np.concatenate(
        [entries(image, pe, 0, depth)[0].ravel() for pe in range(image.design.pes)]
    )
    kept = [m.to_dense()[m.to_mask()] for m in (layer.weight_ih, layer.weight_hh)]
    real = np.concatenate(kept)
    np.testing.assert_array_equal(np.sort(stored[stored != 0]), np.sort(real[real != 0]))
    assert all(len(image.memories[f"matrix_{pe:03d}"]) == depth for pe in range(image.design.pes))
    assert depth <= image.design.matrix_depth


def test_indices_differ_inside_a_bank_of_a_row(compiled: tuple[Model, Image]) -> None:
    _, image = compiled
    for code in image.program[1:3]:
        for slot in range(image.placement.slots):
            for pe in range(image.design.pes):
                if unit_at(image, slot, pe // 4) is None:
                    continue
                _, indices = entries(image, pe, code.matrix + slot * code.groups, code.groups)
                assert (np.diff(indices, axis=0) > 0).all()


def test_biases_meet_their_units(compiled: tuple[Model, Image]) -> None:
    model, image = compiled
    design, hidden = image.design, model.layers[0].hidden_size
    bias = model.layers[0].bias.reshape(4, hidden)
    units = []
    for lane in range(design.units):
        words = image.memories[f"bias_{lane:03d}"]
        assert len(words) == image.placement.units_per_lane <= design.cells
        for n, four in enumerate(split_fields(words, [design.state.width] * 4)):
            t = n * design.units + lane
            unit = unit_at(image, t // (design.pes // 4), t % (design.pes // 4))
            expected = np.zeros(4) if unit is None else bias[:, unit]
            np.testing.assert_array_equal(four, expected)
            units += [] if unit is None else [unit]
    assert sorted(units) == list(range(hidden))


def test_units_are_dealt_to_the_lanes_that_write_their_bank(
    compiled: tuple[Model, Image],
) -> None:
    _, image = compiled
    design, placement = image.design, image.placement
    for t, unit in enumerate(placement.order[: placement.units]):
        n, lane = divmod(t, design.units)
        turn, place = n % (design.lanes // design.units), n // (design.lanes // design.units)
        if unit != PADDING:
            assert divmod(int(unit), placement.bank_width) == (turn * design.units + lane, place)


def test_order_holds_every_unit_once(compiled: tuple[Model, Image]) -> None:
    _, image = compiled
    placement = image.placement
    order = placement.order
    assert sorted(order[order != PADDING]) == list(range(placement.hidden_size))
    assert (order[placement.units :] == PADDING).all()
    assert placement.rows.shape == (placement.slots, image.design.pes)


def test_to_order_and_from_order_are_inverse(compiled: tuple[Model, Image]) -> None:
    _, image = compiled
    placement = image.placement
    natural = np.random.default_rng(2).integers(1, 1000, (3, 2, placement.hidden_size))
    ordered = placement.to_order(natural)
    assert ordered.shape == (3, 2, placement.units)
    assert np.count_nonzero(ordered) == natural.size  # padding is 0
    np.testing.assert_array_equal(placement.from_order(ordered), natural)


def test_load_words_parse_back_to_the_memories(compiled: tuple[Model, Image]) -> None:
    _, image = compiled
    words = iter(image.load_words())
    found: dict[str, list[int]] = {}
    for head in words:
        space, target, address = head >> 28, head >> 16 & 0xFFF, head & 0xFFFF
        assert address == 0
        if space == Space.START:
            break
        name = {1: f"matrix_{target:03d}", 2: f"bias_{target:03d}", 3: "program"}[space]
        chunks = -(-image.width(name) // 32)
        found[name] = [
            sum(next(words) << (32 * i) for i in range(chunks)) for _ in range(next(words))
        ]
    assert list(words) == []  # start is the last word
    assert head == header(Space.START)
    assert found == image.memories


def test_words_fit_their_memories(compiled: tuple[Model, Image]) -> None:
    _, image = compiled
    depths = {"matrix": "matrix_depth", "bias": "cells", "program": "program_depth"}
    names = [f"matrix_{pe:03d}" for pe in range(image.design.pes)]
    names += [f"bias_{lane:03d}" for lane in range(image.design.units)]
    assert sorted(image.memories) == sorted([*names, "program"])
    for name, words in image.memories.items():
        assert 0 <= min(words) <= max(words) < 1 << image.width(name)
        assert len(words) <= getattr(image.design, depths[name.partition("_")[0]])


def test_beats_put_every_element_at_its_bank_and_place(compiled: tuple[Model, Image]) -> None:
    model, image = compiled
    frames = np.random.default_rng(3).integers(1, 100, (4, model.layers[0].input_size))
    beats = image.beats(frames)
    assert beats.shape == (4, image.input_width, image.design.lanes)
    assert np.count_nonzero(beats) == frames.size
    for column in range(image.input_size):
        bank, place = divmod(column, image.input_width)
        np.testing.assert_array_equal(beats[:, place, bank], frames[:, column])


def test_program_is_a_setup_and_two_steps_round_and_round(compiled: tuple[Model, Image]) -> None:
    model, image = compiled
    scales, program = Scales.of(model.layers[0]), image.program
    words = image.memories["program"]
    assert [Instruction.decode(word, image.design) for word in words[:5]] == list(program)
    assert set(words[5:]) <= {0}
    assert [code.op for code in program] == [Op.SETUP] + [Op.PASS] * 4
    assert [code.next for code in program] == [1, 2, 3, 4, 1]
    for code in program[1::2]:
        assert (code.wait_frame, code.release_frame, code.elementwise) == (True, True, False)
        assert code.align == scales.align_ih
    for code in program[2::2]:
        assert (code.wait_frame, code.parked, code.elementwise) == (False, True, True)
        assert (code.align, code.shift) == (scales.align_hh, scales.shift)
        assert code.interval == max(code.groups, image.design.units_per_slot)


def test_regions_are_aligned_and_apart(compiled: tuple[Model, Image]) -> None:
    _, image = compiled
    setup, in0, rec0, in1, rec1 = image.program
    assert setup.frame_bases == (in0.source, in1.source)
    assert (rec0.source, rec0.target) == (rec1.target, rec1.source)
    widths = {in0.source: image.input_width, in1.source: image.input_width}
    widths |= {base: image.placement.bank_width for base in (rec0.source, rec1.source)}
    assert len(widths) == 4
    places = [base | place for base, width in widths.items() for place in range(width)]
    assert len(set(places)) == len(places)  # `base | index` never meets another region
    assert places == [base + place for base, width in widths.items() for place in range(width)]
    assert max(places) < image.design.vector_depth


@pytest.mark.parametrize("name", ["ih", "hh"])
def test_matrix_without_weights_has_one_group_of_zeros(name: str) -> None:
    k_ih, k_hh = (0, 2) if name == "ih" else (2, 0)
    _, image = build((6, 6, 3, k_ih, k_hh, 16, 16, 8, 3, 1))
    code = image.program[1 if name == "ih" else 2]
    assert code.groups == 1
    for pe in range(8):
        values, _ = entries(image, pe, code.matrix, image.placement.slots)
        assert not values.any()


@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
def test_fewer_lanes_than_banks_merge_them(lanes: int) -> None:
    model, image = build((16, 24, 8, 1, 2, 16, 16, 8, lanes, 1))
    assert (image.program[1].groups, image.program[2].groups) == (8 // lanes, 16 // lanes)
    assert image.placement.bank_width == 24 // lanes
    assert Csb.merge_banks(model.layers[0].weight_hh, 8 // lanes).geometry.banks == lanes


def test_compiling_twice_gives_the_same_image() -> None:
    assert build(CASES[2])[1] == build(CASES[2])[1]


def test_design_larger_than_the_model_needs() -> None:
    model, tight = build(CASES[1])
    larger = {
        name: getattr(tight.design, name) + 3
        for name in ("row_groups", "matrix_depth", "vector_depth", "slots", "cells")
    }
    image = compile_model(model, replace(tight.design, **larger, value_bits=18, index_bits=5))
    first, second = image.program[1], tight.program[1]
    for pe in range(tight.design.pes):
        found = dense_row(image, pe, first.matrix, first.groups, image.input_width)
        expected = dense_row(tight, pe, second.matrix, second.groups, tight.input_width)
        np.testing.assert_array_equal(found, expected)


FIT = (12, 12, 4, 2, 2, 16, 16, 8, 4, 1)


@pytest.mark.parametrize(
    "name",
    [
        *("value_bits", "index_bits", "row_groups", "slots", "matrix_depth"),
        *("vector_depth", "cells", "output_depth"),
    ],
)
def test_design_that_lacks_something_says_what(name: str) -> None:
    model, image = build(FIT)
    needs = (
        image.placement.units_per_lane if name == "output_depth" else getattr(image.design, name)
    )
    compile_model(model, replace(image.design, **{name: needs}))
    message = rf"the model needs {name} = {needs}, the design has {needs - 1}: "
    with pytest.raises(DesignError, match=message + "generate a larger design, or prune"):
        compile_model(model, replace(image.design, **{name: needs - 1}))


def test_program_memory_too_small() -> None:
    model, image = build(FIT)
    compile_model(model, replace(image.design, program_depth=5))
    with pytest.raises(DesignError, match="field next = 4: the design allows 0 to 3"):
        compile_model(model, replace(image.design, program_depth=4))


@pytest.mark.parametrize("act_bits", [8, 15, 17])
def test_design_with_other_formats(act_bits: int) -> None:
    model, image = build(FIT)
    message = rf"formats are x s16\.\d+, h s16\.15, c s18\.13; .*act_bits = {act_bits}"
    with pytest.raises(DesignError, match=message):
        compile_model(model, replace(image.design, act_bits=act_bits))


def test_input_of_another_width() -> None:
    model, image = build(FIT)
    layer = replace(model.layers[0], input=Fixed(15, 14))
    with pytest.raises(DesignError, match=r"formats are x s15\.14, h s16\.15"):
        compile_model(replace(model, layers=(layer,)), image.design)


def test_lanes_that_do_not_divide_the_banks() -> None:
    model, image = build(FIT)
    with pytest.raises(DesignError, match="lanes = 8 does not divide the 4 banks"):
        compile_model(model, replace(image.design, lanes=8))


def test_more_than_one_layer() -> None:
    model, image = build(FIT)
    layer = model.layers[0]
    with pytest.raises(DesignError, match="the model has 2 layers: one is supported so far"):
        compile_model(
            replace(model, layers=(layer, replace(layer, input=layer.hidden))), image.design
        )


def test_products_too_far_apart() -> None:
    model, image = build(FIT)
    layer = replace(model.layers[0], input=Fixed(16, -9))
    with pytest.raises(DesignError, match="must lie within 7 bits"):
        compile_model(replace(model, layers=(layer,)), image.design)


def test_memory_beyond_the_load_streams_reach() -> None:
    _, image = build(FIT)
    longest = image.memories | {"matrix_002": [0] * 65536}
    assert len(replace(image, memories=longest).load_words()) > 65536
    longer = image.memories | {"matrix_002": [0] * 65537}
    message = "matrix_002 has 65537 words: the load stream reaches 65536; take more PEs"
    with pytest.raises(DesignError, match=message):
        replace(image, memories=longer).load_words()


def test_placement_by_hand() -> None:
    design: Any = Design(8, 2, 1, 1, 8, 8, 2, 4, 4, 1)
    placement = Placement(design, hidden_size=3, bank_width=2)
    assert (placement.units, placement.units_per_lane, placement.slots) == (4, 4, 2)
    assert placement.order.tolist() == [0, 2, 1, -1]
    assert placement.rows.tolist() == [
        [0, 3, 6, 9, 2, 5, 8, 11],
        [1, 4, 7, 10, -1, -1, -1, -1],
    ]
    assert placement.to_order(np.array([10, 20, 30])).tolist() == [10, 30, 20, 0]
