"""What ``fit`` found as one page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..report_page import templates

__all__ = ["page"]


def page(found: Mapping[str, Any], command: str = "") -> str:
    """The page; it needs no network.

    Parameters
    ----------
    found : mapping
        What ``sparseflow fit --json`` writes.
    command : str
        That was typed, if one was.
    """
    return templates().get_template("fit.html.j2").render(found=found, command=command)
