"""An array that trains, behind the driver: every weight, master and exponent of the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.host.driver import Accelerator
from boards.learn.learner import ArrayLearner
from compiler.array.needs import design_for
from compiler.learn.layout import training_design
from csb_format.scales import DesignError
from engine.learn.head import Asked
from engine.learn.learner import Learner, LearnError, Settings
from tests.engine.learn.networks import batch, network

ANSWERS = 4
UPDATES = 100
FEW = ((3, 1, 2, 1), (1,), (2, 2), (1, 2, 1))  # frames of the sequences of a batch
CASES: list[tuple[dict[str, Any], tuple[int, int], int]] = [
    ({}, (4, 4), ANSWERS),
    ({"value_bits": 16, "act_bits": 16, "head": 3}, (8, 2), ANSWERS),
    ({"projection": 8, "layers": 2, "head": 9}, (16, 4), ANSWERS),
    ({"pool": "every", "head": 4}, (8, 4), 7),
]


@pytest.mark.slow
@pytest.mark.parametrize(("more", "array", "answers"), CASES, ids=str)
def test_a_hundred_updates_on_verilog_are_those_of_the_contract(
    tmp_path: Path, more: dict[str, Any], array: tuple[int, int], answers: int
) -> None:
    model = network(**more)
    settings = Settings("head", rate=0.5, generator="crossed", seed=7)
    reference, mismatches = Learner(model, settings), 0
    design = training_design(model, *array, answers)
    with Accelerator.open("sim", design, work=tmp_path) as accelerator:
        accelerator.timeout = 3600.0
        learner = ArrayLearner(model, settings, accelerator, answers)
        for step in range(UPDATES):
            frames, asked = batch(model, seed=step, lengths=FEW[step % len(FEW)])
            asked = asked if asked.counted else Asked(tuple(np.abs(a) for a in asked.labels))
            assert learner.step(frames, asked) == reference.step(frames, asked), step
            if step == UPDATES // 2:  # a break: another learner takes its state
                state = learner.state()
                learner = ArrayLearner(model, settings, accelerator, answers)
                learner.restore(state)
        found, wanted = learner.state(), reference.state()
        mismatches = sum(int((found[name] != wanted[name]).sum()) for name in wanted)
    assert model.head is not None
    moved = reference.model.head
    assert moved is not None
    assert (mismatches, set(found) ^ set(wanted)) == (0, set())
    assert (moved.weight != model.head.weight).any()


def test_other_modes_and_designs_are_refused() -> None:
    model = network()
    design = training_design(model, 4, 4, ANSWERS)
    with Accelerator.open("model", design) as accelerator:
        with pytest.raises(LearnError, match="arrays train the head alone so far"):
            ArrayLearner(model, Settings("all"), accelerator, ANSWERS)
        with pytest.raises(DesignError, match="5 answers a batch need"):
            ArrayLearner(model, Settings("head"), accelerator, 5)
    plain = design_for(model, 4, 4, head=True)
    with Accelerator.open("model", plain) as accelerator:
        with pytest.raises(DesignError, match="train = 0: 4 answers a batch need"):
            ArrayLearner(model, Settings("head"), accelerator, ANSWERS)
        accelerator.load(model, head=True)
        with pytest.raises(Exception, match="this bitstream does not train"):
            accelerator.command([])
