"""What tests of the job layer let it call."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def mixed(given: dict[str, Any], inputs: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """Arithmetic, reads, files and pauses: a result that follows from what is given alone."""
    time.sleep(given.get("pause", 0))
    found = {"squares": [n * n for n in range(given["number"])], "third": given["number"] / 3}
    for name, path in inputs.items():
        found[name] = path.read_bytes().hex()
    if given["number"] % 3 == 0:
        (folder / "kept/more").mkdir(parents=True)
        (folder / "kept/more/numbers.bin").write_bytes(bytes(range(given["number"] % 256)))
    return found


def dies(given: dict[str, Any], inputs: Mapping[str, Path], folder: Path) -> int:
    """Killed until a file has as many lines as it is told."""
    path = Path(given["note"])
    with path.open("a") as file:
        file.write("x\n")
    begun = len(path.read_text().split())
    if begun <= given["times"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return begun


def raises(given: dict[str, Any], inputs: Mapping[str, Path], folder: Path) -> None:
    """No result."""
    (folder / "left").write_text("this")
    raise ValueError(given["text"])


def sleeps(given: dict[str, Any], inputs: Mapping[str, Path], folder: Path) -> None:
    """Longer than anybody waits, with a child that must not outlive it."""
    pid = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")
    Path(given["note"]).write_text(str(pid))
    time.sleep(600)


def not_plain(given: dict[str, Any], inputs: Mapping[str, Path], folder: Path) -> float:
    """What JSON does not have."""
    return float("nan")


def at_work(given: dict[str, Any], inputs: Mapping[str, Path], folder: Path) -> int:
    """How many of these are at work at a time, itself among them."""
    place = Path(given["folder"])
    mine = place / given["name"]
    mine.write_text("")
    time.sleep(0.3)
    found = len(list(place.iterdir()))
    mine.unlink()
    return found
