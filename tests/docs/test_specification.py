"""docs/specification.md is enough: a reader written from it computes what the engine does."""

from __future__ import annotations

import ast
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from csb_format import InputScale, Model, save_model
from csb_format.cells.lstm import CellArithmetic
from csb_format.cells.piecewise import Piecewise
from csb_format.fixed import round_rows
from csb_format.heads.mlp import MlpHead
from csb_format.random_models import random_frames, random_model, random_network
from csb_format.scales import MAX_ALIGN, DesignError, _meet
from csb_format.screening.layer import ScreenedLayer
from docs.worked_examples import PAGES, examples, with_examples
from engine.reference import IntegerModel

HERE = Path(__file__).parent
READER = runpy.run_path(str(HERE / "model_reader.py"))
RNG = np.random.default_rng


def one(seed: int, value_bits: int, act_bits: int, head: int | None = None) -> Model:
    """One layer, scales of its own for each gate."""
    return random_model(RNG(seed), 7, 6, 3, 2, 1, value_bits, act_bits, head)


def network(
    seed: int, layers: int, directions: int, projection: int, value_bits: int, act_bits: int,
    head: int | None = None,
) -> Model:  # fmt: skip
    return random_network(
        RNG(seed), 7, 6, (3, 2, 2), (2, 1, 1), layers, directions, projection, value_bits,
        act_bits, head,
    )  # fmt: skip


def reaching(seed: int, act_bits: int, reach: int) -> Model:
    """States of another range."""
    return random_network(RNG(seed), 7, 6, 3, (2, 1, 1), act_bits=act_bits, reach=reach)


def grus(
    seed: int, layers: int, directions: int, value_bits: int, act_bits: int, cell: str = "gru"
) -> Model:
    """Of a GRU."""
    return random_network(
        RNG(seed), 7, 6, (3, 2, 2), (2, 1, 1), layers, directions, 0, value_bits, act_bits,
        2 if directions == 1 else None, cell,
    )  # fmt: skip


def by_gate(seed: int, cell: str, ih: tuple[int, ...], hh: tuple[int, ...]) -> Model:
    """Gates that keep different numbers of weights."""
    return random_network(RNG(seed), 7, 6, 2, (ih, hh, 1), 2, 1, 0, 8, 12, 2, cell)


def screened(seed: int, value_bits: int, act_bits: int) -> Model:
    """A head in planes, some of its rows narrower than others."""
    model = one(seed, value_bits, act_bits, 21)
    assert model.head is not None
    weight = model.head.weight >> np.arange(21)[:, None] % 7
    return replace(model, head=ScreenedLayer.of(replace(model.head, weight=weight)))


def several(seed: int, *hidden: int) -> Model:
    """A head of several linear layers, the first in planes, the last in few bits."""
    model = random_network(RNG(seed), 7, 6, 3, (2, 1, 1), head=4, hidden=hidden, act_bits=10)
    assert isinstance(model.head, MlpHead)
    first, *others, last = model.head.layers
    few = replace(last, weight=round_rows(last.weight, 7), row_bits=7)
    return replace(model, head=MlpHead.of(ScreenedLayer.of(first), *others, few))


MODELS = [
    several(70, 20),
    several(71, 9, 5),
    *[screened(60 + n, bits, act) for n, (bits, act) in enumerate([(16, 16), (4, 8), (9, 12)])],
    by_gate(50, "lstm", (2, 1, 3, 0), (1, 3, 2, 2)),
    by_gate(51, "gru", (2, 1, 3), (0, 3, 1)),
    *[one(n, bits, act, 3) for n, (bits, act) in enumerate([(16, 16), (4, 8), (8, 6), (18, 18)])],
    one(9, 8, 7),
    one(10, 12, 9),
    *[
        grus(40 + n, *shape)
        for n, shape in enumerate([(1, 1, 16, 16), (2, 2, 8, 9), (2, 1, 4, 18)])
    ],
    *[grus(43 + n, *shape, "gru0") for n, shape in enumerate([(2, 2, 8, 9), (1, 1, 16, 16)])],
    *[reaching(30 + n, act, reach) for n, (act, reach) in enumerate([(9, 128), (12, 8), (16, 64)])],
    *[
        network(20 + n, *shape)
        for n, shape in enumerate(
            [(2, 1, 0, 8, 12), (1, 2, 0, 16, 16), (2, 2, 4, 4, 8, 5), (2, 1, 4, 18, 10, 2)]
        )
    ],
]


@pytest.mark.parametrize("model", MODELS)
def test_a_reader_from_the_page_equals_the_integer_model(model: Model, tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors", model)
    reader = READER["Network"](tmp_path / "model.safetensors")
    (frames,) = random_frames(RNG(3), model, [6])
    (trace,) = IntegerModel(model).run([frames])
    hidden, cell, output = reader.run(frames)
    assert np.array_equal(hidden, trace.hidden)
    assert np.array_equal(cell, trace.cell)
    assert np.array_equal(output, trace.output)
    assert len(np.unique(hidden)) > 4
    if model.head is not None:
        assert np.array_equal(reader.logits(output), model.head.logits(output))


def test_a_reader_from_the_page_scales_raw_features_as_we_do(tmp_path: Path) -> None:
    random, plain = RNG(8), one(3, 8, 8, 3)
    inputs = plain.layers[0].input_size
    scale = InputScale(random.normal(0, 50, inputs), random.lognormal(-4, 2, inputs))
    model = replace(plain, input_scale=scale, label_names=("one", "zw\u00f6lf", "3"))
    save_model(tmp_path / "model.safetensors", model)
    reader = READER["Network"](tmp_path / "model.safetensors")
    assert reader.names == list(model.label_names)
    raw = random.normal(0, 60, (200, inputs))
    found = reader.frames(raw)
    assert np.array_equal(found, plain.layers[0].input.quantise(scale.apply(raw)))
    assert len(np.unique(found)) > 50


@pytest.mark.parametrize(
    ("act", "reach"), [*[(act, 16) for act in range(6, 19)], (6, 8), (9, 128), (13, 64), (16, 32)]
)
def test_the_table_and_both_functions_at_every_argument(act: int, reach: int) -> None:
    arithmetic = CellArithmetic(act, reach)
    known: Piecewise = arithmetic.piecewise
    cell = READER["Cell"](act, arithmetic.state.frac)
    assert np.array_equal(cell.base, known.table[0])
    assert np.array_equal(cell.rise, known.table[1])
    x = np.arange(arithmetic.state.min, arithmetic.state.max + 1, 1 if act < 14 else 7)
    assert np.array_equal(cell.tanh(x), known.tanh(x))
    assert np.array_equal(cell.sigmoid(x), known.sigmoid(x))


def test_the_rule_of_scales_at_every_distance() -> None:
    for ih in range(-4, 30):
        for hh in range(-4, 30):
            far = max(ih, hh, 13) - min(ih, hh) > MAX_ALIGN
            if far:
                with pytest.raises(DesignError):
                    _meet(ih, hh, 13)
                with pytest.raises(ValueError, match="too far apart"):
                    READER["meet"](ih, hh, 13)
            else:
                assert READER["meet"](ih, hh, 13) == _meet(ih, hh, 13)


def test_saturation_is_reached(tmp_path: Path) -> None:
    """Frames at the ends of their range, so that clipping of every kind is in the comparison."""
    model = one(0, 8, 8)
    save_model(tmp_path / "model.safetensors", model)
    layer = model.layers[0]
    ends = np.array([layer.input.min, layer.input.max])
    frames = RNG(1).choice(ends, (40, layer.input_size))
    (trace,) = IntegerModel(model).run([frames])
    hidden, cell, _ = READER["Network"](tmp_path / "model.safetensors").run(frames)
    assert np.array_equal(hidden, trace.hidden)
    assert np.array_equal(cell, trace.cell)


@pytest.mark.parametrize("name", ["model_reader.py", "wire_writer.py"])
def test_the_second_implementation_imports_nothing_of_the_project(name: str) -> None:
    tree = ast.parse((HERE / name).read_text())
    found = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    allowed = {"__future__", "collections.abc", "hashlib", "json", "math", "numpy", "pathlib"}
    assert found <= allowed | {"safetensors", "typing", "zlib"}


DOCS = HERE.parents[1] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_examples_are_as_the_code_is(name: str) -> None:
    page = (DOCS / name).read_text()
    assert with_examples(page) == page, "run python -m docs.worked_examples --write"


def test_every_example_stands_in_a_page_once() -> None:
    text = "".join((DOCS / name).read_text() for name in PAGES)
    assert {name: text.count(f"<!-- example {name} -->") for name in examples()} == dict.fromkeys(
        examples(), 1
    )


def test_the_page_has_the_largest_left_shift_and_the_widths() -> None:
    page = (DOCS / "specification.md").read_text()
    assert f"is above {MAX_ALIGN}, the model cannot run" in page
    assert "width of `hidden` (6..18)" in page
    for bits in (5, 19):
        with pytest.raises(ValueError, match="choose 6 to 18 bits"):
            CellArithmetic(bits)
