"""What leaves a core whose recurrent layers learn: all that a step back needs of every unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compiler.learn.design import training_design
from compiler.lower.compile import compile_model
from engine.learn.reference import ReferencePass
from engine.learn.tape import Piece
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job
from tests.engine.learn.networks import batch, network

STEPS = 2


@pytest.mark.quick(1)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_gates_and_sums_are_those_of_the_contract(cell: str) -> None:
    model = network(cell=cell, k=(1, 1, 1), input_size=4, hidden_size=8)
    image = compile_model(model, training_design(model, 4, 4, 4, 4 * STEPS), head=True)
    (frames,), _ = batch(model, lengths=(STEPS,))
    outcome = simulate_amaranth(image, Job.of(image, [frames]))
    found = outcome.emitted(image)[0].values
    made: Any = ReferencePass(model.layers[0], 0)
    made.forward(frames.T[:, :, None], Piece((STEPS,), 1))
    for name in made.cell.taped:
        wanted = np.stack([getattr(frame, name)[0] for frame in made.tape])
        assert (found[name] == wanted).all(), name
    assert (found["h"] == np.stack(made.h)[:, 0]).all()
