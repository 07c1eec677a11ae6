"""docs/learning_array.md: its Python runs, its options are there, its cycles are the code's."""

from __future__ import annotations

import re
from dataclasses import fields

from compiler.learn.timing import UPDATE
from sparseflow.steps.learning.options import AdaptOptions
from tests.docs.blocks import ROOT, program

TEXT = (ROOT / "docs/learning_array.md").read_text("utf-8")


def test_its_python_runs() -> None:
    exec(program("docs/learning_array.md"), {})


def test_its_options_are_those_of_the_command() -> None:
    named = {word.partition(" ")[0] for word in re.findall(r"`--([a-z ]+)`", TEXT)}
    assert named <= {field.name for field in fields(AdaptOptions)}


def test_its_cycles_are_the_models() -> None:
    assert f"moves  = {UPDATE} + |place|" in TEXT
