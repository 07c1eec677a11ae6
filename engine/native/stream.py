"""Sequences that go on step by step on this CPU, their states in the C library."""

from __future__ import annotations

import ctypes
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from csb_format.arguments import array_of, whole
from csb_format.fixed import IntArray

from .calls import Ints, Users, at, check
from .library import Error, Shape

__all__ = ["NativeStream", "Opened"]

_MOST_STREAMS = 65536


class Opened(Protocol):
    """What a stream needs of the model that it runs."""

    shape: Shape
    users: Users

    def integers(self, given: npt.NDArray[Any]) -> Ints:
        """Frames as the library takes them."""


ModelT = TypeVar("ModelT", bound=Opened)


class NativeStream(Generic[ModelT]):
    """Sequences that go on step by step, their states kept in the library.

    A stream belongs to one thread at a time; in a child of ``fork`` it goes on, on one thread.

    Parameters
    ----------
    model : :class:`~engine.native.model.NativeModel`
    batch : int
        1 to 65536.
    """

    def __init__(self, model: ModelT, batch: int = 1):
        self.model, self.batch = model, whole("batch", batch, 1, _MOST_STREAMS)
        users = model.users
        self._library, self._handle, self._error = users.native, ctypes.c_void_p(), Error()
        self._library.sparseflow_run_start(
            users.handle, self.batch, ctypes.byref(self._handle), ctypes.byref(self._error)
        )
        check(self._error)
        users.come()
        self._output = np.empty((self.batch, model.shape.outputs), np.int32)

    def __reduce__(self) -> str:
        raise TypeError("a stream cannot be copied or pickled: model.start() begins another")

    def __del__(self) -> None:
        if handle := getattr(self, "_handle", None):
            self._library.sparseflow_run_end(handle)
            self.model.users.leave()

    def step(self, x: npt.ArrayLike) -> IntArray:
        """One step of all sequences.

        Parameters
        ----------
        x : array (B, X)
            As in :meth:`~engine.native.model.NativeModel.run`.

        Returns
        -------
        int64 array (B, R)
            Outputs of the last layer.

        Raises
        ------
        TypeError
            For what is no array of numbers.
        ValueError
            For another shape, NaN, or integers outside the format; no state has changed then.
        """
        width = self.model.shape.inputs
        wanted = f"give an array ({self.batch}, {width}), a frame of each sequence"
        frames = self.model.integers(array_of("x", x, width, wanted))
        if len(frames) != self.batch:
            raise ValueError(f"x holds {len(frames)} frames: this stream has {self.batch}")
        failed = self._library.sparseflow_run_step(
            self._handle, at(frames), at(self._output), ctypes.byref(self._error)
        )
        if failed:
            check(self._error)
        return self._output.astype(np.int64)

    def step_some(self, which: npt.ArrayLike, x: npt.ArrayLike) -> IntArray:
        """One step of some sequences; the others stay where they are.

        Parameters
        ----------
        which : int array (S,)
            Numbers of sequences, 0 to B - 1, rising.
        x : array (S, X)
            As in :meth:`~engine.native.model.NativeModel.run`.

        Returns
        -------
        int64 array (S, R)
            Outputs of the last layer.

        Raises
        ------
        ValueError
            As :meth:`step`, and for numbers that are no sequences, or do not rise.
        """
        width = self.model.shape.inputs
        wanted = f"give an array (S, {width}), a frame of each of the sequences"
        rows = np.asarray(which)
        if not rows.size:  # of a moment in which no sequence has a frame
            return np.empty((0, self.model.shape.outputs), np.int64)
        frames = self.model.integers(array_of("x", x, width, wanted))
        if rows.shape != (len(frames),) or rows.dtype.kind not in "iu":
            raise ValueError(f"which has shape {rows.shape}: give an integer for each frame")
        if not 0 <= rows.min() <= rows.max() < self.batch:
            raise ValueError(f"sequences {rows.min()} to {rows.max()}: this has {self.batch}")
        numbers = np.ascontiguousarray(rows, np.uint32)
        output = np.empty((len(frames), self.model.shape.outputs), np.int32)
        if self._library.sparseflow_run_step_some(
            self._handle,
            len(frames),
            *(at(array) for array in (numbers, frames, output)),
            ctypes.byref(self._error),
        ):
            check(self._error)
        return output.astype(np.int64)

    def reset(self, which: int | None = None) -> None:
        """Back to the zero state: one sequence, or all."""
        for n in (
            range(self.batch) if which is None else (whole("which", which, 0, self.batch - 1),)
        ):
            self._library.sparseflow_run_reset(self._handle, n)

    def time(self, frames: npt.ArrayLike, steps: int) -> npt.NDArray[np.float64]:
        """How long steps take, measured in the library: no call of Python is in it.

        Parameters
        ----------
        frames : array (T, X)
            Each is given to all sequences, in turn.
        steps : int
            At least 1.

        Returns
        -------
        float64 array (steps,)
            Microseconds.
        """
        width, steps = self.model.shape.inputs, whole("steps", steps, 1)
        found = array_of("frames", frames, width, f"give an array (T, {width}), T at least 1")
        given = np.repeat(self.model.integers(found), self.batch, axis=0)
        each = np.empty(steps, np.uint32)
        self._library.sparseflow_run_time(
            self._handle,
            at(given),
            len(given) // self.batch,
            steps,
            at(each),
            ctypes.byref(self._error),
        )
        check(self._error)
        return each / 1e3

    @property
    def states(self) -> tuple[IntArray, IntArray]:
        """Hidden and cell states of the last layer now, int64 arrays (B, H)."""
        size = (self.batch, self.model.shape.units)
        hidden, cell = np.empty(size, np.int32), np.empty(size, np.int32)
        self._library.sparseflow_run_states(self._handle, at(hidden), at(cell))
        return hidden.astype(np.int64), cell.astype(np.int64)
