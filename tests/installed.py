"""What slow tests need beside `make setup`: there, or they fail with the command that installs it.

A skipped test looks like a passed one.
"""

from __future__ import annotations

import importlib
import shutil
from typing import Any, NoReturn

import pytest

__all__ = ["brought", "missing", "program"]


class _Missing:
    """In the place of a module: the first use of it fails the test."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # pytest looks at what a module of tests holds
            raise AttributeError(name)
        pytest.fail(f"missing; install it with: {self._command}", pytrace=False)


def brought(module: str, extra: str = "slow") -> Any:
    """A module that an extra brings, or something that fails the test that uses it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        return _Missing(f"pip install -e '.[{extra}]'")


def program(names: str, packages: str) -> str:
    """The path of the first program of ``names`` that is there; else the test fails."""
    found = next(filter(None, map(shutil.which, names.split())), None)
    return found if found is not None else missing(packages)


def missing(packages: str) -> NoReturn:
    """Fail the test."""
    pytest.fail(f"missing; install it with: sudo apt-get install {packages}", pytrace=False)
