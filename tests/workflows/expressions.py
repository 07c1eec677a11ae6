"""Expressions of GitHub's workflows, as far as ours use them; a name without a value is an error.

GitHub puts nothing where a name has no value, so that a key loses a part and nobody sees it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Unknown", "evaluate", "filled"]

HOLE = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
CALL = re.compile(r"(\w+)\((.*)\)$")
Functions = Mapping[str, Callable[..., Any]]


class Unknown(Exception):
    """An expression that has no value."""


def filled(value: Any, names: Mapping[str, Any], functions: Functions) -> Any:
    """A value of a workflow, with those of its expressions in it."""
    if isinstance(value, dict):
        return {key: filled(inner, names, functions) for key, inner in value.items()}
    if not isinstance(value, str):
        return value
    return HOLE.sub(lambda hole: str(evaluate(hole[1], names, functions)), value)


def evaluate(text: str, names: Mapping[str, Any], functions: Functions) -> Any:
    """One expression: names, texts, calls, and `||`, `&&`, `!` between them."""
    for sign, ends in (("||", bool), ("&&", lambda value: not value)):
        if len(parts := _split(text, sign)) > 1:
            value: Any = None
            for part in parts:
                value = evaluate(part, names, functions)
                if ends(value):
                    break
            return value
    if text.startswith("!"):
        return not evaluate(text[1:].strip(), names, functions)
    return _term(text, names, functions)


def _split(text: str, sign: str) -> list[str]:
    """Parts between a sign that is in no text and in no call."""
    parts, depth, quoted, begin = [], 0, False, 0
    for at, letter in enumerate(text):
        quoted ^= letter == "'"
        depth += 0 if quoted else {"(": 1, ")": -1}.get(letter, 0)
        if text.startswith(sign, at) and not quoted and not depth:
            parts.append(text[begin:at].strip())
            begin = at + len(sign)
    return [*parts, text[begin:].strip()]


def _term(text: str, names: Mapping[str, Any], functions: Functions) -> Any:
    if call := CALL.fullmatch(text):
        if call[1] not in functions:
            raise Unknown(f"no function {call[1]}")
        words = [part for part in _split(call[2], ",") if part]
        return functions[call[1]](*[evaluate(word, names, functions) for word in words])
    if text.startswith("'"):
        return text[1:-1]
    value: Any = names
    for part in text.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise Unknown(f"{text} has no value")
        value = value[part]
    return value
