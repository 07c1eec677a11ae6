"""An array that trains, behind the driver: every weight, master and exponent of the contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.host.driver import Accelerator, AcceleratorError
from boards.learn.compiled import CompiledBus
from boards.learn.learner import ArrayLearner
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.learn.design import training_design
from csb_format.scales import DesignError
from engine.learn.head import Asked
from engine.learn.learner import Learner, LearnError, Mode, Settings
from sim.bus.compiled import CompiledBuses
from sim.run.streams import Pauses
from tests.engine.learn.networks import batch, network

ANSWERS, FRAMES = 7, 12
UPDATES = 100
FEW_UPDATES = 4  # bit by bit they take an hour a hundred
FEW = ((3, 1, 2, 1), (1,), (2, 2), (1, 2, 1))  # frames of the sequences of a batch
SMALL = {"input_size": 8, "hidden_size": 8}
CASES: list[tuple[Mode, int, dict[str, Any], tuple[int, int]]] = [
    ("head", 8, {}, (4, 4)),
    ("head", 8, {"value_bits": 16, "act_bits": 16, "head": 3}, (8, 2)),
    ("head", 8, {"projection": 8, "layers": 2, "head": 9}, (16, 4)),
    ("head", 8, {"pool": "every", "head": 4}, (8, 4)),
    ("all", 8, {}, (4, 4)),
    ("recurrent", 8, {"projection": 8, "layers": 2, "head": 9, "pool": "every", **SMALL}, (8, 4)),
    ("all", 16, {"head": 3, **SMALL}, (16, 4)),
    ("all", 8, {"value_bits": 16, "act_bits": 16, "banks": 8, "k": (1, 1, 1), **SMALL}, (4, 8)),
    ("all", 8, {"cell": "gru", "pool": "mean", "directions": 2, **SMALL}, (8, 4)),
]


def equal_after(
    updates: int,
    opened: Callable[[Design], Accelerator],
    mode: Mode,
    bits: int,
    more: dict[str, Any],
    array: tuple[int, int],
) -> None:
    """Every weight, master, bias and exponent of the reference, with a break in the middle."""
    model = network(**more)
    settings = Settings(mode, rate=0.5, generator="crossed", seed=7, gradient_bits=bits)
    reference, mismatches = Learner(model, settings), 0
    frames = 0 if mode == "head" else max(FRAMES, 3 * array[1])
    with opened(training_design(model, *array, ANSWERS, frames, bits)) as accelerator:
        accelerator.timeout = 3600.0
        learner = ArrayLearner(model, settings, accelerator)
        for step in range(updates):
            given, asked = batch(model, seed=step, lengths=FEW[step % len(FEW)])
            asked = asked if asked.counted else Asked(tuple(np.abs(a) for a in asked.labels))
            assert learner.step(given, asked) == reference.step(given, asked), step
            if step == updates // 2:  # a break: another learner takes its state
                state = learner.state()
                learner = ArrayLearner(model, settings, accelerator)
                learner.restore(state)
        found, wanted = learner.state(), reference.state()
        mismatches = sum(int((found[name] != wanted[name]).sum()) for name in wanted)
    assert (mismatches, set(found) ^ set(wanted)) == (0, set())
    moved, start = reference.masters, Learner(model, settings).masters
    assert all((moved.weight(n) != start.weight(n)).any() for n in moved.values if n[-4:] != "bias")


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "bits", "more", "array"), CASES, ids=str)
def test_a_hundred_updates_on_verilog_are_those_of_the_contract(
    mode: Mode, bits: int, more: dict[str, Any], array: tuple[int, int]
) -> None:
    def opened(design: Design) -> Accelerator:
        return Accelerator(CompiledBus(CompiledBuses(design, pauses=Pauses(0.3, 7))), design)

    equal_after(UPDATES, opened, mode, bits, more, array)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "bits", "more", "array"), [CASES[0], CASES[4]], ids=str)
def test_updates_through_a_simulated_line_are_those_of_the_contract(
    tmp_path: Path, mode: Mode, bits: int, more: dict[str, Any], array: tuple[int, int]
) -> None:
    def opened(design: Design) -> Accelerator:
        return Accelerator.open("sim", design, work=tmp_path)

    equal_after(FEW_UPDATES, opened, mode, bits, more | SMALL, array)


def test_other_modes_and_designs_are_refused() -> None:
    model = network()
    with Accelerator.open("model", training_design(model, 4, 4, 4)) as accelerator:
        with pytest.raises(LearnError, match="this bitstream trains the head alone"):
            ArrayLearner(model, Settings("all"), accelerator)
        with pytest.raises(DesignError, match="the head of this model learns on the host"):
            training_design(replace(model, pool="mean"), 4, 4, 4)
        with pytest.raises(AcceleratorError, match="does not train recurrent layers"):
            accelerator.columns([], 1)
        learner = ArrayLearner(model, Settings("head"), accelerator)
        given, asked = batch(model, lengths=(1, 2, 1, 2, 1))
        with pytest.raises(DesignError, match="8 answers a batch need"):
            learner.step(given, asked)
    with Accelerator.open("model", design_for(model, 4, 4, head=True)) as accelerator:
        with pytest.raises(LearnError, match="this bitstream does not train"):
            ArrayLearner(model, Settings("head"), accelerator)
        accelerator.load(model, head=True)
        with pytest.raises(Exception, match="this bitstream does not train"):
            accelerator.command([])
