"""Linear output layers whose rows have few bits and a shift: every bit, every cycle, stored so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler.abi.registers import YOUNGER, design_hash
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.lower.passes import HEAD
from compiler.timing.cycle_model import CycleModel
from csb_format import DenseLayer, IntArray, Model
from csb_format.cells import cell_named
from csb_format.fixed import round_rows
from csb_format.random_models import random_frames, random_network
from csb_format.scales import DesignError
from csb_format.words import split_fields
from hdl.verilog import emit_verilog
from sim.run.streams import Pauses
from tests.hdl.core.test_core_networks import check
from tests.hdl.core.test_dense import Case, in_verilog

RNG = np.random.default_rng


def few(head: DenseLayer, bits: int, rng: np.random.Generator) -> DenseLayer:
    """Rows of all sizes, extremes among them, rounded to ``bits``."""
    width = head.weight_format.width
    weight = head.weight >> rng.integers(0, width, (head.output_size, 1))
    weight[rng.random(weight.shape) < 0.1] = -(1 << width - 1)
    weight[0], weight[-1] = 0, (1 << width - 1) - 1
    return replace(head, weight=round_rows(weight, bits), row_bits=bits)


def drawn(seed: int, **fixed: bool) -> Case:
    """Sizes, cell, widths, bits of rows, array and contexts by the seed."""
    rng = RNG([23, seed])
    lanes, cell = 1 << int(rng.integers(4)), ("lstm", "lstm", "gru")[seed % 3]
    given, hidden = (lanes + int(n) for n in rng.integers(1, 10, 2))
    layers, contexts = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    bits, act_bits = int(rng.integers(4, 10)), int(rng.integers(6, 19))
    value_bits = int(rng.integers(2 * bits, 19)) if 2 * bits < 18 else 18
    projected, outputs = int(rng.integers(2)) * hidden, int(rng.integers(1, 30))
    model = random_network(
        rng, given, hidden, lanes, (1, 1, 1), layers, 1, projected, value_bits, act_bits,
        head=outputs, cell="lstm" if projected else cell,
    )  # fmt: skip
    assert model.head is not None
    model = replace(model, head=few(model.head, bits, rng))
    pes = cell_named(model.shape.cell).abreast * int(rng.integers(1, 7))
    options = {"deep": bool(rng.integers(2)), "dense": True, "contexts": contexts, **fixed}
    design = design_for(model, pes, lanes, head=True, **options)
    assert (design.row_bits, design.row_shift) == (bits, value_bits - bits)
    assert design.groups_per_word > 1
    image = compile_model(model, design, head=True)
    return Case(model, image, contexts, random_frames(rng, model, [2, 1, 1]))


@pytest.mark.quick(2)
@pytest.mark.parametrize("seed", range(40))
def test_networks(seed: int) -> None:
    case = drawn(seed)
    check(case, case.sequences, case.contexts)


@pytest.mark.quick(1)
@pytest.mark.parametrize("seed", range(30))
def test_networks_in_verilog(seed: int, tmp_path: Path) -> None:
    case, load = drawn(seed), seed % 2 == 0
    files = emit_verilog(case.image.design, tmp_path / "v", None if load else case.image)
    in_verilog(case, files, tmp_path, load=load)


@pytest.mark.quick(2)
@pytest.mark.parametrize("seed", range(40))
def test_streamed_networks(seed: int) -> None:
    case = drawn(seed, streamed=True)
    pauses = {"stall": Pauses(0.6, seed)} if seed % 3 == 1 else {}
    check(case, case.sequences, case.contexts, **pauses)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_streamed_networks_in_verilog(seed: int, tmp_path: Path) -> None:
    case = drawn(seed, streamed=True)
    files = emit_verilog(case.image.design, tmp_path / "v", case.image)
    in_verilog(case, files, tmp_path)


def model_of(bits: int, value_bits: int = 16) -> Model:
    model = random_network(RNG(0), 8, 16, 4, (1, 2, 1), 1, 1, 0, value_bits, head=40)
    assert model.head is not None
    head = few(replace(model.head, weight=model.head.weight), bits or value_bits, RNG(1))
    return replace(model, head=head if bits else replace(head, row_bits=0))


def placed(bits: int, **options: Any) -> tuple[Model, Design, Image]:
    model = model_of(bits)
    design = design_for(model, 8, 4, head=True, dense=True, **options)
    return model, design, compile_model(model, design, head=True)


@pytest.mark.parametrize(("bits", "groups"), [(8, 2), (5, 3), (4, 4)])
def test_a_weight_is_stored_in_its_few_bits(bits: int, groups: int) -> None:
    model, design, image = placed(bits)
    _, whole, _ = placed(0)
    head = 5 * 4  # slots, groups of a row
    assert design.groups_per_word == groups
    assert whole.matrix_depth - whole.indexed == head
    assert design.matrix_depth - design.indexed == -(-head // groups)
    assert model.head is not None
    weights = stored(image, groups)
    shifts = model.head.row_shifts
    np.testing.assert_array_equal(
        np.sort(weights[:, :head], None), np.sort(model.head.weight >> shifts[:, None], None)
    )
    assert not weights[:, head:].any()  # where a last word has room
    words = [image.memories[f"linear_{q:03d}"] for q in range(design.projectors)]
    above = {word >> design.acc_bits for of_lane in words for word in of_lane}
    assert above == set(shifts.tolist())
    assert image.width("linear_000") == design.acc_bits + design.row_shift.bit_length()


def stored(image: Image, groups: int) -> IntArray:
    """Weights of few bits (PEs, groups, lanes), cut out of the memories' words."""
    design, found = image.design, []
    for pe in range(design.pes):
        words = image.memories[f"matrix_{pe:03d}"][design.indexed :]
        fields = split_fields(words, [design.value_bits] * design.lanes)
        parts = [fields >> design.row_bits * g for g in range(groups)]
        found.append(np.stack(parts, axis=1).reshape(-1, design.lanes))
    half = 1 << design.row_bits - 1
    return (np.array(found) + half & (1 << design.row_bits) - 1) - half


def test_a_stream_has_two_weights_in_an_entry() -> None:
    _, design, image = placed(8, streamed=True)
    _, _, whole = placed(0, streamed=True)
    assert (design.entry_bits, design.groups_per_word) == (18, 2)
    head = len(image.part_words()) - design.indexed
    assert head == 10
    assert len(whole.part_words()) - design.indexed == 18


def test_cycles_are_those_of_whole_weights_and_one_to_shift_the_last_sums() -> None:
    few_bits, whole = (CycleModel(placed(bits)[2]).run(9).frame_done for bits in (8, 0))
    np.testing.assert_array_equal(few_bits, whole + 1)


def test_the_pass_of_a_head_is_whole() -> None:
    """Groups are counted from the first of a pass on: it is never cut."""
    _, _, image = placed(8)
    names = [given.matrix for part in image.parts for given in part.passes]
    assert names.count(HEAD) == 1


def test_an_array_of_8_bits_has_a_head_of_8_bits() -> None:
    model = random_network(RNG(0), 8, 16, 4, (1, 2, 1), 1, 1, 0, 8, head=40)
    assert model.head is not None
    given = model_of(8).head
    assert given is not None
    wide = replace(given, input=model.head.input)
    assert wide.weight_format.width == 16
    case = replace(model, head=wide)
    design = design_for(case, 8, 4, head=True, dense=True)
    assert (design.value_bits, design.row_bits, design.row_shift) == (8, 8, 8)
    assert design_for(case, 8, 4, head=True).value_bits == 16
    frames = random_frames(RNG(1), case, [2, 1])
    check(Case(case, compile_model(case, design, head=True), 1, frames), frames, 1)


def test_bits_that_save_nothing_are_left() -> None:
    _, design, _ = placed(9)
    assert (design.row_bits, design.row_shift) == (0, 0)
    model = model_of(8)
    indexed = design_for(model, 8, 4, head=True)
    assert (indexed.row_bits, indexed.indexed) == (0, 0)


def test_models_and_designs_that_do_not_fit() -> None:
    _, design, _ = placed(8)
    frames = random_frames(RNG(1), model_of(6), [2, 1])
    image = compile_model(model_of(6), replace(design, row_shift=10), head=True)
    check(Case(model_of(6), image, 1, frames), frames, 1)
    for bits, said in ((0, "all"), (9, "9")):
        with pytest.raises(DesignError, match=rf"rows of the head have {said} bits, .* = 8: pack"):
            compile_model(model_of(bits), design, head=True)
    with pytest.raises(DesignError, match=r"the model needs row_shift = 8, the design has 7"):
        compile_model(model_of(8), replace(design, row_shift=7), head=True)


def test_designs_that_are_none() -> None:
    _, design, _ = placed(8)
    with pytest.raises(DesignError, match=r"row_bits = 8: .* take indexed and linear above 0"):
        replace(design, indexed=0)
    with pytest.raises(DesignError, match=r"row_bits = 3: must be 0, or 4 to value_bits = 16"):
        replace(design, row_bits=3)
    with pytest.raises(DesignError, match=r"row_shift = 15: must be 0 to 14"):
        replace(design, row_shift=15)


def test_designs_without_keep_their_hash() -> None:
    assert design_hash(placed(0)[1]) != design_hash(placed(8)[1])
    assert {"row_bits", "row_shift"} <= set(YOUNGER)
