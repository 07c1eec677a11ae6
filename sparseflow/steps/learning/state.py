"""What a broken-off adaptation leaves beside its output, to go on from."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from csb_format.files.arrays import ArrayFileError, array_headers, read_arrays
from csb_format.files.ownership import PlaceError
from csb_format.files.replace import replace_file
from engine.learn.learner import LearnError

__all__ = ["check_state_place", "digest_of", "read_state", "state_path", "write_state"]

_ABOUT = "sparseflow_adapt"
Arrays = dict[str, Any]


def state_path(out: Path) -> Path:
    """Where it lies."""
    return out.with_name(f"{out.name}.state.npz")


def digest_of(files: Mapping[str, Path | None], options: Mapping[str, Any]) -> str:
    """SHA-256 of all that decides the result."""
    parts = {
        name: "" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
    }
    text = json.dumps([parts, dict(options)], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_state_place(path: Path) -> None:
    """Refuse to replace what is no state of ours.

    Raises
    ------
    PlaceError
        Naming it.
    """
    if not path.exists():
        return
    try:
        if _ABOUT in array_headers(path):
            return
    except (ArrayFileError, OSError, zipfile.BadZipFile):
        pass
    raise PlaceError(f"{path} is in the way, and is no state of an adaptation: move it away")


def write_state(path: Path, digest: str, about: Mapping[str, Any], arrays: Arrays) -> None:
    """Write it, whole or not at all."""
    text = json.dumps({"digest": digest, **about}, sort_keys=True, allow_nan=False)
    buffer = io.BytesIO()
    everything: dict[str, Any] = {_ABOUT: np.array(text), **arrays}
    np.savez(buffer, **everything)
    replace_file(path, buffer.getvalue())


def read_state(path: Path, digest: str) -> tuple[dict[str, Any], Arrays]:
    """What :func:`write_state` wrote.

    Raises
    ------
    LearnError
        If there is none, or it is of other files or options.
    """
    if not path.exists():
        raise LearnError(f"{path} is not there: nothing was broken off; leave --resume out")
    try:
        arrays: Arrays = dict(read_arrays(path, list(array_headers(path))))
        about: dict[str, Any] = json.loads(str(arrays.pop(_ABOUT)))
    except (ArrayFileError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise LearnError(f"{path} is no state of an adaptation: leave --resume out") from error
    if about.pop("digest", "") != digest:
        raise LearnError(
            f"{path} is of another model, other data or other options: give those, or leave "
            "--resume out to begin anew"
        )
    return about, arrays
