"""Whether the names of the rooms lead to their files: a script's folder comes first on the path.

Rooms are top-level packages with common names, so a user's ``engine.py`` hides one. Every room
asks here for those that it cannot do without, before it imports them. This module lies beside the
rooms, since any of them may be the hidden one, and imports none.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path

__all__ = ["ROOMS", "ShadowedError", "check", "shadow"]

ROOMS = {
    "boards": "host",
    "compiler": "abi",
    "csb_format": "files",
    "engine": "kernels",
    "hdl": "core",
    "pruning": "mask",
    "sim": "run",
}
"""Each room, and a folder in it by which it is known."""


class ShadowedError(ImportError):
    """A file of somebody else has the name of a room and is found first."""


def check(*rooms: str) -> None:
    """Make sure that these names lead to rooms.

    Raises
    ------
    ShadowedError
        Naming the file that hides one, and the mend.
    """
    for room in rooms:
        if file := shadow(room):
            raise ShadowedError(
                f"{_named(file)} hides the package {room!r} of Sparseflow, called the same: "
                "rename it, or keep its folder off the path: python -P, or PYTHONSAFEPATH=1",
                name=room,
                path=file,
            )


def shadow(module: str) -> str:
    """The file that is found in place of the room of a module; empty if there is none."""
    room = module.partition(".")[0]
    if room not in ROOMS:
        return ""
    loaded = sys.modules.get(room)
    spec = loaded.__spec__ if loaded else PathFinder.find_spec(room)
    origin = (spec.origin if spec else None) or getattr(loaded, "__file__", None) or ""
    return "" if not origin or _ours(room, Path(origin)) else origin


def _named(file: str) -> str:
    """What bears the name: the file, or the folder of a package."""
    path = Path(file)
    return str(path.parent if path.stem == "__init__" else path)


def _ours(room: str, origin: Path) -> bool:
    """Whether a file is what a room begins with."""
    begins = origin.stem == "__init__" and (origin.parent / "py.typed").is_file()
    return begins and (origin.parent / ROOMS[room]).is_dir()
