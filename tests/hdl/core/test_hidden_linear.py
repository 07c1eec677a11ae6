"""Heads of several linear layers on the array: every bit and every cycle as the models say."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from compiler.abi.registers import design_hash
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.timing.cycle_model import CycleModel
from csb_format import DesignError, Fixed, Model
from csb_format.heads.mlp import MlpHead
from csb_format.random_models import random_frames, random_network
from hdl.core.lanes.projector import Projector
from hdl.core.layouts import instruction_layout, update_layout

from .test_core_networks import check, frames_of

# of each seed: hidden layers, and what the network or its array is besides
NETWORKS: list[tuple[int, dict[str, Any]]] = [
    (1, {"layers": 1, "projection": True}),
    (2, {"layers": 2, "projection": False}),
    (3, {"layers": 1, "cell": "gru", "streamed": True}),
]


def network(*hidden: int, **options: Any) -> tuple[Model, Design, Image]:
    model = random_network(
        np.random.default_rng(0), 6, 8, 2, (2, 2, 2), head=5, hidden=hidden, act_bits=12
    )
    design = design_for(model, 8, 2, head=True, **options)
    return model, design, compile_model(model, design, head=True)


@pytest.mark.parametrize("seed", range(len(NETWORKS)))
def test_random_networks(seeded: Any, seed: int) -> None:
    hidden, fixed = NETWORKS[seed]
    found, _ = seeded(seed, directions=1, hidden=hidden, **fixed)
    assert found.image.design.rectified
    check(found, frames_of(found, seed, [2, 1]), found.contexts)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_sixty_random_networks(seeded: Any, seed: int) -> None:
    fixed: dict[str, Any] = {"cell": ("lstm", "gru", "gru0", "lstm")[seed % 4]}
    fixed |= {"streamed": seed % 5 == 4, "uneven": seed % 3 == 1}
    found, pick = seeded(5000 + seed, directions=1, hidden=1 + seed % 3, **fixed)
    lengths = [pick(1, 4) for _ in range(pick(1, 3))]
    check(found, frames_of(found, seed, lengths), pick(1, found.contexts))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"checked": True}, {"dense": True}, {"dense": True, "streamed": True}, {"pieces": 3},
     {"walk": True, "checked": True}, {"projectors": 8}, {"by_gate": True}],
)  # fmt: skip
def test_options_of_the_array(options: dict[str, Any]) -> None:
    model, _, image = network(7, 4, **options)
    frames = random_frames(np.random.default_rng(1), model, [2, 2])
    check(SimpleNamespace(model=model, image=image), frames, 1)


@pytest.mark.parametrize("shift", [0, 3, 11])
def test_a_projector_with_its_bias(play: Any, shift: int) -> None:
    """Hidden layers, projections and output layers in turns, one a cycle."""
    design = Design(8, 2, 1, 6, 24, 32, 4, 8, 16, 4, 8, 8, projectors=4, linear=5, rectified=True)
    rng, block = np.random.default_rng(shift), Projector(design)
    top, late = 1 << design.act_bits + shift, 2  # of the bias' memory
    cycles: list[dict[str, Any]] = []
    wanted: list[tuple[int, int, int, int, int]] = []
    for n in range(60):
        kind, total, bias = n % 3, int(rng.integers(-top, top)), int(rng.integers(-top, top))
        now = {"sums": [0, total], "select": 1, "shift": shift}
        cycles.append(now | {"linear": int(kind == 0), "rectify": int(kind == 1)})
        value = int(block.model(np.array(total), shift, bias, rectify=kind == 1))
        sums = max(0, total + bias) if kind == 1 else total
        lost = kind > 0 and value != (sums + (1 << shift >> 1)) >> shift
        wanted.append((bias, value, total + bias if kind == 0 else value, int(lost), kind))
    cycles += [{} for _ in range(late)]
    biases = [0] * late + [one[0] for one in wanted]
    for cycle, beside in zip(cycles, biases, strict=True):
        cycle["bias"] = beside
    delay = Projector.latency(design)
    assert delay == Projector.exact_latency(design)
    seen = play(block, cycles, ["value", "exact", "clipped"], delay)
    for t, (_, value, exact, clipped, kind) in enumerate(wanted):
        assert seen[t + delay][1:] == (exact, clipped), t
        assert kind == 0 or seen[t + delay][0] == value, t
    assert 0 < sum(one[3] for one in wanted) < 40


def test_vectors_between_layers_have_places_of_their_own() -> None:
    _, design, image = network(7, 4)
    part = image.parts[0]
    hidden, second, last = part.whole[-3:]
    assert (hidden.reads[0], hidden.writes, second.reads) == ("state", ("linear", 0), ("linear", 0))
    assert (second.writes, last.reads, last.writes) == (("linear", 1), ("linear", 1), None)
    regions = part.needs.regions(0)
    taken = [regions.linear[0] + n for n in range(4)] + [regions.linear[1] + n for n in range(2)]
    others = [*regions.frames, *regions.states]
    assert len({*taken, *others}) == len(taken) + len(others)
    assert max(taken) < design.vector_depth
    biases = [given.instruction.bias for given in (hidden, second, last)]
    assert biases == [0, 2, 3]  # beats of four projectors
    assert design.linear == 3 + 2
    assert [e.kind for e in part.emissions] == ["states", "linear"]


def test_designs_of_one_layer_are_what_they_were() -> None:
    """No field of an instruction, no register, no other hash."""
    _, design, _ = network()
    assert not design.rectified
    assert "rectify" not in instruction_layout(design).members
    assert "rectify" not in update_layout(design).members
    assert design_hash(design) != design_hash(replace(design, rectified=True))
    assert (Projector.latency(design), Projector.exact_latency(design)) == (2, 3)


def test_each_hidden_layer_takes_its_cycles() -> None:
    """A row more in every PE at most, and the way from its last group to the next layer's first."""
    runs = [CycleModel(network(*hidden)[2]).run(6).steps[-1] for hidden in ((), (8,), (8, 8))]
    first, second = np.diff(runs).tolist()
    assert 0 < second <= first + 8
    assert second < 40


def test_what_is_refused() -> None:
    model, design, _ = network(7)
    with pytest.raises(DesignError, match="needs rectified"):
        compile_model(model, replace(design, rectified=False), head=True)
    compile_model(model, replace(design, rectified=False))  # the head on the host
    assert isinstance(model.head, MlpHead)
    first, last = model.head.layers
    wide = replace(last, input=Fixed(16, 12))
    with pytest.raises(DesignError, match="linear layer 1 of the head takes 16 bits, h of the fir"):
        design_for(replace(model, head=MlpHead.of(first, wide)), 8, 2, head=True)
    large = replace(first, bias=first.bias + (1 << 46))
    image = compile_model(replace(model, head=MlpHead.of(large, last)), design, head=True)
    with pytest.raises(DesignError, match=r"head.hidden.0: a bias of .* has more bits"):
        dict(image.memories)
    with pytest.raises(DesignError, match="it is linear layers that a ReLU is between"):
        replace(design_for(model, 8, 2), rectified=True)
    with pytest.raises(DesignError, match="train = 4: not with rectified"):
        replace(design, train=4)
    with pytest.raises(DesignError, match="compact design has none"):
        design_for(model, 8, 2, head=True, compact=True)
