"""``sf.adapt``: batches of arrays, on from a state, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sparseflow as sf
from csb_format.random_models import random_network
from engine.learn.head import Asked
from engine.learn.learner import Learner, Settings

MODEL = random_network(
    np.random.default_rng(0), 6, 12, 2, (1, 2, 0), value_bits=8, act_bits=8, head=3
)


def batches(count: int) -> list[tuple[list[Any], Any]]:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(count):
        labels = rng.integers(0, 3, 8)
        found.append(([rng.normal(size=(5, 6)) + 0.5 * label for label in labels], labels))
    return found


def test_it_learns_and_goes_on_bit_for_bit() -> None:
    given = batches(40)
    whole = sf.adapt(MODEL, given, rate=0.5)
    assert np.mean([t.cost for t in whole.told[-8:]]) < np.mean([t.cost for t in whole.told[:8]])
    part = sf.adapt(MODEL, given[:17], rate=0.5)
    rest = sf.adapt(MODEL, given[17:], rate=0.5, state=part.state)
    assert rest.model.equals(whole.model)
    assert [t.cost for t in part.told + rest.told] == [t.cost for t in whole.told]
    assert not whole.model.equals(MODEL)


def test_numbers_are_taken_too() -> None:
    frames, _ = batches(1)[0]
    found = sf.adapt(MODEL, [(frames, np.zeros((8, 3)))] * 10, mode="head", rate=0.05)
    assert found.told[-1].cost < found.told[0].cost


@pytest.mark.slow
def test_an_array_learns_as_the_contract_says() -> None:
    rng = np.random.default_rng(0)
    model = random_network(rng, 6, 8, 4, (1, 1, 0), value_bits=8, act_bits=8, head=3)
    short = [([each[:2] for each in frames[:4]], labels[:4]) for frames, labels in batches(3)]
    learner = Learner(model, Settings(rate=0.5, generator="crossed"))
    part = sf.adapt(model, short[:2], rate=0.5, target="sim")
    rest = sf.adapt(model, short[2:], rate=0.5, target="sim", state=part.state)
    for frames, labels in short:
        quantised = [model.layers[0].input.quantise(each) for each in frames]
        learner.step(quantised, Asked(tuple(np.array([label]) for label in labels)))
    assert rest.model.equals(learner.model)


def test_numbers_of_numpy_are_options_and_text_is_none() -> None:
    given: Any = batches(2)
    plain = sf.adapt(MODEL, given, rate=0.5, seed=3, memory=1 << 20)
    of_numpy: Any = {"rate": np.float32(0.5), "seed": np.int64(3), "memory": np.int64(1 << 20)}
    assert sf.adapt(MODEL, given, **of_numpy).model.equals(plain.model)
    for wrong in ({"seed": 1.5}, {"memory": "4MiB"}, {"rate": "1"}):
        with pytest.raises(TypeError, match=f"{next(iter(wrong))} = "):
            sf.adapt(MODEL, given, **wrong)


@pytest.mark.parametrize("left", ["steps", "exponent"])
def test_a_state_that_lacks_something_is_refused(left: str) -> None:
    given = batches(2)
    state = sf.adapt(MODEL, given).state
    part = {name: values for name, values in state.items() if not name.startswith(left)}
    with pytest.raises(ValueError, match="the state lacks steps or exponents: begin anew"):
        sf.adapt(MODEL, given, state=part)
    answered = sf.adapt(MODEL, given, mode="head")
    sf.adapt(MODEL, given, mode="head", state=answered.state)  # of classes it has no exponents


def test_a_target_is_one_of_three() -> None:
    with pytest.raises(ValueError, match="target = 'fpga': give cpu, sim or serial:PORT"):
        sf.adapt(MODEL, [], target="fpga")


def test_what_is_no_batch_is_refused() -> None:
    frames, labels = batches(1)[0]
    wrong: list[tuple[Any, type[Exception], str]] = [
        ([frames], TypeError, r"batch 0 is .*: give \(sequences, answers\)"),
        ([(frames, labels[:3])], ValueError, r"answers of shape \(3,\): give one for each sequen"),
        ([(frames, labels + 2)], ValueError, r"label [34]: the head has classes 0 to 2"),
        ([(frames, np.zeros((8, 2)))], ValueError, r"numbers of shape \(8, 2\): the head gives 3"),
        ([(frames, labels > 1)], ValueError, "answers of bool: give classes"),
        ([(frames, np.full((8, 3), np.nan))], ValueError, "batch 0: answers hold NaN or infinity"),
        ([([frames[0] * np.nan, *frames[1:]], labels)], ValueError, "sequence 0 holds NaN or inf"),
    ]
    for given, error, why in wrong:
        with pytest.raises(error, match=why):
            sf.adapt(MODEL, given)
    with pytest.raises(TypeError, match=r"sf.adapt takes a model, not 'a file'"):
        sf.adapt("a file", [])  # type: ignore[arg-type]
