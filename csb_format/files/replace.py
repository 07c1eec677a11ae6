"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
from contextlib import suppress
from pathlib import Path

from .ownership import check_place

__all__ = ["ended", "hidden", "replace_file"]

LONGEST = 180  # bytes of a name; 255 less what is put around it


def replace_file(path: str | os.PathLike[str], data: bytes | bytearray) -> None:
    """Write a file beside its destination and move it there in one step.

    Parameters
    ----------
    path : path
        In an existing folder; an older file is replaced.
    data : bytes or bytearray
        All of its contents.

    Raises
    ------
    PlaceError
        If a link, a device, a FIFO or a socket is there.
    OSError
        If the folder cannot be written; the older file is still there, unchanged.
    """
    target = Path(path)
    check_place(target)
    if not target.parent.is_dir():
        missing = "there is no such folder: make it first"
        raise FileNotFoundError(errno.ENOENT, missing, str(target.parent))
    _sweep(target)
    # Two threads may write the same file: each has a name of its own for it.
    turn = f"{os.getpid()}-{threading.get_ident()}"
    beside = target.with_name(f".{hidden(target.name)}.{turn}.sparseflow")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except OSError as error:
        if error.errno is None:
            raise
        # The name of the file that is wanted, not of the one beside it, or none at all.
        raise OSError(error.errno, error.strerror, os.fspath(target)) from error
    finally:
        beside.unlink(missing_ok=True)


def _sweep(target: Path) -> None:
    """Remove what processes that were killed have left of the same file."""
    pattern = re.compile(rf"\.{re.escape(hidden(target.name))}\.(\d+)(?:-\d+)?\.sparseflow")
    try:
        found = [match for name in os.listdir(target.parent) if (match := pattern.fullmatch(name))]
    except PermissionError:  # a folder may be written and not read
        return
    for match in found:
        if ended(int(match[1])):
            with suppress(OSError):
                target.with_name(match[0]).unlink()


def hidden(name: str) -> str:
    """A name with room around it: what fits a folder fits beside that as well."""
    raw = os.fsencode(name)
    return name if len(raw) <= LONGEST else hashlib.sha256(raw).hexdigest()


def ended(pid: int) -> bool:
    """Whether there is no such process any more; False where nobody can tell."""
    if os.name != "posix":  # signal 0 is none there
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # it lives, and is another user's
        return False
    return False
