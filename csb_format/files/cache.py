"""The folder in which what is built once is kept for all commands of a user.

It is ``SPARSEFLOW_CACHE``, else ``sparseflow`` in the user's cache folder (``XDG_CACHE_HOME``,
else ``~/.cache``).
"""

from __future__ import annotations

import os
from pathlib import Path

from .folders import cache_folder
from .ownership import PlaceError

__all__ = ["FOLDER", "cache_of_user", "place_of_user"]

FOLDER = "SPARSEFLOW_CACHE"


def cache_of_user() -> Path | None:
    """The user's folder, which need not exist; none for a user without a home."""
    if given := os.environ.get(FOLDER):
        return Path(os.path.expanduser(given))  # as no shell does in settings of a CI
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sparseflow"
    except RuntimeError:
        return None


def place_of_user(name: str) -> Path | None:
    """A folder in it, made if absent; none where the system lets us make none.

    Parameters
    ----------
    name : str
        Whose entries are ours, whatever comes into them.

    Raises
    ------
    PlaceError
        If something of others is there under this name.
    """
    place = cache_of_user()
    if place is None:
        return None
    try:
        return cache_folder(place, (name,)).resolve() / name
    except PlaceError as error:
        raise PlaceError(f"{error}; or set {FOLDER}") from None
    except OSError:  # read-only: nothing is kept
        return None
