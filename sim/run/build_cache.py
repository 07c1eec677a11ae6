"""Where built simulators are kept for every command, regression and test of a user.

A build is named after its Verilog, the tools and their places, so two that have one name are
the same. They lie in the folder of :mod:`csb_format.files.cache`. What has not been used for
longest goes when all together take more than ``SPARSEFLOW_CACHE_GB``.
"""

from __future__ import annotations

import fcntl
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from csb_format.files.cache import FOLDER, place_of_user

from .errors import SimulationError

__all__ = [
    "BUILDS",
    "DONE",
    "FOLDER",
    "LIMIT",
    "builds_of_user",
    "in_use",
    "limit_bytes",
    "trim",
    "unwritable",
]

LIMIT = "SPARSEFLOW_CACHE_GB"
BUILDS = "builds"
DONE = "built"  # a file in builds that are finished
TRIMMING = ".trim.lock"
GIGABYTES = 4.0


def builds_of_user() -> Path | None:
    """The folder of all builds, made if absent; none where the system lets us make none.

    Raises
    ------
    PlaceError
        If something of others is there under our name.
    """
    return place_of_user(BUILDS)


@contextmanager
def in_use(build: Path) -> Iterator[None]:
    """Keep a build from being removed; it counts as used now.

    Raises
    ------
    SimulationError
        If nothing can be written there: no room, or no right.
    """
    try:
        build.parent.mkdir(parents=True, exist_ok=True)
        file = _mark(build).open("a")
    except OSError as error:
        raise SimulationError(unwritable(build.parent, error.strerror or "no room")) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_SH)
        os.utime(file.fileno())
        yield


def unwritable(builds: Path, why: str) -> str:
    """What is said where builds cannot be kept."""
    return f"{builds}: {why}, so no simulator can be kept there: make room, or set {FOLDER}"


def trim(builds: Path) -> list[str]:
    """Remove builds that nobody uses, the longest unused first, until they fit; their names.

    One process at a time: another one that removes builds now makes the same room.

    Raises
    ------
    SimulationError
        If the limit in the environment is no number.
    """
    limit = limit_bytes()
    with (builds / TRIMMING).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return _trimmed(builds, limit)


def _trimmed(builds: Path, limit: int) -> list[str]:
    found = sorted((_last_use(build), build) for build in builds.iterdir() if _is_build(build))
    sizes = {build: _bytes(build) for _, build in found}
    room, gone = limit - sum(sizes.values()), list[str]()
    for _, build in found:
        if room >= 0:
            break
        if _removed(build):
            room += sizes[build]
            gone.append(build.name)
    return gone


def limit_bytes() -> int:
    """What all builds may take together."""
    text = os.environ.get(LIMIT, str(GIGABYTES))
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not math.isfinite(number) or number < 0:
        raise SimulationError(f"{LIMIT}={text}: give gigabytes for built simulators, 0 or more")
    return int(number * 1e9)


def _is_build(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not path.name.startswith(".")


def _mark(build: Path) -> Path:
    return build.with_name(f".{build.name}.used")


def _last_use(build: Path) -> float:
    with suppress(OSError):
        return _mark(build).stat().st_mtime
    return 0.0


def _bytes(build: Path) -> int:
    total = 0
    for folder, _, names in os.walk(build):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def _removed(build: Path) -> bool:
    """Whether a build is gone; one in use, or being made, stays."""
    with _mark(build).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (build / DONE).unlink(missing_ok=True)  # first: half a build must not pass for one
            shutil.rmtree(build)
        except FileNotFoundError:  # somebody has removed it
            return True
        except OSError:  # in use, or not ours
            return False
        return True
