"""The driver on arrays that do not divide evenly: idle PEs, wide beats, narrow inputs, streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from boards.host.driver import Accelerator
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format.random_models import random_frames, random_network
from engine.reference import IntegerModel

CASES: dict[str, tuple[tuple[int, int, int], tuple[int, int], dict[str, Any]]] = {
    "one channel": ((1, 9, 8), (8, 8), {}),
    "idle PEs": ((5, 13, 4), (28, 4), {"units": 2}),
    "two places of a beat": ((9, 16, 4), (32, 4), {"units": 8}),
    "four places, four streams": ((3, 15, 2), (32, 2), {"units": 8, "contexts": 4}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_run_and_streams_are_those_of_the_model(name: str) -> None:
    sizes, array, options = CASES[name]
    model = random_network(np.random.default_rng(3), *sizes, (2, 2, 2))
    image = compile_model(model, design_for(model, *array, **options))
    contexts = image.design.contexts
    sequences = random_frames(np.random.default_rng(4), model, [3, 2, 4, 1][:contexts])
    wanted = [trace.hidden for trace in IntegerModel(model).run(sequences)]
    with Accelerator.open("model", image.design) as accelerator:
        accelerator.load(image)
        found = [
            accelerator.run(frames, context=context).output
            for context, frames in enumerate(sequences)
        ]
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
