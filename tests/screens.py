"""Screen units of any widths, drawn for tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compiler.array.screen.design import ScreenDesign
from csb_format.screening.layer import ScreenedLayer

__all__ = ["drawn_design", "drawn_queues"]


def drawn_design(rng: np.random.Generator, layer: ScreenedLayer) -> ScreenDesign:
    """A unit for a head, with lanes and queues of any size."""
    elements = int(rng.integers(1, 4))
    design = ScreenDesign.of(
        layer,
        top=min(layer.output_size, int(rng.integers(1, 9))),
        digits=int(rng.integers(1, 50)),
        lanes=elements * int(rng.integers(1, 6)),
        elements=elements,
    )
    return replace(design, **drawn_queues(rng))


def drawn_queues(rng: np.random.Generator) -> dict[str, int]:
    """Places of the queues between stages."""
    return {name: int(rng.integers(1, 20)) for name in ("blocks_ahead", "survivors", "finalists")}
