"""Which extra of this distribution brings a package that is missing."""

from __future__ import annotations

import re
from importlib import metadata

__all__ = ["DISTRIBUTION", "brought_by", "extra_of", "install"]

DISTRIBUTION = "sparseflow"
# modules that come with another package, or have other names than theirs
_COMES_WITH = {"llvmlite": "numba", "serial": "pyserial", "cocotb_tools": "cocotb"}


def extra_of(module: str) -> str:
    """The smallest extra that brings a module; empty if it comes with the core, or with none."""
    name = module.partition(".")[0]
    wanted = _plain(_COMES_WITH.get(name, name))
    asked = _asked()
    found = [extra for package, extra in asked if package == wanted]
    found = found or [extra for package, extra in asked if package.startswith(f"{wanted}-")]
    return min(found, key=[extra for _, extra in asked].count, default="")


def install(module: str, extra: str = "") -> str:
    """What to do where a module is missing, on one line.

    Parameters
    ----------
    module : str
    extra : str, optional
        That brings all that is needed; by default the smallest that brings the module.
    """
    extra, name = extra or extra_of(module), module.partition(".")[0]
    if not extra:
        return f"the package {name} is not installed: install it with pip"
    return f"the package {name} is not installed: {brought_by(extra)}"


def brought_by(extra: str) -> str:
    """How to install an extra."""
    return (
        f"it comes with the extra {extra!r}, in a checkout of Sparseflow: "
        f"pip install -e '.[{extra}]'"
    )


def _asked() -> list[tuple[str, str]]:
    """Every package that an extra asks for."""
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # a folder on the path, never installed
        return []
    pattern = re.compile(r"([\w.-]+).*;.*extra == ['\"]([\w-]+)['\"]")
    matches = (pattern.match(line) for line in lines)
    return [(_plain(match[1]), match[2]) for match in matches if match]


def _plain(name: str) -> str:
    """A name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
