"""A model that learns: what moves, what stays, how it goes on after a break, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from csb_format import load_model, save_model
from engine.learn.exponents import SPAN, Exponents, Seen
from engine.learn.head import Asked
from engine.learn.learner import Learner, LearnError, Settings
from engine.learn.loss import PROBABILITY_BITS, probabilities

from .networks import batch, network


def test_probabilities_are_softmax() -> None:
    logits = np.random.default_rng(0).integers(-(1 << 16), 1 << 16, (50, 9))
    real = np.exp(logits / 2.0**13)
    want = real / real.sum(axis=1, keepdims=True)
    for frac, shift in ((13, 0), (9, 4), (20, -7)):
        moved = logits >> shift if shift > 0 else logits << -shift
        found = probabilities(moved, frac) / 2.0**PROBABILITY_BITS
        assert np.abs(found - want).max() < 2e-3


@pytest.mark.parametrize(
    ("mode", "moves"), [("head", "head"), ("recurrent", "layers"), ("all", "")]
)
def test_only_what_the_mode_names_and_kept_weights_move(mode: Any, moves: str) -> None:
    model = network()
    learner, (frames, asked) = Learner(model, Settings(mode=mode, rate=1.0)), batch(model)
    first = learner.step(frames, asked).cost
    for _ in range(8):
        last = learner.step(frames, asked).cost
    assert last < first
    new = learner.model
    assert new.head is not None
    assert model.head is not None
    assert new.head.equals(model.head) == (mode == "recurrent")
    assert new.layers[0].equals(model.layers[0]) == (mode == "head")
    for old, now in zip(model.layers[0].matrices, new.layers[0].matrices, strict=True):
        assert np.array_equal(old.matrix.indices, now.matrix.indices)
        assert old.formats == now.formats
        assert old.matrix.geometry == now.matrix.geometry
    assert all(name.removeprefix("master.").startswith(moves) for name in learner.masters.values)


def test_the_model_is_saved_and_loaded(tmp_path: Any) -> None:
    model = network()
    learner = Learner(model, Settings())
    learner.step(*batch(model))
    save_model(tmp_path / "m.safetensors", learner.model)
    assert load_model(tmp_path / "m.safetensors").equals(learner.model)


def test_it_goes_on_bit_for_bit() -> None:
    model = network()
    frames, asked = batch(model)
    whole, begun = Learner(model, Settings()), Learner(model, Settings())
    for _ in range(4):
        whole.step(frames, asked)
    for _ in range(2):
        begun.step(frames, asked)
    again = Learner(model, Settings())
    again.restore(begun.state())
    for _ in range(2):
        again.step(frames, asked)
    one, other = whole.state(), again.state()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    with pytest.raises(LearnError, match=r"the state has no layers\.0\.weight_ih of this model"):
        Learner(network(hidden_size=8), Settings()).restore(begun.state())
    state = begun.state()
    for changed in (Settings(gradient_bits=16), Settings("recurrent")):
        with pytest.raises(LearnError, match="of another mode, or of gradients of other bits"):
            Learner(model, changed).restore(state)
    bias: Any = state["master.head.bias"]
    for wrong in (bias + (1 << 60), bias / 2):
        with pytest.raises(LearnError, match=r"the state has no head\.bias of this model"):
            Learner(model, Settings()).restore(state | {"master.head.bias": wrong})
    nothing: Any = [1]
    with pytest.raises(LearnError, match=r"state = \[1\]: give what an earlier training returned"):
        Learner(model, Settings()).restore(nothing)


def test_numbers_are_learnt_too() -> None:
    model = network(value_bits=16, act_bits=16)
    frames, _ = batch(model)
    head = model.head
    assert head is not None
    rng, last_bit = np.random.default_rng(0), head.last_bit
    asked = Asked(targets=tuple(
        np.floor(rng.normal(0, 0.3, (1, 5)) / last_bit).astype(np.int64) for _ in frames
    ))  # fmt: skip
    learner = Learner(model, Settings(rate=0.1))
    costs = [learner.step(frames, asked).cost for _ in range(12)]
    assert costs[-1] < 0.7 * costs[0]


def test_own_exponents_learn_the_same_way() -> None:
    model = network()
    learner = Learner(model, Settings(exponents="own"))
    told = learner.step(*batch(model))
    assert (told.moved, told.clipped) == (0, 0.0)


def test_exponents_rise_at_once_and_fall_by_one() -> None:
    found = Exponents({"d.0": 8, "h.0": 16})
    found.start("d.0", np.array([-10, -10, -10]))
    found.start("h.0", np.array([-20]))
    seen = Seen()
    seen.note_steps("d.0", np.array([10, 7, 2]), 3)
    seen.note("h.0", 0, 1, 0)
    assert found.follow(seen) == 3
    assert found.known["d.0"].tolist() == [-7, -10, -11]
    assert found.known["h.0"].tolist() == [-21]
    assert found.of("d.0", 5).tolist() == [-7, -10, -11, -11, -11]
    for _ in range(40):
        quiet = Seen()
        quiet.note_steps("d.0", np.array([7, 0, 0]), 0)
        found.follow(quiet)
    assert found.known["d.0"].tolist() == [-7, -7 - SPAN, -7 - SPAN]


def test_what_cannot_be_trained_is_refused() -> None:
    model = network()
    with pytest.raises(LearnError, match="the model has no head"):
        Learner(replace(model, head=None), Settings())
    with pytest.raises(LearnError, match=r"layer 0: weight_ih has 18 bits, training takes 16"):
        Learner(network(value_bits=18), Settings())
    frames, _ = batch(model, lengths=(3,))
    with pytest.raises(LearnError, match="a batch without an answer that counts"):
        Learner(model, Settings()).step(frames, Asked((np.array([-1]),)))
    for wrong, why in (
        ({"mode": "some"}, "mode 'some': choose one of head, recurrent, all"),
        ({"rate": 0.0}, "rate 0.0: must be"),
        ({"gradient_bits": 9}, "gradient_bits 9: must be 8 or 16"),
        ({"seed": -1}, "seed -1: must be"),
        ({"memory": -1}, "memory -1: must be"),
    ):
        with pytest.raises(ValueError, match=why):
            Settings(**wrong)
