"""The update of the array, on its memories, against the contract of training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compiler.learn.commands import Update
from compiler.learn.design import training_design
from compiler.learn.layout import LearningLayout
from compiler.learn.memories import Memories, masters_in
from compiler.learn.model import updated
from compiler.lower.compile import compile_model
from compiler.lower.learning.masters import low_bits, master_of
from csb_format.fixed import round_shift, saturate
from csb_format.scales import DesignError
from engine.learn.crossed import COLUMN_BITS
from engine.learn.integers import Rate, place_of, random_bits, start_of
from engine.learn.tape import Gradient
from engine.learn.weights import MASTER_BITS, Masters
from tests.engine.learn.networks import network

CASES = [(4, 4, 8, 0.25), (8, 2, 16, 64.0), (16, 4, 8, 1e-4), (4, 4, 16, 2.0), (4, 4, 12, 3e4)]
MOST = 9


@pytest.mark.parametrize(("pes", "lanes", "bits", "rate"), CASES)
def test_memories_become_what_the_contract_says(
    pes: int, lanes: int, bits: int, rate: float
) -> None:
    rng = np.random.default_rng(pes + bits)
    model = network(head=7, value_bits=bits, act_bits=8)
    assert model.head is not None
    image = compile_model(model, training_design(model, pes, lanes, MOST), head=True)
    memories, masters = Memories.of(image), Masters(model, ("head.",))
    frac, taken = model.head.weight_format.frac, model.head.input.frac
    for step in range(4):
        answers = int(rng.integers(1, MOST + 1))
        gradients = rng.integers(-32767, 32768, (answers, 7))
        gradients[0, :2] = 32767, -32767
        fed = rng.integers(-128, 128, (answers, 16))
        exponent, start = -15 - taken, start_of(5, step, masters.order.index("head.weight"))
        found = {"head.weight": Gradient(gradients.T @ fed, exponent)}
        masters.update(found, Rate.of(rate, answers), 5, step, generator="crossed")
        place = place_of(-(exponent + frac + MASTER_BITS), by := Rate.of(rate, answers)), by.factor
        layout = LearningLayout(image, answers)
        layout.check()
        memories.write(image.design, layout.tape_packets(fed))
        dice = random_bits(start, 7).astype(np.int64)
        memories.write(image.design, layout.gradient_packets(gradients, dice))
        memories = updated(Update(layout, *place, start >> COLUMN_BITS), memories)
        wanted = masters.values["head.weight"]
        assert (masters_in(layout, memories) == wanted).all(), step
    assert (wanted != model.head.weight << MASTER_BITS).any()


def test_a_master_is_known_from_its_weight_and_low_bits() -> None:
    for bits in (8, 16):
        top = 1 << (bits + MASTER_BITS - 1)
        masters = np.concatenate([np.arange(-top, 1000 - top), np.arange(top - 1000, top)])
        weights = saturate(round_shift(masters, MASTER_BITS), bits)
        assert (master_of(weights, low_bits(masters)) == masters).all()


def test_what_is_too_large_is_told() -> None:
    model = network()
    design = training_design(model, 4, 4, 4)
    image = compile_model(model, design, head=True)
    with pytest.raises(DesignError, match="5 answers a batch need"):
        LearningLayout(image, 5).check()
    with pytest.raises(DesignError, match="answers = 0"):
        training_design(model, 4, 4, 0)
    with pytest.raises(DesignError, match=r"or steps needs \w+_depth = \d+: load packets reach"):
        training_design(model, 4, 4, 4, 100_000)
    with pytest.raises(DesignError, match="value_bits = 6"):
        training_design(network(value_bits=6), 4, 4, 4)
    with pytest.raises(DesignError, match="not with checked = True"):
        replace(design, checked=True)
    with pytest.raises(DesignError, match="place = 63"):
        Update(LearningLayout(image, 4), 63, 1, 0)
