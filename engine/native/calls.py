"""Calls into the C library: arrays as it takes them, its errors as Python's, its models' lives."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.files.modelfile import ModelFileError

from .library import Error, NativeError

__all__ = ["Ints", "Users", "at", "check", "in_int32"]

Ints = npt.NDArray[np.int32]
_FILE, _FORMAT, _USAGE, _RANGE = -1, -2, -5, -6


def in_int32(given: npt.NDArray[Any], told: Callable[[int, int], str]) -> Ints:
    """Rows of integers as the library takes them, which looks at their ranges itself.

    ``told`` says of a place whose number int32 would wrap around that it is out of range.
    """
    narrow = np.ascontiguousarray(given, np.int32)
    if given.dtype.itemsize >= 4 and given.dtype != np.int32:
        wrong = narrow != given
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise ValueError(told(row, column))
    return narrow


class Users:
    """Of a model in C: it is closed behind the last, in whatever order Python lets go of them."""

    def __init__(self, native: ctypes.CDLL, handle: ctypes.c_void_p):
        self.native, self.handle, self._count = native, handle, 1
        self._lock = RLock()  # the collector may come by while it is held

    def come(self) -> None:
        """One more."""
        with self._lock:
            self._count += 1

    def leave(self) -> None:
        """One less; behind the last the model is closed."""
        with self._lock:
            self._count -= 1
            last = not self._count
        if last:
            self.native.sparseflow_run_close(self.handle)


def at(array: npt.NDArray[Any]) -> int:
    """Where an array lies."""
    return int(array.ctypes.data)


def check(error: Error, path: str = "") -> None:
    """Raise what an error of the library is in Python."""
    text = error.text.decode(errors="replace")
    if error.code == _FILE:
        raise OSError(text)
    if error.code == _FORMAT:
        raise ModelFileError(f"{path}: {text}" if path else text)
    if error.code in (_USAGE, _RANGE):
        raise ValueError(text)
    if error.code:
        raise NativeError(f"{path}: {text}" if path else text)
