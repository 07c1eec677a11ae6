"""Top-k sampling through the driver writes what the full layer writes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from boards.host.driver import Accelerator
from compiler.array.needs import design_for
from csb_format import Model
from csb_format.fixed import IntArray
from csb_format.random_models import random_model
from csb_format.screening.layer import ScreenedLayer
from engine.levels import run_levels
from engine.reference import IntegerModel
from engine.sampling import sampled
from engine.screened import of_all

WORDS, K = 37, 4
TABLE = np.random.default_rng(5).integers(-300, 300, (WORDS, 6))


def language_model() -> Model:
    model = random_model(np.random.default_rng(2), 6, 8, 4, 2, 1, head=WORDS)
    assert model.head is not None
    return replace(model, head=ScreenedLayer.of(model.head))


def from_all(model: Model, length: int, seed: int) -> list[int]:
    """By sorting all logits."""
    integers, head, text = IntegerModel(model), model.head, list[int]()
    assert head is not None

    def following(word: int) -> tuple[IntArray, IntArray]:
        text.append(word)
        (trace,) = run_levels(integers, [TABLE[text]])[-1]
        return of_all(head.logits(trace.output[-1]), K)

    return sampled(following, [1, 2, 3], length, last_bit=head.last_bit, seed=seed)


def on_board(model: Model, target: str, length: int, seed: int) -> list[int]:
    assert model.head is not None
    with Accelerator.open(target, design_for(model, 4, 2, largest=K)) as board:
        board.load(model)
        stream = board.stream()

        def following(word: int) -> tuple[IntArray, IntArray]:
            found = stream.step(TABLE[[word]]).largest
            assert found is not None
            return found.indices[0], found.logits[0]

        return sampled(following, [1, 2, 3], length, last_bit=model.head.last_bit, seed=seed)


def test_texts_are_the_same() -> None:
    model = language_model()
    texts = [from_all(model, 12, seed) for seed in range(3)]
    assert texts == [on_board(model, "model", 12, seed) for seed in range(3)]
    assert len({tuple(text) for text in texts}) > 1


@pytest.mark.slow
def test_a_simulated_board_writes_it() -> None:
    """Every bit of the serial line, the load of the screen unit among them."""
    model = language_model()
    assert on_board(model, "sim", 6, 0) == from_all(model, 6, 0)


def test_without_a_beginning_there_is_no_text() -> None:
    with pytest.raises(ValueError, match="beginning is empty: give one token at least"):
        sampled(lambda token: of_all(np.zeros(3, np.int64), 1), [], 3, last_bit=1.0, seed=0)


@pytest.mark.parametrize("last_bit", [float("nan"), -1.0])
def test_a_last_bit_that_is_none_is_told(last_bit: float) -> None:
    with pytest.raises(ValueError, match=f"last_bit = {last_bit}: must be a number, at least 0"):
        sampled(lambda token: of_all(np.zeros(3, np.int64), 1), [1], 3, last_bit=last_bit, seed=0)
