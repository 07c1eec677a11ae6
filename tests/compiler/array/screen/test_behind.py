"""Which models get a screen unit behind their array, and what is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler.abi.design_file import read_design
from compiler.abi.dma import PAGE, place
from compiler.abi.registers import design_hash
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.array.screen.design import LARGEST
from compiler.lower.compile import compile_model
from compiler.lower.load import Space, space_targets
from compiler.lower.screen import plane_bytes
from csb_format import Model
from csb_format.random_models import random_model, random_network
from csb_format.scales import DesignError
from csb_format.screening.layer import ScreenedLayer


def screened(seed: int = 0, **options: Any) -> Model:
    rng = np.random.default_rng(seed)
    model = random_network(rng, 6, 8, 4, (2, 1, 1), **({"head": 40} | options))
    assert model.head is not None
    return replace(model, head=ScreenedLayer.of(model.head))


def test_a_screened_head_gets_a_unit_and_others_none() -> None:
    model = screened()
    found = design_for(model, 8, 4).screen
    assert found is not None
    assert (found.rows, found.columns, found.top) == (40, 8, LARGEST)
    assert design_for(model, 8, 4, largest=8).screen.top == 8  # type: ignore[union-attr]
    assert design_for(screened(head=3), 8, 4).screen.top == 3  # type: ignore[union-attr]
    for other in (
        design_for(model, 8, 4, largest=0),
        design_for(model, 8, 4, head=True),
        design_for(model.shape, 8, 4),
        design_for(replace(model, head=None), 8, 4),
    ):
        assert other.screen is None


@pytest.mark.parametrize(
    ("options", "given", "message"),
    [
        ({"directions": 2}, {}, "one direction, this model has two: give largest = 0"),
        ({"projection": 4}, {}, "this model projects them: give largest = 0"),
        ({"pool": "mean"}, {}, "mean over time .pool 'mean'.: give largest = 0"),
        ({}, {"checked": True}, "checked = True: not beside a screen unit yet"),
        ({}, {"largest": 9}, "largest = 9: the head has 40 outputs; a unit finds 1 to 8 of them"),
        ({}, {"largest": 2, "head": True}, "largest = 2 beside head"),
        ({}, {"screen_lanes": 5000}, "lanes = 5000"),
        ({}, {"planes": -1}, "planes = -1: bits of the bus to a memory outside, one of 64, 128"),
        ({}, {"planes": 100}, "planes = 100: bits of the bus to a memory outside, one of 64, 128"),
        (
            {},
            {"planes": 64, "largest": 0},
            "planes = 64: .* or largest = 0, there is none; leave one out",
        ),
        ({}, {"planes": 64, "checked": True}, "checked = True: not beside a screen unit yet"),
        (
            {},
            {"planes": 64, "head": True},
            "planes = 64: .* whole head on the array, .* leave one out",
        ),
    ],
)
def test_what_is_not_supported_is_named(
    options: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    pool = options.pop("pool", None)
    model = screened(**options)
    if pool:
        model = replace(model, pool=pool)
    with pytest.raises(DesignError, match=message):
        design_for(model, 8, 4, **given)


def test_a_head_without_planes_is_refused() -> None:
    model = random_model(np.random.default_rng(0), 6, 8, 4, 2, 1, head=40)
    with pytest.raises(DesignError, match="no screened head; pack it with --screen"):
        design_for(model, 8, 4, largest=3)


def test_a_design_takes_models_of_its_head_alone() -> None:
    model = screened()
    design = design_for(model, 8, 4)
    assert compile_model(model, design).screen is not None
    with pytest.raises(DesignError, match=r"rows = 41, the screen unit of the design 40: generate"):
        compile_model(screened(head=41), design)
    with pytest.raises(DesignError, match="the model no screened head"):
        compile_model(random_model(np.random.default_rng(0), 6, 8, 4, 2, 1, head=40), design)


def test_its_file_and_its_hash(tmp_path: Path) -> None:
    design = design_for(screened(), 8, 4)
    (tmp_path / "design.json").write_text(json.dumps(asdict(design)))
    assert read_design(tmp_path) == design
    assert design_hash(design) != design_hash(replace(design, screen=None))
    for change, message in (
        ({"rows": -1}, "rows of its screen: must be 0 to"),
        ({"top": 9}, "top = 9"),
        ({"units": 3}, "it has a field 'units'"),
    ):
        wrong = asdict(design)
        wrong["screen"] |= change
        (tmp_path / "design.json").write_text(json.dumps(wrong))
        with pytest.raises(DesignError, match=message):
            read_design(tmp_path)


def test_planes_outside_are_of_the_design_and_the_file(tmp_path: Path) -> None:
    model = screened()
    here, outside = (design_for(model, 8, 4, planes=bits) for bits in (0, 128))
    assert here == design_for(model, 8, 4)
    assert design_hash(here) != design_hash(outside)
    (tmp_path / "design.json").write_text(json.dumps(asdict(outside)))
    assert read_design(tmp_path) == outside
    wrong = asdict(outside)
    wrong["screen"] |= {"bus_bits": 96}
    (tmp_path / "design.json").write_text(json.dumps(wrong))
    with pytest.raises(DesignError, match="bus_bits = 96 of a screen: must be one of 64, 128"):
        read_design(tmp_path)
    assert space_targets(outside)[Space.SCREEN] == 1
    assert Space.DIGITS not in space_targets(outside)


def test_planes_lie_behind_the_models_in_memory() -> None:
    models = [screened(), screened()]
    images = [compile_model(m, design_for(models[0], 8, 4, planes=64)) for m in models]
    placed = place(images, 1 << 20, 64)
    assert compile_model(models[0], design_for(models[0], 8, 4)).planes == b""
    for at, image in zip(placed.planes, images, strict=True):
        assert at % PAGE == 0
        assert image.screen is not None
        assert image.planes == plane_bytes(image.screen, 64)
        assert placed.data[at - placed.base :][: len(image.planes)] == image.planes


def test_elements_are_those_of_the_array() -> None:
    design = design_for(screened(), 8, 4)
    fields = asdict(design) | {"screen": replace(design.screen, elements=1, lanes=1)}  # type: ignore[type-var]
    assert design.units > 1
    with pytest.raises(DesignError, match="elements = 1 of a screen unit: the array gives"):
        Design(**fields)
