"""Expressions mean what GitHub's do, except that a name without a value is an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.workflows.expressions import Unknown, evaluate, filled

NAMES: dict[str, Any] = {"github": {"ref": "refs/heads/a", "base_ref": ""}, "env": {}}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "always": lambda: True,
    "hashFiles": lambda *globs: "+".join(globs),
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("github.base_ref || 'main'", "main"),
        ("github.ref || 'main'", "refs/heads/a"),
        ("github.base_ref && always()", ""),
        ("!github.base_ref", True),
        ("hashFiles('a/**', 'b||c')", "a/**+b||c"),
        ("always() && github.ref", "refs/heads/a"),
    ],
)
def test_values(text: str, value: object) -> None:
    assert evaluate(text, NAMES, FUNCTIONS) == value


def test_holes_are_filled() -> None:
    given = {"key": "a-${{ github.ref }}-${{github.base_ref}}", "number": 3}
    assert filled(given, NAMES, FUNCTIONS) == {"key": "a-refs/heads/a-", "number": 3}


@pytest.mark.parametrize("text", ["env.ImageVersion", "github.nothing", "steps.a.outputs.b", "f()"])
def test_what_has_no_value_is_an_error(text: str) -> None:
    """`env` is what a workflow sets, so a key with ImageVersion had nothing there."""
    with pytest.raises(Unknown):
        evaluate(text, NAMES, FUNCTIONS)
