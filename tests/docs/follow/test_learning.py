"""docs/learning.md: its Python runs, its options are there, its tables are the code's."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from csb_format import load_model, save_model
from csb_format.random_models import random_network
from engine.learn import exponents, integers
from engine.learn.network import UP_BITS
from engine.learn.weights import MASTER_BITS
from sparseflow.steps.learning.options import AdaptOptions
from tests.docs.blocks import ROOT, program

PAGE = ROOT / "docs/learning.md"
TEXT = PAGE.read_text("utf-8")


def test_its_python_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = random_network(np.random.default_rng(0), 4, 8, 2, (1, 2, 0), head=3)
    save_model("model.safetensors", model)
    exec(program("docs/learning.md"), {})
    assert not load_model("adapted.safetensors").layers[0].equals(model.layers[0])


def test_its_options_are_those_of_the_command() -> None:
    named = set(re.findall(r"`--([a-z-]+)`", TEXT))
    assert named <= {field.name.replace("_", "-") for field in fields(AdaptOptions)}


def test_its_numbers_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \| (\d) \| (?:each|one for all) \|$", TEXT, re.M)
    told = {name: int(free) for names, _, free in rows for name in re.findall(r"`(\w+)`", names)}
    assert told == exponents.FREE
    assert dict((names, bits) for names, bits, _ in rows)["`up`"] == str(UP_BITS)
    assert f"A master has {MASTER_BITS} bits more" in TEXT
    assert f"not more than {exponents.SPAN} below" in TEXT
    assert f"from {exponents.LEAST} to {exponents.MOST}" in TEXT
    assert f"{integers.FACTOR_BITS} fraction bits for factors" in TEXT
    assert f"taken as {integers.LEAST_SHIFT} to {integers.MOST_SHIFT}:" in TEXT
    assert f"the upper {integers.RANDOM} bits of SplitMix64" in TEXT
