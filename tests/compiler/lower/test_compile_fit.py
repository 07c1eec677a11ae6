"""compile_model: what does not fit is refused by name; parts, emissions and given states."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.array.design import Design, bits_for
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.lower.load import Space, space_widths
from csb_format import Fixed, IntArray, Model
from csb_format.random_models import random_model, random_network
from csb_format.scales import DesignError
from csb_format.words import split_fields

# X, H, banks, k_ih, k_hh, value bits, act bits
FIT = (12, 12, 4, 2, 2, 16, 16)


def build(**options: Any) -> tuple[Model, Image]:
    model = random_model(np.random.default_rng(1), *FIT)
    return model, compile_model(model, design_for(model, 8, 4, 1, **options))


def network(**options: Any) -> Model:
    sizes: dict[str, Any] = {"input_size": 10, "hidden_size": 9, "banks": 4, "k": (2, 2, 1)}
    return random_network(np.random.default_rng(2), **(sizes | options))


def sizes_of(model: Model, image: Image) -> dict[str, int]:
    """What the model needs, apart from an output buffer of two frames."""
    sizes = dict(image.parts[0].needs.sizes)
    for name, value in sizes.items():
        times = 2 if name == "output_depth" else 1
        if name != "program_depth":
            assert getattr(image.design, name) == times * value
    return sizes


@pytest.mark.parametrize(
    "name",
    [
        *("value_bits", "index_bits", "row_groups", "slots", "matrix_depth", "vector_depth"),
        *("cells", "output_depth", "program_depth", "linear"),
    ],
)
def test_design_that_lacks_something_says_what(name: str) -> None:
    model = network(projection=6, head=5)
    image = compile_model(model, design_for(model, 8, 4, head=True), head=True)
    needs = sizes_of(model, image)[name]
    lacking: dict[str, Any] = {name: needs - 1}
    enough: dict[str, Any] = {name: needs}
    compile_model(model, replace(image.design, **enough), head=True)
    message = rf"the model needs {name} = {needs}, the design has {needs - 1}: "
    with pytest.raises(DesignError, match=message + "generate a larger design, or prune"):
        compile_model(model, replace(image.design, **lacking), head=True)


def test_a_program_takes_no_more_than_was_asked_for() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        layers, projection = int(rng.integers(1, 5)), int(rng.integers(2)) * 8
        options = {"layers": layers, "projection": projection, "banks": 2}
        model = network(**options, directions=int(rng.integers(1, 3)))
        image = compile_model(model, design_for(model, 4 << int(rng.integers(3)), 2))
        assert len(image.program) <= sizes_of(model, image)["program_depth"]


@pytest.mark.parametrize("act_bits", [8, 15, 17])
def test_design_with_other_formats(act_bits: int) -> None:
    model, image = build()
    message = rf"formats are x s16\.\d+, h s16\.15, c s18\.13; .*act_bits = {act_bits}"
    with pytest.raises(DesignError, match=message):
        compile_model(model, replace(image.design, act_bits=act_bits))


def test_input_of_another_width() -> None:
    model, image = build()
    layer = replace(model.layers[0], input=Fixed(15, 14))
    with pytest.raises(DesignError, match=r"x of layer 0 has 15 bits, h of the first layer 16"):
        compile_model(replace(model, layers=(layer,)), image.design)


def test_lanes_that_do_not_divide_the_banks() -> None:
    model, image = build()
    with pytest.raises(DesignError, match="lanes = 8 does not divide the 4 banks"):
        compile_model(model, replace(image.design, lanes=8))


def test_layers_whose_banks_do_not_meet() -> None:
    model = network(layers=2)
    first, second = model.layers
    wider = network(layers=2, hidden_size=9, banks=(8, 4, 1)).layers[1]
    mixed = replace(second, weight_ih=wider.weight_ih, weight_ih_format=wider.weight_ih_format)
    with pytest.raises(DesignError, match=r"weight_hh of layer 0 has banks 3 wide .* layer 1 4: "):
        design_for(replace(model, layers=(first, mixed)), 8, 4)


def test_products_too_far_apart() -> None:
    model, image = build()
    layer = replace(model.layers[0], input=Fixed(16, -9))
    with pytest.raises(DesignError, match="must lie within 7 bits"):
        compile_model(replace(model, layers=(layer,)), image.design)


def test_projection_whose_output_is_too_fine() -> None:
    model = network(projection=6)
    layer = model.layers[0]
    assert layer.projection is not None
    projection = replace(layer.projection, output=Fixed(16, 60))
    layers = (replace(layer, projection=projection),)
    with pytest.raises(DesignError, match=r"-\d+ more fraction bits .* 0 to 63|within 7 bits"):
        compile_model(replace(model, layers=layers), design_for(model, 8, 4))


def test_memory_beyond_the_load_streams_reach() -> None:
    _, image = build()
    longest = {**image.memories, "matrix_002": [0] * 65536}
    assert len(replace(image, memories=longest).load_words()) > 65536
    longer = {**image.memories, "matrix_002": [0] * 65537}
    message = "matrix_002 has 65537 words: the load stream reaches 65536; take more PEs"
    with pytest.raises(DesignError, match=message):
        replace(image, memories=longer).load_words()


KINDS: list[tuple[dict[str, Any], list[list[tuple[str, int]]]]] = [
    ({}, [[("states", 0)]]),
    ({"layers": 3}, [[("states", 2)]]),
    ({"projection": 6}, [[("states", 0), ("output", 0)]]),
    ({"layers": 2, "projection": 6, "head": 5}, [[("states", 1), ("output", 1), ("linear", 1)]]),
    ({"layers": 2, "head": 5}, [[("states", 1), ("linear", 1)]]),
    (
        {"layers": 2, "directions": 2},
        [[("states", 0), ("states", 1)], [("states", 2), ("states", 3)]],
    ),
    (
        {"directions": 2, "projection": 6},
        [[("states", 0), ("states", 1), ("output", 0), ("output", 1)]],
    ),
]


@pytest.mark.parametrize(("options", "kinds"), KINDS)
def test_what_leaves(options: dict[str, Any], kinds: list[list[tuple[str, int]]]) -> None:
    model, head = network(**options), "head" in options
    image = compile_model(model, design_for(model, 8, 4, head=head), head=head)
    found = [[(e.kind, e.layer) for e in part.emissions] for part in image.parts]
    assert found == kinds  # of the last level h and c, what a projection makes of h, the sums
    for part in image.parts:
        emitting = [p.instruction for p in part.passes if p.instruction.emit]
        assert [now.final for now in emitting] == [False] * (len(emitting) - 1) + [True]
        assert [now.beats for now in emitting] == [e.placement.beats for e in part.emissions]
        assert part.beats_out == sum(now.beats for now in emitting)


def packets(image: Image, words: list[int]) -> dict[tuple[Space, int], dict[int, int]]:
    """What a load stream writes: memory, then address to word."""
    found: dict[tuple[Space, int], dict[int, int]] = {}
    given = iter(words)
    for head in given:
        space, target, address = Space(head >> 28), head >> 16 & 0xFFF, head & 0xFFFF
        chunks = -(-space_widths(image.design)[space] // 32)
        for n in range(next(given)):
            word = sum(next(given) << (32 * i) for i in range(chunks))
            found.setdefault((space, target), {})[address + n] = word
    return found


@pytest.mark.parametrize("options", [{}, {"layers": 2, "projection": 6}, {"directions": 2}])
@pytest.mark.parametrize("context", [0, 2])
def test_given_states_reach_their_places(options: dict[str, Any], context: int) -> None:
    model = network(**options)
    design = design_for(model, 8, 4, contexts=3)
    image, part = compile_model(model, design), compile_model(model, design).parts[0]
    rng = np.random.default_rng(3)
    for index, layer in enumerate(model.layers):
        cell = rng.integers(layer.state.min, layer.state.max + 1, layer.hidden_size)
        output = rng.integers(layer.output.min, layer.output.max + 1, layer.output_size)
        found = packets(image, image.state_words(index, cell, output, context))
        given = found.pop((Space.VECTOR, 0))
        base = part.needs.regions(0).states[index]
        base += 2 * context * part.needs.regions(0).sizes[index]  # the region read first
        assert elements(design, given, base)[: layer.output_size].tolist() == output.tolist()
        assert sorted(found) == [(Space.CELL, lane) for lane in range(design.units)]
        assert dealt(image, found, index, context).tolist() == cell.tolist()


def elements(design: Design, rows: dict[int, int], base: int) -> IntArray:
    assert sorted(rows) == list(range(base, base + len(rows)))
    fields = split_fields([rows[base + n] for n in range(len(rows))], [design.act_bits] * 4)
    return fields.T.ravel()


def dealt(image: Image, found: Any, index: int, context: int) -> IntArray:
    """Cell states by unit, as the lanes will find them."""
    design = image.design
    finishing = [p for p in image.parts[0].passes if p.instruction.parked]
    given = next(p for p in finishing if p.name.startswith(f"layer {index} "))
    base = given.instruction.bias + (context << bits_for(design.cells))
    ordered = np.zeros(given.placement.beats * design.units, np.int64)
    for (_, lane), words in found.items():
        assert sorted(words) == list(range(base, base + given.placement.beats))
        values = split_fields([words[at] for at in sorted(words)], [design.state.width])
        ordered[lane :: design.units] = values[:, 0]
    return given.placement.from_order(ordered)
