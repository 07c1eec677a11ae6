"""Frame by frame: the page's Python and the example, against the whole sequence."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format.random_models import random_frames, random_model
from engine.reference import IntegerModel
from tests.docs.blocks import blocks

EXAMPLE = Path(__file__).parents[2] / "examples" / "live.py"


@pytest.mark.parametrize("target", ["model", pytest.param("sim", marks=pytest.mark.slow)])
def test_no_bit_differs_in_the_example(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(EXAMPLE))
    assert example["main"](target) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1] == f"40 frames on {target!r}, 0 values differ from the whole sequence"
    assert float(shown[0].rpartition(" ")[2]) < 0.02  # a tone's own is 0.5


def test_the_python_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(1)
    model = random_model(random, 6, 8, 2, 1, 1, head=3)
    (given,) = random_frames(random, model, [3])
    (trace,) = IntegerModel(model).run([given])
    head = model.head
    assert head is not None
    wanted = "\n".join(str(row) for row in head.logits(trace.output) * head.last_bit)
    names: dict[str, Any] = {"model": model, "sensor": given * 2.0 ** -model.layers[0].input.frac}
    for block in blocks("docs/live.md", "python"):
        exec(compile(block.text, "docs/live.md", "exec"), names)
        assert capsys.readouterr().out.strip() == wanted
