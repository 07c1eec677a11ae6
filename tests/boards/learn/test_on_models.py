"""A learner over an array's bit-exact models, as docs/learning_array.md has it: modes, cycles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from boards.learn.learner import ArrayLearner
from compiler.learn.design import training_design
from compiler.learn.timing import batch_cycles
from csb_format import LstmLayer
from engine.learn.head import Asked
from engine.learn.learner import Learner, Mode, Settings
from tests.boards.learn.array_model import ModelAccelerator
from tests.engine.learn.networks import batch, network

SMALL = {"input_size": 8, "hidden_size": 8}
CASES: list[tuple[Mode, int, dict[str, Any], tuple[int, int]]] = [
    ("all", 8, {}, (4, 4)),
    ("recurrent", 8, {"projection": 8, "layers": 2, "head": 9, "pool": "every", **SMALL}, (8, 4)),
    ("all", 16, {"head": 3, **SMALL}, (16, 4)),
    ("all", 8, {"cell": "gru", "pool": "mean", **SMALL}, (4, 4)),
    ("all", 8, {"directions": 2, "pool": "hn", **SMALL}, (4, 4)),
    ("all", 8, {"value_bits": 16, "act_bits": 16, "banks": 8, "k": (1, 1, 1), **SMALL}, (4, 8)),
    ("all", 8, {"layers": 2, "reach": (64, 16), **SMALL}, (8, 4)),
    ("all", 16, {"layers": 3, "banks": 8, "k": (1, 1, 1)}, (8, 4)),
    ("all", 8, {"cell": "gru", **SMALL}, (4, 4)),
    ("all", 16, {"cell": "gru", "layers": 2, "pool": "every", **SMALL}, (8, 4)),
    ("all", 8, {"directions": 2, "layers": 2, "cell": "gru", **SMALL}, (8, 4)),
    ("head", 8, {"pool": "mean", **SMALL}, (4, 4)),
    # a product for each format, as shifted weights would outgrow multipliers
    ("all", 8, {"cell": "gru", "value_bits": 16, "act_bits": 16, **SMALL}, (4, 4)),
]


def one_format(layer: LstmLayer) -> LstmLayer:
    """All gates' weights of each matrix in the format of the first, whatever they mean."""
    ih, hh = (layer.gate_formats(name)[0] for name in ("weight_ih", "weight_hh"))
    return replace(layer, weight_ih_format=ih, weight_hh_format=hh)


LENGTHS = ((3, 1, 2, 1), (5, 5, 2, 1, 3), (1,))


@pytest.mark.quick(5)
@pytest.mark.parametrize(("mode", "bits", "more", "array"), CASES, ids=str)
def test_updates_are_those_of_the_contract(
    mode: Mode, bits: int, more: dict[str, Any], array: tuple[int, int]
) -> None:
    equal_after(3, mode, bits, more, array)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "bits", "more", "array"), CASES, ids=str)
def test_a_hundred_updates_are_those_of_the_contract(
    mode: Mode, bits: int, more: dict[str, Any], array: tuple[int, int]
) -> None:
    equal_after(100, mode, bits, more, array)


def equal_after(
    updates: int, mode: Mode, bits: int, more: dict[str, Any], array: tuple[int, int]
) -> None:
    """Every weight, master, bias and exponent of the reference with the same dice."""
    model = network(**more)
    settings = Settings(mode, rate=0.5, generator="crossed", seed=7, gradient_bits=bits)
    reference = Learner(model, settings)
    design = training_design(model, *array, 16, 48, bits)
    learner = ArrayLearner(model, settings, ModelAccelerator(design, bits))  # type: ignore[arg-type]
    for step in range(updates):
        given, asked = batch(model, seed=step, lengths=LENGTHS[step % len(LENGTHS)])
        asked = asked if asked.counted else Asked(tuple(np.abs(a) for a in asked.labels))
        assert learner.step(given, asked) == reference.step(given, asked)
    found, wanted = learner.state(), reference.state()
    assert set(found) == set(wanted)
    assert all((found[name] == wanted[name]).all() for name in wanted)


@pytest.mark.quick(4)
@pytest.mark.parametrize(
    ("sequences", "alike", "more"),
    [
        (6, False, {}),
        (4, False, {"layers": 2, "projection": 8}),
        (4, True, {"layers": 2, "cell": "gru"}),
        (4, False, {"layers": 2, "directions": 2, "pool": "mean"}),
        (4, False, {"layers": 2, "cell": "gru"}),
        (4, True, {"layers": 2, "cell": "gru", "directions": 2, "pool": "hn"}),
    ],
    ids=str,
)
def test_cycles_and_words_are_those_of_the_cycle_model(
    sequences: int, alike: bool, more: dict[str, Any]
) -> None:
    model = network(**SMALL | more)
    if alike:
        model = replace(model, layers=tuple(map(one_format, model.layers)))
    design = training_design(model, 8, 4, 8, 24)
    array = ModelAccelerator(design, 8)
    learner = ArrayLearner(model, Settings(generator="crossed"), array)  # type: ignore[arg-type]
    array.updates = array.backs = array.loaded = array.left = 0
    learner.step(*batch(model, lengths=(3,) * sequences))
    told = batch_cycles(learner._array.image, 3, sequences)
    assert (array.backs, array.left) == (told.back, told.left)
    assert array.loaded == told.loaded
