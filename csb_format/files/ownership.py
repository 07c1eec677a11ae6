"""Whose a place is: what a command may replace, and what it must leave alone.

A folder is ours only if its marker says so, lists every file in it, and each is still what was
written. What is listed nowhere, or is something else by now, is somebody else's.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "MARKER",
    "Marker",
    "PlaceError",
    "check_file",
    "check_folder",
    "check_place",
    "check_replaceable",
    "check_shared",
    "contents",
    "special",
    "state",
    "unmakeable",
]

MARKER = ".sparseflow.json"
VERSION = 1
# Kinds of folders to which several commands add; all others are replaced as a whole.
SHARED, CACHE = "work", "cache"
# What messages call kinds that are not the names of commands.
COMMANDS = {
    SHARED: "simulate, report, regress, demo or data",
    CACHE: "regress --cache",
    "artifacts": "regress --artifacts",
    "failed build": "build, of one that failed",
}
SPECIAL = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class PlaceError(ValueError):
    """A place that is not ours to write to; the message names it and the mend."""


@dataclass(frozen=True)
class Marker:
    """What a folder of ours says of itself.

    Parameters
    ----------
    kind : str
        What made it; only the same kind replaces it as a whole, and nothing is added to it but
        to ``SHARED`` and ``CACHE``.
    files : dict of str to str
        By their paths inside, with ``/``, the :func:`state` of all files in it as they were
        written. Empty where tools go on writing, and in markers of before there were states: the
        name alone decides, and that it is a plain file.
    open : dict of str to list of str
        By process, entries in which it is at work: what is in them is ours, listed or not.
    """

    kind: str
    files: dict[str, str] = field(default_factory=dict)
    open: dict[str, list[str]] = field(default_factory=dict)

    def text(self) -> bytes:
        """As it is written; equal contents give equal bytes."""
        fields = {"sparseflow": self.kind, "version": VERSION, "files": self.files}
        if self.open:
            fields["open"] = self.open
        return (json.dumps(fields, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()

    @property
    def command(self) -> str:
        """What made it, as users call it."""
        return COMMANDS.get(self.kind, self.kind)

    def at_work(self, path: str) -> bool:
        """Whether a file lies where a process is or was at work, and may be anything."""
        top = path.partition("/")[0]
        return any(top in names for names in self.open.values())

    @classmethod
    def of(cls, folder: Path) -> Marker | None:
        """The marker of a folder; None if it has none that is ours."""
        path = folder / MARKER
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                return None
            found = json.loads(path.read_bytes())
            if not isinstance(found["sparseflow"], str) or found["version"] != VERSION:
                return None
            files, busy = _listed(found["files"]), dict(found.get("open", {}))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return cls(found["sparseflow"], files, busy)


def _listed(files: Any) -> dict[str, str]:
    """Files of a marker; those of before there were states are a list of names."""
    pairs = files.items() if isinstance(files, dict) else ((name, "") for name in files)
    return {str(path): str(was) for path, was in pairs}


def state(path: Path) -> str:
    """What a file is, for markers: the SHA-256 of a plain one, else its kind, as "a FIFO".

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        Empty if it cannot be read.
    """
    if what := special(path):
        return what
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def contents(folder: Path, names: Iterable[str] | None = None) -> Iterator[str]:
    """Paths of all files in a folder, by name; folders are looked into, links are not.

    Parameters
    ----------
    folder : Path
    names : iterable of str, optional
        Only these entries of it; by default all but the marker.
    """
    chosen = os.listdir(folder) if names is None else names
    for name in sorted(set(chosen) - {MARKER}):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            yield from (f"{name}/{inner}" for inner in _inside(path))
        elif os.path.lexists(path):
            yield name


def _inside(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in sorted([*files, *links]):
            yield Path(place, name).relative_to(folder).as_posix()


def check_file(path: str | os.PathLike[str], *inputs: str | os.PathLike[str] | None) -> None:
    """Refuse, before any work, a place where no file can be written; nothing is left there.

    Parameters
    ----------
    path : path
    *inputs : path
        What the same command reads, and must therefore not replace; other files that it writes.

    Raises
    ------
    PlaceError
        If it is a link, a device, a FIFO or a socket, or one of the inputs; or no file can be
        made there, whatever the rights.
    OSError
        If it is a folder, or its folder cannot be made or written.
    """
    existing = check_place(path, *inputs)
    try:  # rights are not all that it takes: /proc, a mount that is read-only
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        raise unmakeable(existing, "file", error) from None


def check_place(path: str | os.PathLike[str], *inputs: str | os.PathLike[str] | None) -> Path:
    """As :func:`check_file`, by what is there and its rights alone; nothing is tried.

    Returns
    -------
    Path
        The folder that is there, which the file or its folders will lie in.
    """
    place = Path(path)
    if place.is_dir() and not place.is_symlink():
        raise IsADirectoryError(21, "is a folder: name a file in it", str(place))
    if what := special(place):
        raise PlaceError(f"{place} is {what}, which is never replaced: name a plain file")
    for given in inputs:
        if given is None:
            continue
        if place.exists() and os.path.exists(given):
            if os.path.samefile(place, given):
                raise PlaceError(f"{place} is read by the same command: name another file")
        elif os.path.realpath(place) == os.path.realpath(given):  # two outputs, not there yet
            raise PlaceError(f"{place} is written by the same command: name another file")
    return _check_parent(place.parent)


def unmakeable(folder: Path, what: str, error: OSError) -> PlaceError:
    """Names the folder where a file or a folder cannot be made, and why."""
    reason = str(error.strerror).lower()
    return PlaceError(f"{folder}: no {what} can be made there ({reason}): give another place")


def check_folder(path: str | os.PathLike[str]) -> None:
    """Refuse a place where no folder can be made or written; nothing is made.

    Raises
    ------
    PlaceError
        If it is a link, a device, a FIFO or a socket.
    OSError
        If it, or what it should lie in, is a file or cannot be written.
    """
    place = Path(path)
    if what := special(place):
        raise PlaceError(f"{place} is {what}, not a folder: give another place")
    _check_parent(place)


def special(place: Path) -> str:
    """What a place is, if neither a plain file nor a folder; else empty."""
    try:
        mode = place.lstat().st_mode
    except OSError:
        return ""
    what = next((name for is_kind, name in SPECIAL if is_kind(mode)), "")
    return f"{what} to {os.readlink(place)}" if what == "a link" else what


def _check_parent(folder: Path) -> Path:
    """The folder that is there, which it is or will lie in."""
    existing = Path(os.path.abspath(folder))
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise NotADirectoryError(20, "is a file, not a folder: give another place", str(existing))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(13, "no right to write there: give another place", str(existing))
    return existing


def check_replaceable(folder: str | os.PathLike[str], kind: str) -> None:
    """Refuse to replace a folder that is not wholly ours.

    Parameters
    ----------
    folder : path
        Absent and empty folders are free.
    kind : str
        Of what would take its place.

    Raises
    ------
    PlaceError
        Naming the first thing in it that is not ours.
    OSError
        As :func:`check_folder`.
    """
    place = Path(folder)
    check_folder(place)
    if Path(os.path.abspath(place)) in (Path.cwd(), *Path.cwd().parents):
        raise PlaceError(f"{place} is the current folder, or holds it: name a folder in it")
    if not place.is_dir() or not os.listdir(place):
        return
    marker = Marker.of(place)
    if marker and marker.kind != kind:
        raise PlaceError(
            f"{place} would be replaced as a whole but is of another command ({marker.command}): "
            "give a new or an empty folder"
        )
    if found := _foreign(place):
        raise PlaceError(
            f"{place} would be replaced as a whole but holds {found}: give a new or an empty "
            f"folder{_older(marker)}"
        )


def _foreign(place: Path, names: Iterable[str] | None = None) -> str:
    """The first file in a folder that is not ours, and what of it is not."""
    while True:
        marker, before = Marker.of(place), _identity(place)
        if marker is None and names is None:
            return min(os.listdir(place), default="")
        found = next(filter(None, (_strange(place, p, marker) for p in contents(place, names))), "")
        # another process of ours may have replaced what was compared: then look again
        if not found or (marker, before) == (Marker.of(place), _identity(place)):
            return found


def _identity(place: Path) -> int:
    try:
        return place.stat().st_ino
    except OSError:
        return 0


def _strange(place: Path, path: str, marker: Marker | None) -> str:
    """A file with what is not ours of it; empty if all is."""
    if marker and marker.at_work(path):
        return ""
    was, is_now = marker.files.get(path) if marker else None, special(place / path)
    if is_now and is_now != was:
        return f"{path}, {is_now}"
    if was is None:
        return path
    if was and os.path.lexists(place / path) and state(place / path) != was:
        return f"{path}, changed since it was written (move it away to keep it)"
    return ""


def check_shared(folder: str | os.PathLike[str], names: Iterable[str]) -> None:
    """Refuse to write entries of a folder that are there and not ours; others do not matter.

    Parameters
    ----------
    folder : path
        Absent folders are free.
    names : iterable of str
        Files and folders that are to be written in it.

    Raises
    ------
    PlaceError
        Naming the first that is not ours; or if a command replaces the folder as a whole, which
        would refuse it with anything else in it.
    OSError
        As :func:`check_folder`.
    """
    place = Path(folder)
    check_folder(place)
    marker = Marker.of(place) if place.is_dir() else None
    if marker and marker.kind not in (SHARED, CACHE):
        raise PlaceError(
            f"{place} is of another command ({marker.command}), which replaces it as a whole: "
            "give another folder"
        )
    for name in names:
        if what := special(place / name):
            raise PlaceError(f"{place / name} is {what}, which is never replaced: remove it")
        if found := _foreign(place, [name]):
            raise PlaceError(
                f"{place} holds {found}, which would be replaced and is on no list of ours: give "
                f"another folder, or move it away{_older(marker)}"
            )


def _older(marker: Marker | None) -> str:
    """What may be done where no list of ours is."""
    text = (
        "; if version 0.2.0 or an earlier one made it, which left no list of its files, remove it"
    )
    return "" if marker else f"{text} yourself"
