"""Folders that are written so that nobody sees half of one, and nothing of others is lost.

What a process that was killed has left beside a place goes, or comes back, when the place is
written again: leftovers are known by their names, and by a lock that ends with its process.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import itertools
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from .ownership import (
    CACHE,
    MARKER,
    SHARED,
    Marker,
    PlaceError,
    check_replaceable,
    check_shared,
    contents,
    special,
    state,
    unmakeable,
)
from .replace import ended, hidden, replace_file

__all__ = [
    "cache_folder",
    "held",
    "is_plain",
    "locked",
    "plain_place",
    "private_folder",
    "put",
    "replaced_folder",
    "shared_folder",
    "temporary_folder",
]

SUFFIX = ".sparseflow"
ALWAYS = "always"  # instead of a process, in markers of caches
OLD = "old"
ALIVE = ".alive"  # locked as long as its process lives
YOUNG = 60.0  # seconds in which a folder may have no lock yet
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux
# no rights, or a system's own tree
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTSUP, errno.EINVAL)
# what make, compilers and linkers take in a path wherever it stands
PLAIN = re.compile(r"[A-Za-z0-9_./+@-]*")
_turns = itertools.count()


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """One process at a time; the lock ends with its process, however that ends.

    Parameters
    ----------
    path : Path
        A file, made if absent, which stays.
    wait : bool
        For another process that has it; else that is an error.

    Raises
    ------
    PlaceError
        If another process has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PlaceError(
                f"another run is at work in {path.parent}: wait for its end, or give another folder"
            ) from None
        yield


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep others out of a folder who ask in the same way; ends with the process."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def private_folder(parent: Path, name: str) -> Iterator[Path]:
    """A hidden folder of this process alone, gone at the end of the block.

    Parameters
    ----------
    parent : Path
        Existing folder that it lies in; what killed processes left there under ``name`` goes.
    name : str
    """
    _sweep(parent, name)
    path, handle = _new(parent, name)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


@contextmanager
def _writable(parent: Path) -> Iterator[None]:
    """Name the folder where nothing can be made, not what we would have made in it."""
    try:
        yield
    except OSError as error:
        if error.errno not in FORBIDDEN:
            raise
        raise unmakeable(parent, "folder", error) from None


def _new(parent: Path, name: str) -> tuple[Path, int]:
    """A new folder and its lock."""
    while True:
        with _writable(parent):
            made = tempfile.mkdtemp(prefix=f".{hidden(name)}.", suffix=SUFFIX, dir=parent)
        path = Path(made)
        with suppress(FileNotFoundError):  # another process took it for a leftover
            handle = os.open(path / ALIVE, os.O_CREAT | os.O_RDWR)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if (path / ALIVE).exists():
                return path, handle
            os.close(handle)


@contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """A private folder where temporary ones are.

    Parameters
    ----------
    name : str
        What it is for.
    """
    with private_folder(Path(tempfile.gettempdir()), name) as path:
        yield path


def _sweep(parent: Path, name: str) -> None:
    """Remove what killed processes left; what they had moved away comes back first."""
    pattern = re.compile(rf"\.{re.escape(hidden(name))}\.[a-z0-9_]{{8}}{re.escape(SUFFIX)}")
    for path in (parent / entry for entry in os.listdir(parent) if pattern.fullmatch(entry)):
        with suppress(OSError):
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            if not (path / ALIVE).exists():
                if time.time() - path.stat().st_mtime > YOUNG:  # else it may get its lock now
                    path.rmdir()  # only an empty one can be ours
                continue
            handle = os.open(path / ALIVE, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for old in (path / OLD).glob("*"):
                    if not os.path.lexists(parent / old.name):
                        old.rename(parent / old.name)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


@contextmanager
def replaced_folder(folder: str | os.PathLike[str], kind: str) -> Iterator[Path]:
    """A folder that takes the place of another once it is whole.

    Parameters
    ----------
    folder : path
        Must be absent, empty, or ours; it stays as it is until the new one stands, and for good
        if the block raises.
    kind : str
        Of what is written, for the marker.

    Yields
    ------
    Path
        Where the block makes the new folder; nothing is there yet.

    Raises
    ------
    PlaceError
        If the folder holds anything that is not ours, or nothing can be made where it is to be.
    """
    target = Path(os.path.abspath(folder))
    check_replaceable(target, kind)
    with _writable(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    with private_folder(target.parent, target.name) as beside:
        new = beside / target.name
        yield new
        for inner in new.rglob(MARKER):  # it is one folder now
            inner.unlink()
        replace_file(new / MARKER, Marker(kind, _states(new)).text())
        check_replaceable(target, kind)  # again: time has passed
        put(new, target)


def put(new: Path, target: Path) -> None:
    """Move a folder from a private one to a place, in one step; an older one goes.

    Parameters
    ----------
    new : Path
        In a folder of :func:`private_folder`, which takes the older one.
    target : Path
        Absent, or a folder.
    """
    if not target.exists():
        try:
            new.rename(target)
            return
        except OSError as error:  # another process was first
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    if not _exchanged(new, target):
        old = new.parent / OLD / target.name
        old.parent.mkdir()
        target.rename(old)
        try:
            new.rename(target)
        except BaseException:
            old.rename(target)
            raise


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders at once; False where the system cannot."""
    with suppress(AttributeError, OSError):
        both = os.fsencode(one), os.fsencode(other)
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
        found: int = renameat2(AT_FDCWD, both[0], AT_FDCWD, both[1], RENAME_EXCHANGE)
        return found == 0
    return False


@contextmanager
def shared_folder(
    folder: str | os.PathLike[str], names: Sequence[str], living: Collection[str] = ()
) -> Iterator[Path]:
    """A folder in which several commands keep what they make, beside anything else.

    Parameters
    ----------
    folder : path
        Made if absent.
    names : sequence of str
        Files and folders that the block may write or replace in it.
    living : collection of str
        Those of them that are read back and added to, or in which tools go on writing: a change
        of what is in them does not make it the user's.

    Yields
    ------
    Path

    Raises
    ------
    PlaceError
        If one of them is there and not ours, or a command replaces the folder as a whole.
    """
    place = Path(folder)
    check_shared(place, names)
    made = not place.exists()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, "cannot be made: give another place", str(place)) from error
    turn = f"{os.getpid()}-{next(_turns)}"
    with held(place):
        check_shared(place, names)
        marker = Marker.of(place) or Marker(SHARED)
        opened = marker.open | {turn: list(names)}
        replace_file(place / MARKER, replace(marker, kind=SHARED, open=opened).text())
    try:
        yield place
    finally:
        _close(place, names, frozenset(names) - frozenset(living), turn, made)


def cache_folder(folder: str | os.PathLike[str], names: Sequence[str]) -> Path:
    """A folder whose entries are ours from now on, whatever comes into them.

    For what is only ever added under names that are digests of what it is: many processes add to
    it at a time, and none replaces what another one made.

    Parameters
    ----------
    folder : path
        Made if absent.
    names : sequence of str
        Folders in it.

    Raises
    ------
    PlaceError
        If one of them is there and not ours, or a command replaces the folder as a whole.
    """
    place = Path(folder)
    check_shared(place, names)
    place.mkdir(parents=True, exist_ok=True)
    with held(place):
        marker = Marker.of(place) or Marker(CACHE)
        before = marker.open.get(ALWAYS, ())
        if not set(names) <= set(before):
            check_shared(place, names)
            opened = marker.open | {ALWAYS: sorted({*before, *names})}
            replace_file(place / MARKER, replace(marker, open=opened).text())
    return place


def _close(
    place: Path, names: Iterable[str], fixed: Collection[str], turn: str, made: bool
) -> None:
    """List what was written; a folder in which nothing was is as before."""
    with suppress(FileNotFoundError), held(place):
        marker = Marker.of(place) or Marker(SHARED)
        done = set(names) | {n for t, each in marker.open.items() if _over(t) for n in each}
        files = {p: was for p, was in marker.files.items() if os.path.lexists(place / p)}
        files |= _states(place, done, fixed)
        opened = {t: each for t, each in marker.open.items() if t != turn and not _over(t)}
        if files or opened:
            replace_file(place / MARKER, replace(marker, files=files, open=opened).text())
            return
        (place / MARKER).unlink(missing_ok=True)
    if made:
        with suppress(OSError):  # others may have put something there
            place.rmdir()


def _states(
    folder: Path, names: Iterable[str] | None = None, fixed: Collection[str] | None = None
) -> dict[str, str]:
    """Files in entries of a folder, and the states of those whose contents count."""
    return {
        path: state(folder / path)
        if fixed is None or path.partition("/")[0] in fixed
        else special(folder / path)
        for path in contents(folder, names)
    }


def _over(turn: str) -> bool:
    """Whether the process that had a turn has ended."""
    pid = turn.partition("-")[0]
    return turn != ALWAYS and (not pid.isdigit() or ended(int(pid)))


@contextmanager
def plain_place(folder: Path) -> Iterator[Path]:
    """A place for tools that cannot take every path: the folder, or one whose contents go there.

    Parameters
    ----------
    folder : Path
        Existing.

    Yields
    ------
    Path
        The folder itself if its path has nothing but letters, digits and ``_./+@-``; else a
        temporary one, whose contents are copied to the folder at the end.

    Raises
    ------
    PlaceError
        If the place of temporary folders has such a path too.
    """
    if is_plain(folder):
        yield folder
        return
    with temporary_folder("elsewhere") as elsewhere:
        if not is_plain(elsewhere):
            raise PlaceError(
                f"{folder} has characters that make and compilers cannot take, and so has the "
                f"folder for temporary files, {elsewhere.parent}: set TMPDIR to another one"
            )
        work = elsewhere / "work"
        work.mkdir()
        yield work
        shutil.copytree(work, folder, symlinks=True, dirs_exist_ok=True)


def is_plain(path: Path) -> bool:
    """Whether make and compilers can take a path wherever it stands."""
    return PLAIN.fullmatch(str(path)) is not None
