"""The kernels in C against the numpy reference, bit for bit, whatever shares or splits the work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from csb_format import Model
from engine.learn.learner import Learner, Settings, Told
from engine.learn.native.passes import LANES, CompiledPasses, kernels
from engine.learn.pieces import MemoryLimitError, bytes_per_frame
from engine.native.library import NativeError

from .networks import LENGTHS, batch, network

PROJECTED = {"layers": 2, "directions": 2, "projection": 8, "banks": (4, 2, 4)}
NETWORKS: dict[str, dict[str, Any]] = {
    "bytes": {},
    "words": {"value_bits": 16, "act_bits": 16, "pool": "every"},
    "gru0": {"cell": "gru0"},
    "projected": {**PROJECTED, "pool": "hn"},
    "projected words": {**PROJECTED, "value_bits": 16, "act_bits": 12, "pool": "mean"},
    "odd banks": {"input_size": 7, "hidden_size": 12, "banks": 3, "k": (1, 3, 1)},
    "narrowest": {"value_bits": 4, "act_bits": 6, "layers": 2},
    "far": {"value_bits": 16, "act_bits": 16, "reach": 128},
    "gru": {"cell": "gru"},
    "gru words": {"cell": "gru", "value_bits": 16, "act_bits": 16, "reach": 128},
    "gru0 words": {
        "cell": "gru0",
        "value_bits": 16,
        "act_bits": 16,
        "k": ((1, 2, 3), (2, 1, 3), 0),
    },
    "deep grus": {"cell": "gru0", "layers": 2, "directions": 2, "banks": 3, "pool": "every"},
}


def learnt(model: Model, made: Any, bits: int = 8, memory: int = 0) -> tuple[Any, list[Told]]:
    """What two steps leave, and tell."""
    learner = Learner(
        model,
        Settings(gradient_bits=bits, memory=memory, rate=0.5),
        made,
        LANES if made else 1,
    )
    frames, asked = batch(model)
    told = [learner.step(frames, asked) for _ in range(2)]
    return learner.state(), told


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return set(one) == set(other) and all(np.array_equal(one[n], other[n]) for n in one)


@pytest.mark.quick(6)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", NETWORKS)
def test_all_kernels_are_the_reference(name: str, bits: int) -> None:
    model = network(**NETWORKS[name])
    want, told = learnt(model, None, bits)
    for kernel in filter(None, kernels()):
        got, said = learnt(model, CompiledPasses(model, 1, kernel), bits)
        assert same(got, want), kernel
        assert said == told


@pytest.mark.quick(2)
@pytest.mark.parametrize("cell", ["lstm", "gru0", "gru"])
def test_a_split_or_threads_change_no_bit(cell: str) -> None:
    model = network(layers=2, pool="every", cell=cell)
    want, _ = learnt(model, CompiledPasses(model, 1))
    memory = bytes_per_frame(model) * max(LENGTHS) * LANES
    got, told = learnt(model, CompiledPasses(model, 2), memory=memory)
    assert told[0].pieces == 2
    assert same(got, want)
    reference, told = learnt(model, None, memory=bytes_per_frame(model) * 30)
    assert told[0].pieces > 5
    assert same(reference, want)


@pytest.mark.quick(2)
@pytest.mark.parametrize("cell", ["lstm", "gru0", "gru"])
def test_shared_work_is_the_same_work(cell: str) -> None:
    model = network(input_size=64, hidden_size=256, banks=8, k=(2, 8, 0), cell=cell)
    want, _ = learnt(model, CompiledPasses(model, 1))
    shared = CompiledPasses(model, 2)
    assert shared.team
    assert same(learnt(model, shared)[0], want)


def test_too_little_memory_says_how_much_it_takes() -> None:
    model = network()
    with pytest.raises(
        MemoryLimitError, match=r"memory of 1,000 bytes is too little: 16 seq.* of 12"
    ):
        learnt(model, CompiledPasses(model), memory=1000)


def test_an_unknown_kernel_is_named() -> None:
    with pytest.raises(NativeError, match="no kernel fast for training here: choose one of plain"):
        CompiledPasses(network(), kernel="fast")
