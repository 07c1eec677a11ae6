"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["replace_file"]


def replace_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file beside its destination and move it there in one step.

    Parameters
    ----------
    path : path
        In an existing folder; an older file is replaced.
    data : bytes
        All of its contents.

    Raises
    ------
    OSError
        If the folder cannot be written; the older file is still there, unchanged.
    """
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
