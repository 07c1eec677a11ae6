"""How this room compiles its loops."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from csb_format.extras import needs

with needs("cpu"):
    import numba

__all__ = ["compiled", "compiled_into", "compiled_sums", "sources"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """``numba.njit``, cached beside the source, else in the user's cache, else not at all.

    "contract" only lets LLVM fuse a product and a sum.
    """
    return _made(function, {"contract"})


def compiled_sums(function: _Function) -> _Function:
    """As :func:`compiled`, for loops that may add floats in any order, many at a time."""
    return _made(function, {"contract", "nsz", "reassoc"})


def compiled_into(function: _Function) -> _Function:
    """As :func:`compiled`, and part of whatever calls it, so that LLVM sees its arrays there."""
    return _made(function, {"contract"}, inline="always")


@cache
def sources() -> str:
    """Digest of all files of loops."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _made(function: _Function, freedom: set[str], **more: Any) -> _Function:
    options: dict[str, Any] = {"fastmath": freedom, "error_model": "numpy", **more}
    try:
        made: Any = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba finds no folder that it may write
        made = numba.njit(**options)(function)
    # Numba would look at the file of the outermost function alone to see whether its cache is
    # stale; what it calls is in other files.
    if index := getattr(made._cache, "_cache_file", None):
        index._source_stamp = sources()
    found: _Function = made
    return found
