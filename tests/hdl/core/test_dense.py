"""Linear output layers without indices: every bit and every cycle, in Amaranth and in Verilog."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.lower.packed import packed_count, packed_words
from compiler.timing.cycle_model import CycleModel
from csb_format import IntArray, Model
from csb_format.cells import cell_named
from csb_format.random_models import random_frames, random_network
from csb_format.scales import DesignError
from csb_format.words import split_fields
from engine.reference import IntegerModel
from hdl.verilog import VerilogFiles, emit_verilog
from sim.check.verify import verify
from sim.run.streams import Pauses
from tests.hdl.core.test_core_networks import check


@dataclass(frozen=True)
class Case:
    """A network with a head, and an array whose head has no indices."""

    model: Model
    image: Image
    contexts: int
    sequences: list[IntArray]


def drawn(seed: int, **fixed: bool) -> Case:
    """Sizes, cell, widths, array and contexts by the seed."""
    rng = np.random.default_rng([11, seed])
    lanes, cell = 1 << int(rng.integers(4)), ("lstm", "lstm", "gru")[seed % 3]
    given, hidden = (lanes + int(n) for n in rng.integers(1, 10, 2))
    layers, contexts = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    value_bits, act_bits = int(rng.integers(4, 19)), int(rng.integers(6, 19))
    most = max(1, min(given, hidden) // lanes)
    banks = lanes * int(rng.integers(1, most + 1))
    outputs = int(rng.integers(1, 30))
    model = random_network(
        rng,
        given,
        hidden,
        (banks, banks, lanes),
        (1, 1, 1),
        layers,
        1,
        0,
        value_bits,
        act_bits,
        head=outputs,
        cell=cell,
    )
    pes = cell_named(cell).abreast * int(rng.integers(1, 7))
    options = {"deep": bool(rng.integers(2)), "dense": True, "contexts": contexts, **fixed}
    design = design_for(model, pes, lanes, head=True, **options)
    image = compile_model(model, design, head=True)
    return Case(model, image, contexts, random_frames(rng, model, [2, 1, 1]))


@pytest.mark.quick(2)
@pytest.mark.parametrize("seed", range(60))
def test_networks(seed: int) -> None:
    case = drawn(seed)
    check(case, case.sequences, case.contexts)


@pytest.mark.quick(1)
@pytest.mark.parametrize("seed", range(40))
def test_networks_in_verilog(seed: int, tmp_path: Path) -> None:
    case, load = drawn(seed), seed % 2 == 0
    files = emit_verilog(case.image.design, tmp_path / "v", None if load else case.image)
    in_verilog(case, files, tmp_path, load=load)


def in_verilog(case: Case, files: VerilogFiles, folder: Path, *, load: bool = False) -> None:
    shown = verify(
        IntegerModel(case.model),
        case.image,
        files,
        case.sequences,
        folder,
        simulator="icarus",
        load=load,
        contexts=case.contexts,
    )
    assert shown.exact, str(shown.first or shown.cycle_mismatch)
    assert len(shown.comparison.outputs[-1]) == 4  # logits of every frame


@pytest.mark.quick(1)
@pytest.mark.parametrize("seed", range(60))
def test_streamed_networks(seed: int) -> None:
    case = drawn(seed, streamed=True)
    pauses = {"stall": Pauses(0.6, seed)} if seed % 3 == 1 else {}
    check(case, case.sequences, case.contexts, **pauses)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_streamed_networks_in_verilog(seed: int, tmp_path: Path) -> None:
    case = drawn(seed, streamed=True)
    files = emit_verilog(case.image.design, tmp_path / "v", case.image)
    in_verilog(case, files, tmp_path)


@pytest.mark.parametrize(("value_bits", "index_bits"), [(16, 5), (16, 4), (8, 5), (18, 1), (4, 9)])
def test_a_stream_has_weights_where_indices_would_be(value_bits: int, index_bits: int) -> None:
    design = replace(dense_head(streamed=True)[1], value_bits=value_bits, index_bits=index_bits)
    c, rng = design.packed_words, np.random.default_rng(0)
    for groups in (1, c, c + 1, c + 2, 3 * c + 3, 3 * c + 5):
        half = 1 << value_bits - 1
        values = rng.integers(-half, half, (groups, 3, design.lanes))
        words = packed_words(values, design)
        assert len(words) == packed_count(groups, design)
        widths = [value_bits, index_bits] * design.lanes
        fields = split_fields(words.ravel().tolist(), widths).reshape(*words.shape, -1, 2)
        found, queue = [], list(fields)
        while queue:
            taken, queue = queue[:c], queue[c:]
            found += [word[..., 0] for word in taken]
            parts = [
                (word[..., 1] & (1 << index_bits) - 1) << index_bits * n
                for n, word in enumerate(taken)
            ]
            found.append((sum(parts) + half & (1 << value_bits) - 1) - half)
        np.testing.assert_array_equal(np.stack(found)[:groups], values)


def test_five_groups_come_in_four_words_of_21_bits() -> None:
    design = replace(dense_head(streamed=True)[1], value_bits=16, index_bits=5)
    assert design.entry_bits * packed_count(25, design) / 25 == pytest.approx(16.8)


def test_a_stream_is_shorter() -> None:
    _, design, image = dense_head(streamed=True, dense=True)
    _, _, plain = dense_head(streamed=True)
    head = 5 * 4  # slots, groups of a row
    assert (design.value_bits, design.index_bits, design.packed_words) == (16, 2, 8)
    assert len(plain.part_words()) - len(image.part_words()) == 2  # a ninth of those of the head
    assert len(image.part_words()) == design.indexed + packed_count(head, design)
    assert len(image.stream_payloads()) == len(image.part_words())


def dense_head(**options: Any) -> tuple[Model, Design, Image]:
    model = random_network(np.random.default_rng(0), 8, 16, 4, (1, 2, 1), 1, 1, 0, head=40)
    design = design_for(model, 8, 4, head=True, **options)
    return model, design, compile_model(model, design, head=True)


def test_a_weight_is_stored_in_its_bits_and_no_more() -> None:
    model, design, image = dense_head(dense=True)
    _, plain, other = dense_head()
    assert model.head is not None
    assert (design.matrix_depth, design.indexed) == (plain.matrix_depth, plain.matrix_depth - 20)
    widths = {name: image.width(name) for name in ("matrix_000", "index_000")}
    assert widths == {"matrix_000": 4 * 16, "index_000": 4 * 2}
    words = [image.memories[f"matrix_{pe:03d}"][design.indexed :] for pe in range(8)]
    weights = split_fields([word for of_pe in words for word in of_pe], [16] * 4)
    assert weights.size == model.head.weight.size  # 16 bits each: nothing beside them
    np.testing.assert_array_equal(np.sort(weights, None), np.sort(model.head.weight, None))
    assert len(image.memories["index_000"]) == design.indexed
    assert len(image.load_words()) < len(other.load_words())


def test_cycles_are_those_with_indices() -> None:
    one, other = (
        CycleModel(dense_head(dense=dense)[2]).run(9).frame_done for dense in (True, False)
    )
    np.testing.assert_array_equal(one, other)


def test_a_larger_design_runs_it_too() -> None:
    model, design, _ = dense_head(dense=True)
    larger = replace(design, indexed=design.indexed + 5, matrix_depth=design.matrix_depth + 9)
    image = compile_model(model, larger, head=True)
    frames = random_frames(np.random.default_rng(1), model, [2, 1])
    check(Case(model, image, 1, frames), frames, 1)
    check(Case(model, compile_model(model, design), 1, frames), frames, 1)  # the head on the host
    with pytest.raises(DesignError, match=r"the model needs indexed = \d+, the design has"):
        compile_model(model, replace(design, indexed=design.indexed - 1), head=True)
    with pytest.raises(DesignError, match=r"the model needs matrix_depth = \d+, the design has"):
        compile_model(model, replace(design, indexed=design.indexed + 1), head=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checked": True}, "indexed = 24: not with checked = True yet"),
        ({"pieces": 2}, "indexed = 24: not with pieces = 2; take 1"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DesignError, match=message):
        dense_head(dense=True, **options)


def test_dense_is_of_a_head_on_the_array() -> None:
    model, design, _ = dense_head(dense=True)
    with pytest.raises(DesignError, match=r"dense = True: .* let it run on the array"):
        design_for(model, 8, 4, dense=True)
    with pytest.raises(DesignError, match=r"indexed = 44: must be below matrix_depth = 44"):
        replace(design, indexed=design.matrix_depth)
