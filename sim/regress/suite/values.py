"""Values of a suite: each of its kind, or an error that names it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

__all__ = ["SuiteError", "check_kind", "check_known", "check_one_of", "positive", "typed"]

_T = TypeVar("_T")
NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
NAMES |= {list: "a list", dict: "a table"}


class SuiteError(ValueError):
    """A suite that cannot be run."""


def check_known(given: Collection[str], known: Collection[str], where: str) -> None:
    """Refuse keys that mean nothing."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise SuiteError(f"{where} has no {unknown[0]!r}: there are {', '.join(sorted(known))}")


def check_kind(kinds: tuple[type, ...], value: Any, where: str) -> None:
    """Refuse a value of another kind; true is no number."""
    if type(value) not in kinds:
        wanted = " or ".join(NAMES[kind] for kind in kinds)
        raise SuiteError(f"{where} = {value!r}: give {wanted}")


def typed(kind: type[_T], value: Any, where: str) -> _T:
    """A value of a kind."""
    check_kind((kind,), value, where)
    assert isinstance(value, kind)
    return value


def check_one_of(value: str, allowed: Collection[str], where: str) -> None:
    """Refuse a word that means nothing."""
    if value not in allowed:
        raise SuiteError(f"{where} = {value!r}: choose one of {', '.join(allowed)}")


def positive(value: Any, where: str) -> float:
    """A number above 0."""
    check_kind((int, float), value, where)
    if not 0 < value < 1e9:
        raise SuiteError(f"{where} = {value}: give seconds, above 0")
    return float(value)
