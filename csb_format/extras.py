"""Which extra of this distribution brings a package that is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

from sparseflow_rooms import check

__all__ = ["DISTRIBUTION", "MissingExtraError", "brought_by", "extra_of", "install", "needs"]

DISTRIBUTION = "sparseflow"
# modules that come with another package, or have other names than theirs
_COMES_WITH = {"llvmlite": "numba", "serial": "pyserial", "cocotb_tools": "cocotb"}


def extra_of(module: str) -> str:
    """The smallest extra that brings a module; empty if it comes with the core, or with none."""
    extras = _extras()
    return min(_bringing(module, extras), key=lambda extra: len(extras[extra]), default="")


def install(module: str, extra: str = "") -> str:
    """What to do where a module is missing, on one line.

    Parameters
    ----------
    module : str
    extra : str, optional
        What the work at hand needs; if it does not bring the module, the smallest that does is
        named.
    """
    bringing, name = _bringing(module, _extras()), module.partition(".")[0]
    found = extra if extra in bringing else extra_of(module)
    if not found:
        return f"the package {name} is not installed: install it with pip"
    return f"the package {name} is not installed: {brought_by(found)}"


def brought_by(extra: str) -> str:
    """How to install an extra."""
    return (
        f"it comes with the extra {extra!r}, in a checkout of Sparseflow: "
        f"pip install -e '.[{extra}]'"
    )


class MissingExtraError(ModuleNotFoundError):
    """A package is not installed that an extra brings; the message says which."""


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Around imports: a package that is missing names the extra that brings all of them.

    Parameters
    ----------
    extra : str

    Raises
    ------
    MissingExtraError
    ShadowedError
        If a file of somebody else has the name of a package of ours.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        check((error.name or "").partition(".")[0])
        if not (error.name and extra_of(error.name)):  # no extra would help
            raise
        raise MissingExtraError(install(error.name, extra), name=error.name) from error


def _bringing(module: str, extras: dict[str, set[str]]) -> list[str]:
    """The extras that bring a module."""
    name = module.partition(".")[0]
    wanted = _plain(_COMES_WITH.get(name, name))
    exact = [extra for extra, packages in extras.items() if wanted in packages]
    if exact:
        return exact
    return [
        e for e, packages in extras.items() if any(p.startswith(f"{wanted}-") for p in packages)
    ]


def _extras() -> dict[str, set[str]]:
    """Every extra with its packages; the build has put those of the extras in it among them."""
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # a folder on the path, never installed
        return {}
    found: dict[str, set[str]] = {}
    for line in lines:
        if match := re.match(r"([\w.-]+).*;.*extra == ['\"]([\w-]+)['\"]", line):
            found.setdefault(match[2], set()).add(_plain(match[1]))
    return found


def _plain(name: str) -> str:
    """A name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
