"""docs/screening.md: its Python, its command, and the sizes that it and the specification say."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np

from csb_format import save_model
from csb_format.files import sealed
from csb_format.random_models import random_model
from csb_format.screening.layer import ScreenedLayer
from sparseflow.steps.options import PackOptions
from tests.docs.blocks import ROOT, one

PAGE = "docs/screening.md"


def test_its_python_holds_what_it_asserts() -> None:
    found: dict[str, object] = {}
    exec(compile(one(PAGE, "python"), PAGE, "exec"), found)
    assert "found" in found


def test_its_command_has_the_option() -> None:
    words = shlex.split(one(PAGE, "sh"))
    assert words[:2] == ["sparseflow", "pack"]
    assert "--screen" in words
    assert PackOptions.screen is False


def test_tensors_are_those_of_the_specification(tmp_path: Path) -> None:
    model = random_model(np.random.default_rng(0), 5, 6, 2, 1, 1, head=37)
    assert model.head is not None
    head = ScreenedLayer.of(model.head)
    save_model(tmp_path / "m", replace(model, head=head))
    header, tensors = sealed.decode(tmp_path / "m", "model")
    text = (ROOT / "docs/specification.md").read_text("utf-8")
    section = text[text.index("### Head in planes") : text.index("### A whole file")]
    for name in tensors:
        if name.startswith("head.") and name not in ("head.bias", "head.planes.1", "head.planes.2"):
            assert f"`{name}`" in section
    for key in header["head"]["screen"]:
        assert f"`{key}`" in section
    read = {name: tensor.shape[1] for name, tensor in tensors.items() if name.startswith("head.p")}
    first, second, exact = head.row_bytes()
    assert first == read["head.planes.0"] + tensors["head.first"].shape[1]
    assert second == read["head.planes.1"] + tensors["head.second"].shape[1]
    assert exact == sum(read.values()) + 8 + tensors["head.order"].shape[1]
