"""The sources that a suite's figures follow from: whether they are what was committed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .suite import Suite

__all__ = ["ROOMS", "SourcesError", "check_committed", "commit", "measured", "uncommitted"]

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("csb_format", "compiler", "engine", "hdl", "sim")  # of networks and buses
COMMANDS = (*ROOMS, "pruning", "boards", "sparseflow")  # of our own commands
SHOWN = 3  # paths in a message
MEND = "commit first, or give --uncommitted if that is what you want"


class SourcesError(ValueError):
    """Figures of sources that nobody can get again; the message says which."""


def measured(suite: Suite) -> tuple[str, ...]:
    """Rooms that the cases of a suite measure; none where all are programs of others."""
    ours = any("sparseflow" in case.command for case in suite.cases)
    if ours:
        return COMMANDS
    return ROOMS if any(case.kind != "command" for case in suite.cases) else ()


def uncommitted(rooms: tuple[str, ...], root: Path = ROOT) -> list[str]:
    """Files of rooms that differ from the last commit, or are not in it.

    Parameters
    ----------
    rooms : tuple of str
    root : Path
        Of the repository; where there is none, as in an installed package, nothing differs.

    Raises
    ------
    SourcesError
        If there is a repository and git cannot tell.
    """
    if not rooms or not (root / ".git").exists():
        return []
    words = ["status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", *rooms]
    done = _git(root, *words)
    if not done or done.returncode:
        said = done.stderr.strip() if done else "git is not installed"
        raise SourcesError(f"cannot tell whether {root} is as committed: {said}; {MEND}")
    return [entry[3:] for entry in done.stdout.split("\0") if entry]


def commit(folder: Path) -> str:
    """The commit of a folder, with ``-dirty`` where files differ; empty where there is none.

    Parameters
    ----------
    folder : Path
        Of the suite, in whatever repository.
    """
    done = _git(folder, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    return done.stdout.strip() if done and not done.returncode else ""


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[str] | None:
    """What git says in a folder; None without git."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    if (git := shutil.which("git")) is None:
        return None
    line = [git, "-C", str(folder), *words]
    return subprocess.run(line, capture_output=True, text=True, env=env, check=False)


def check_committed(suite: Suite, root: Path = ROOT) -> None:
    """Refuse to accept figures of sources that are in no commit.

    Raises
    ------
    SourcesError
        Naming files that differ.
    """
    if found := uncommitted(measured(suite), root):
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        names = ", ".join(found[:SHOWN])
        raise SourcesError(
            f"--accept would keep figures of sources that are in no commit: {names}{more} "
            f"differ{'s' if len(found) == 1 else ''}; {MEND}"
        )
