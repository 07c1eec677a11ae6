"""Planes in a memory outside: rows as they are written, and the cycles between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compiler.array.screen.bus import Field, PlaneLayout, ScreenBus
from compiler.array.screen.design import ScreenDesign
from compiler.lower.screen import plane_bytes, screen_image
from csb_format.scales import DesignError
from csb_format.screening.adversaries import adversarial_head
from csb_format.screening.layer import ScreenedLayer


def _layer(seed: int = 0, **sizes: int) -> ScreenedLayer:
    return ScreenedLayer.of(adversarial_head(np.random.default_rng(seed), **sizes))


@pytest.mark.parametrize("bits", [64, 128, 256, 512])
def test_rows_hold_the_words_of_the_memories(bits: int) -> None:
    layer = _layer(outputs=21, inputs=11)
    design = ScreenDesign.of(layer, top=2, digits=4, lanes=3, places=13)
    image, layout = (
        screen_image(design, layer, np.r_[np.arange(11), -1, -1]),
        PlaneLayout(design, bits),
    )
    octets = plane_bytes(image, bits)
    assert len(octets) == layout.length
    first, stride = layout.strides
    for at, size, fields in ((0, first, layout.first), (layout.offset, stride, layout.refined)):
        for row in range(21):
            begin = at + row * size
            assert begin // 4096 == (begin + size - 1) // 4096  # no burst crosses
            bytes_of_row = int.from_bytes(octets[begin : begin + size], "little")
            for name, field in fields.items():
                value = bytes_of_row >> field.start & (1 << field.bits) - 1
                words = image.memories[{"signs": "first"}.get(name, name)]
                each = len(words) // 21
                wanted = sum(w << n * field.word for n, w in enumerate(words[row * each :][:each]))
                assert value == wanted


def test_a_beat_may_come_when_the_one_in_its_place_was_used() -> None:
    assert [Field(32, 100, 30, 2).last_use(*span) for span in ((0, 32), (0, 64), (64, 128))] == [
        0,
        3,
        5,
    ]
    layer = _layer(outputs=40, inputs=60)
    slow = ScreenDesign.of(layer, top=8, digits=60, lanes=1)
    layout = PlaneLayout(slow, 512)
    assert layout.beats == (1, 1, layout.beats[2])
    # 60 cycles of a second plane out of one beat
    assert layout.spacings[:2] == (1, 60)
    fast = PlaneLayout(replace(slow, lanes=60), 64)
    assert fast.spacings[0] == fast.beats[0]
    assert fast.spacings[1] == fast.beats[1]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"bits": 96}, "bits = 96 of a screen's bus: must be one of 64, 128, 256, 512"),
        ({"bits": 128, "latency": 0}, "latency"),
        ({"bits": 128, "outstanding": 0}, "outstanding"),
    ],
)
def test_a_bus_that_is_none_is_refused(given: dict[str, int], told: str) -> None:
    with pytest.raises(DesignError, match=told):
        ScreenBus(**given)


def test_a_row_is_one_burst() -> None:
    design = replace(ScreenDesign.of(_layer(), top=1, digits=8, lanes=4), places=9000)
    with pytest.raises(DesignError, match="at most 256, what an AXI4 burst holds"):
        PlaneLayout(design, 128)
