"""Arrays that do not divide evenly: every bit and every cycle as the models say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from compiler.abi.frames import Stimulus
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.timing.cycle_model import CycleModel
from csb_format import Model
from csb_format.random_models import random_frames, random_network
from engine.reference import IntegerModel
from sim.check.compare import compare
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job
from sim.run.streams import Pauses


@dataclass(frozen=True)
class Case:
    """A network of X inputs and H units on an array, and the frames of each sequence.

    Parameters
    ----------
    sizes : tuple of int
        X, H, banks.
    array : tuple of int
        M, N.
    network, options : dict
        Of :func:`random_network` and :func:`design_for`.
    lengths : tuple of int
    """

    sizes: tuple[int, int, int]
    array: tuple[int, int]
    network: dict[str, Any]
    options: dict[str, Any]
    lengths: tuple[int, ...] = (2, 1, 2)

    def image(self) -> tuple[Model, Image]:
        """The network and what its array runs."""
        network = {"k": (2, 2, 2)} | self.network
        model = random_network(np.random.default_rng(3), *self.sizes, **network)
        head = model.head is not None
        design = design_for(model, *self.array, head=head, **self.options)
        return model, compile_model(model, design, head=head)


MANY = {"contexts": 5}
TURNS = (3, 2, 2, 1, 3)
CASES = {
    "one channel": Case((1, 10, 8), (8, 8), {}, {}),
    "three channels of a GRU": Case((3, 9, 8), (8, 8), {"cell": "gru"}, {"deep": True}),
    "reset first": Case((1, 6, 4), (4, 4), {"cell": "gru0"}, {}),
    "two directions": Case((3, 5, 8), (8, 4), {"directions": 2}, {}),
    "fewer units than banks": Case((2, 3, 8), (8, 8), {"layers": 2}, {}),
    "idle PEs": Case((5, 13, 4), (28, 4), {"layers": 2}, {"units": 2}),
    "idle PEs, projected": Case((5, 12, 4), (20, 4), {"projection": 7}, {"projectors": 8}),
    "idle PEs of a GRU": Case((5, 13, 4), (11, 4), {"cell": "gru"}, {"units": 4}),
    "idle PEs, k by gate": Case((6, 20, 4), (28, 4), {"k": (1, (1, 2, 1, 3), 1)}, {"units": 2}),
    "idle PEs, for projectors": Case((3, 12, 2), (12, 2), {"projection": 6}, {}),
    "idle PEs of a GRU, for lanes": Case(
        (3, 12, 2), (36, 2), {"cell": "gru", "k": (1, 1, 1)}, {}, (2, 1)
    ),
    "two places of a beat": Case((9, 16, 4), (32, 4), {}, {"units": 8}),
    "four places of a beat": Case((9, 15, 2), (32, 2), {"directions": 2}, {"units": 8}),
    "more places than there are": Case((2, 3, 2), (32, 2), {}, {"units": 8, "deep": True}),
    "wide lanes of a GRU": Case((9, 15, 2), (9, 2), {"cell": "gru"}, {"units": 4}),
    "wide lanes, reset first": Case((9, 15, 2), (9, 2), {"cell": "gru0"}, {"units": 8}),
    "wide lanes, narrow projectors": Case(
        (9, 15, 2), (16, 2), {"projection": 9, "head": 3}, {"units": 4, "projectors": 1}
    ),
    "narrow lanes, wide projectors": Case(
        (9, 15, 2), (16, 2), {"projection": 9}, {"units": 4, "projectors": 8}
    ),
    "three contexts": Case((4, 8, 4), (16, 4), {"k": (1, 1, 1)}, {"contexts": 3}, TURNS),
    "five contexts": Case((2, 6, 2), (24, 2), {"k": (1, 1, 1)}, MANY, TURNS),
    "five contexts, deep": Case((2, 6, 2), (24, 2), {"layers": 2}, MANY | {"deep": True}, TURNS),
    "five contexts of a GRU": Case((2, 6, 2), (6, 2), {"cell": "gru"}, MANY, TURNS),
    "five contexts, streamed": Case((2, 6, 2), (24, 2), {}, MANY | {"streamed": True}, TURNS),
    "shallow": Case((1, 10, 8), (8, 8), {}, {"shallow": True}),
    "shallow GRU": Case((3, 9, 4), (9, 4), {"cell": "gru"}, {"shallow": True, "fan_in": 2}),
    "shallow, reset first": Case((1, 6, 4), (4, 4), {"cell": "gru0"}, {"shallow": True}),
    "shallow, projected": Case((5, 12, 4), (16, 4), {"projection": 7}, {"shallow": True}),
    "shallow, projected in two passes": Case(
        (5, 24, 4), (8, 4), {"projection": 22, "k": (2, 3, 5)}, {"shallow": True, "projectors": 8}
    ),
    "shallow, head": Case((5, 8, 1), (8, 1), {"head": 3}, {"shallow": True}),
    "shallow, streamed, two streams": Case(
        (2, 6, 2), (16, 2), {"layers": 2}, {"contexts": 2, "streamed": True, "shallow": True}
    ),
    "five contexts, projected": Case((2, 8, 2), (16, 2), {"projection": 5}, MANY, TURNS),
}


def check(case: Case, **pauses: Any) -> None:
    """Every bit; without pauses every cycle."""
    model, image = case.image()
    sequences = random_frames(np.random.default_rng(4), model, list(case.lengths))
    levels = IntegerModel(model).run_levels(sequences)
    for part in range(len(image.parts)):
        inputs = [trace.output for trace in levels[part - 1]] if part else sequences
        stimulus = Stimulus.of(image, inputs, part, contexts=image.design.contexts)
        outcome = simulate_amaranth(image, replace(Job.of(image, stimulus, **pauses), limit=20_000))
        comparison = compare(stimulus, outcome, levels)
        assert comparison.values
        assert comparison.first is None, str(comparison.first)
        if model.directions == 1 and model.head is None:  # sequence by sequence, as they were given
            whole = np.concatenate([trace.output for trace in levels[-1]])
            np.testing.assert_array_equal(comparison.outputs[len(model.layers) - 1], whole)
        if not pauses:
            first, context = stimulus.first.tolist(), stimulus.context.tolist()
            want = CycleModel(image, part).run(len(first), first, context).frame_done
            assert outcome.frame_cycles(image, part).tolist() == want.tolist()


@pytest.mark.quick(3)
@pytest.mark.parametrize("name", CASES)
def test_every_bit_and_every_cycle(name: str) -> None:
    check(CASES[name])


@pytest.mark.quick(1)
@pytest.mark.parametrize("name", CASES)
def test_the_same_bits_when_streams_pause(name: str) -> None:
    check(CASES[name], idle=Pauses(0.6, 3), stall=Pauses(0.6, 4))


def test_the_cases_are_what_their_names_say() -> None:
    designs = {name: case.image()[1].design for name, case in CASES.items()}
    for name, design in designs.items():
        beat = design.units * design.units_per_slot
        idle = design.slot_results if "projectors" in name else design.abreast * beat < design.pes
        assert ("idle PEs" in name) <= bool(idle)
        assert ("lanes" in name and "idle" in name) <= (design.slot_units > 0)
        assert ("places" in name or "wide lanes" in name) <= (design.frame_ports > 1)
        assert ("contexts" in name) == (design.frames_back > 2)
    ports = {(d.write_ports, d.frame_ports) for d in designs.values()}
    assert ports >= {(1, 1), (2, 1), (2, 2), (4, 2), (4, 4)}
