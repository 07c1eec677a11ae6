"""How this room compiles its loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from csb_format.extras import needs

with needs("cpu"):
    import numba

__all__ = ["compiled", "compiled_into", "compiled_sums"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """``numba.njit``, cached beside the source, else in the user's cache, else not at all.

    "contract" only lets LLVM fuse a product and a sum. Numba looks at the file of the
    outermost function alone to see whether its cache is stale, so keep what calls each
    other in one file.
    """
    return _made(function, {"contract"})


def compiled_sums(function: _Function) -> _Function:
    """As :func:`compiled`, for loops that may add floats in any order, many at a time."""
    return _made(function, {"contract", "nsz", "reassoc"})


def compiled_into(function: _Function) -> _Function:
    """As :func:`compiled`, and part of whatever calls it, so that LLVM sees its arrays there."""
    return _made(function, {"contract"}, inline="always")


def _made(function: _Function, freedom: set[str], **more: Any) -> _Function:
    options: dict[str, Any] = {"fastmath": freedom, "error_model": "numpy", **more}
    try:
        made: _Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba finds no folder that it may write
        made = numba.njit(**options)(function)
    return made
