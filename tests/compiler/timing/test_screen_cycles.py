"""What a screen unit finds is the top of the full layer, and what it stores is the layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compiler.array.screen.bus import ScreenBus
from compiler.array.screen.design import ScreenDesign
from compiler.lower.screen import low_digits, screen_image
from compiler.timing.screen_cycles import ScreenCycles
from csb_format import DenseLayer, Fixed
from csb_format.scales import DesignError
from csb_format.screening.adversaries import adversarial_head, adversarial_states
from csb_format.screening.layer import ScreenedLayer

RNG = np.random.default_rng


@pytest.mark.parametrize("seed", range(60))
def test_unit_finds_the_top_of_the_full_layer(seed: int) -> None:
    rng = RNG([5, seed])
    layer = ScreenedLayer.of(adversarial_head(rng))
    k = min(layer.output_size, 1 + seed % 8)
    sizes = {"digits": int(rng.integers(1, 50)), "lanes": int(rng.integers(1, 12))}
    design = ScreenDesign.of(layer, top=k, **sizes)
    states = adversarial_states(rng, layer, 4)
    logits = layer.logits(states)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    found = [*ScreenCycles(design, layer).run(states[:2])]
    found += ScreenCycles(design, layer, ScreenBus(128, latency=1 + seed % 40)).run(states[2:])
    for one, indices, row in zip(found, order, logits, strict=True):
        assert one.indices == tuple(indices)
        assert one.logits == tuple(row[indices])


@pytest.mark.parametrize("seed", range(30))
def test_middles_and_what_they_leave_make_weights(seed: int) -> None:
    rng = RNG([6, seed])
    layer = ScreenedLayer.of(adversarial_head(rng))
    cells, design = layer.rows.cells, ScreenDesign.of(layer, top=1, digits=8, lanes=4)
    low = low_digits(cells, layer.stored)
    up = (cells.unit + 1)[:, None]
    down = (cells.shift + (cells.width - 5 - cells.fold > 0))[:, None]
    doubled = (cells.second(layer.stored) << up) + (low << down)
    assert np.array_equal(doubled, 2 * layer.stored)
    assert not (abs(2 * low + 1) >> design.low_bits).any()  # signed numbers of so many bits


def test_another_head_is_refused() -> None:
    rng = RNG(0)
    one, other = (ScreenedLayer.of(adversarial_head(rng, 20, 10 + n)) for n in range(2))
    design = ScreenDesign.of(one, top=1, digits=8, lanes=4)
    with pytest.raises(ValueError, match="columns 11 of a head for a screen unit with 10"):
        screen_image(design, other)


def test_lanes_take_whole_beats() -> None:
    layer = ScreenedLayer.of(adversarial_head(RNG(0), 20, 10))
    with pytest.raises(DesignError, match="multiple of its elements = 2"):
        ScreenDesign.of(layer, top=1, digits=8, lanes=3, elements=2)
    with pytest.raises(DesignError, match="top"):
        ScreenDesign.of(layer, top=9, digits=8, lanes=4)


def test_lanes_as_fast_as_the_bus_take_its_cycles() -> None:
    """A first plane of 200 comes in four beats: 64 lanes take it as it comes."""
    rng = RNG(1)
    spread = rng.normal(0, 1, (200, 200)) * rng.uniform(500, 8000, (200, 1))
    weight = np.clip(spread, -32768, 32767).astype(np.int64)
    bias = rng.integers(-(1 << 27), 1 << 27, 200)
    layer = ScreenedLayer.of(DenseLayer(weight, Fixed(16, 13), Fixed(16, 15), bias))
    states, bus = rng.integers(-9000, 9000, (1, 200)), ScreenBus(128)
    wide = ScreenDesign.of(layer, top=5, digits=200, lanes=34, elements=2)
    narrow = replace(wide, digits=64)
    assert bus.layout(wide).spacings[:2] == bus.layout(narrow).spacings[:2]
    assert bus.layout(replace(wide, digits=50)).spacings[0] > bus.layout(wide).spacings[0]
    cycles = [
        sum(one.cycles for one in ScreenCycles(design, layer, bus).run(states))
        for design in (wide, narrow)
    ]
    assert cycles[1] < 1.01 * cycles[0], cycles
