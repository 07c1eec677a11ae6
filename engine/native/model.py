"""A packed model on this CPU through the C library, bit for bit the integer model."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.arguments import array_of, frames_of, whole
from csb_format.files.modelfile import ModelFileError, load_model, model_bytes
from csb_format.fixed import Fixed, IntArray
from csb_format.heads.mlp import MlpHead
from csb_format.model import Model
from csb_format.pooling import outputs_of
from csb_format.screening.layer import ScreenedLayer

from ..reference import Trace
from ..screened import MOST_TOP, PROOF, Top
from .library import Error, Layer, NativeError, Options, Shape, kernels, library

__all__ = ["MOST_THREADS", "LayerPlan", "NativeModel", "NativeStream"]

Ints = npt.NDArray[np.int32]
_FILE, _FORMAT, _USAGE, _RANGE = -1, -2, -5, -6
MOST_THREADS, _MOST_STREAMS = 64, 65536
_EVERY = 3  # of the library's pools
# sparseflow_run_read
_COUNTS = {"first": "u4", "second": "u4", "exact": "u4", "bytes": "u8"}
_READ = np.dtype(list(_COUNTS.items()), align=True)


@dataclass(frozen=True)
class LayerPlan:
    """How the library runs a layer.

    Parameters
    ----------
    kernel : str
        ``plain`` where bytes cannot hold the layer's numbers.
    window : int
        Columns that are picked from at a time; 0 where entries are read by address.
    state_digits, weight_digits : int
        Bytes of a state and of a weight as products take them.
    sum_bits : int
        That sums are added up in: 32, 40 in two parts, or 64.
    weights, entries : int
        Kept, and worked on: those that fill quads and windows are among them.
    loads : int
        Windows that are loaded, of all blocks of 16 units.
    rests : int
        Weights that their bytes do not hold whole, each added by itself.
    bytes : int
        That a step of one stream reads.
    """

    kernel: str
    window: int
    state_digits: int
    weight_digits: int
    sum_bits: int
    weights: int
    entries: int
    loads: int
    rests: int
    bytes: int


class NativeModel:
    """A whole network in C.

    Parameters
    ----------
    model : Model or path
        A path is read by the library itself.
    kernel : str, optional
        One of :func:`engine.native.library.kernels`; by default the fastest of this CPU.
    threads : int
        That work on one step.

    Raises
    ------
    ModelFileError
        For a file that is none, damaged, or of a later format.
    NativeError
        If there is no compiler, or the library does not run such a model.
    ValueError
        For an unknown kernel or number of threads.
    OSError
        If the file cannot be read.
    """

    def __init__(
        self, model: Model | str | os.PathLike[str], kernel: str | None = None, threads: int = 1
    ):
        if kernel is not None and kernel not in kernels():
            raise ValueError(f"kernel {kernel!r}: this CPU has {', '.join(kernels())}")
        threads = whole("threads", threads, 1, MOST_THREADS)
        self._library, self._handle = library(), ctypes.c_void_p()
        options = Options(kernel.encode() if kernel else None, threads)
        self._path = "" if isinstance(model, Model) else os.fspath(model)
        self._seen = _identity(self._path)
        self._open(model, options)
        self.shape = Shape()
        self._library.sparseflow_run_shape(self._handle, ctypes.byref(self.shape))
        self._model = model if isinstance(model, Model) else None
        self._users = _Users(self._library, self._handle)

    def _open(self, model: Any, options: Options) -> None:
        error, native = Error(), self._library
        more = (ctypes.byref(options), ctypes.byref(self._handle), ctypes.byref(error))
        if isinstance(model, Model):
            data = bytes(model_bytes(_readable(model)))
            native.sparseflow_run_read(data, len(data), *more)
        else:
            native.sparseflow_run_open(os.fsencode(model), *more)
        _check(error, self._path)

    def __reduce__(self) -> str:
        raise TypeError("a model in C cannot be copied or pickled: open it again")

    def __del__(self) -> None:
        if users := getattr(self, "_users", None):
            users.leave()

    @property
    def model(self) -> Model:
        """The model in Python; one that was read from a file is read again.

        Raises
        ------
        ModelFileError
            If the file is another one now.
        """
        if self._model is None:
            self._model = load_model(self._path)
            if _identity(self._path) != self._seen:
                self._model = None
                raise ModelFileError(f"{self._path} has changed since it was opened: open it again")
        return self._model

    @property
    def input(self) -> Fixed:
        """Format of input frames."""
        return Fixed(self.shape.input.bits, self.shape.input.fraction)

    @property
    def layers(self) -> list[LayerPlan]:
        """How each layer is run."""
        found, one = list[LayerPlan](), Layer()
        while self._library.sparseflow_run_layer(self._handle, len(found), ctypes.byref(one)):
            numbers = (getattr(one, field.name) for field in fields(LayerPlan)[1:])
            found.append(LayerPlan(one.kernel.decode(), *numbers))
        return found

    def run(self, sequences: Sequence[npt.ArrayLike]) -> list[Trace]:
        """All states of many sequences, each from a zero state.

        Parameters
        ----------
        sequences : sequence of arrays (T_i, X)
            Float frames are quantised to the first layer's input format, integers taken as they
            are.

        Returns
        -------
        list of Trace
            Of the last level, equal to those of :meth:`~engine.reference.IntegerModel.run`.

        Raises
        ------
        TypeError
            For what is no list of arrays of numbers.
        ValueError
            For another shape, NaN, or integers outside the format.
        """
        shape = self.shape
        given = frames_of(sequences, shape.inputs, least=0)
        checked = [self._integers(array) for array in given]
        lengths = np.array([len(s) for s in checked], np.uintp)
        frames = np.concatenate(checked) if checked else np.zeros((0, shape.inputs), np.int32)
        sizes = (shape.units, shape.units, shape.outputs)
        results = [np.empty((len(frames), size), np.int32) for size in sizes]
        error = Error()
        arrays = (_at(a) for a in (lengths, frames, *results))
        self._library.sparseflow_run_sequences(
            self._handle, len(checked), *arrays, ctypes.byref(error)
        )
        _check(error)
        ends = np.cumsum(lengths).astype(int)[:-1] if len(checked) else np.zeros(0, int)
        parts = [np.split(a.astype(np.int64), ends) for a in results]
        return [Trace(*of) for of in zip(*parts, strict=True)][: len(checked)]

    def start(self, batch: int = 1) -> NativeStream:
        """The zero state of ``batch`` sequences that go on side by side.

        Raises
        ------
        ValueError
            For a bidirectional model, whose reverse layers start at the end, or a batch out of
            range.
        """
        return NativeStream(self, batch)

    def logits(self, outputs: npt.ArrayLike) -> IntArray:
        """Logits of one sequence, as :meth:`csb_format.model.Model.logits`.

        Parameters
        ----------
        outputs : int array (T, D * R)
            Of the last level.

        Returns
        -------
        int64 array (O,), or (T, O) where the head is fed with every frame

        Raises
        ------
        TypeError
            For what is no array of integers.
        ValueError
            Without a head, without frames, for another shape, or numbers out of range.
        """
        given, rows = self._outputs(outputs)
        found, error = np.empty((rows, self.shape.classes), np.int64), Error()
        self._library.sparseflow_run_logits(
            self._handle, len(given), _at(given), _at(found), ctypes.byref(error)
        )
        _check(error)
        return found if self.shape.pool == _EVERY else found[0]

    def top(self, outputs: npt.ArrayLike, k: int, margin: int = PROOF) -> Top:
        """The largest logits of one sequence, and what they cost.

        Of a head that ``sparseflow pack --screen`` has laid in planes few rows are read; of
        another all of them.

        Parameters
        ----------
        outputs : int array (T, D * R)
            As :meth:`logits`.
        k : int
            1..8, at most the outputs of the head.
        margin : int
            1..256; less than 256 is a guess, see :class:`engine.screened.Top`.

        Returns
        -------
        Top
            Of one vector, or of T where the head is fed with every frame.

        Raises
        ------
        TypeError
            For what is no array of integers.
        ValueError
            As :meth:`logits`, and for numbers out of range.
        """
        k, margin = whole("k", k, 1, MOST_TOP), whole("margin", margin, 1, PROOF)
        given, rows = self._outputs(outputs)
        indices, logits = np.empty((rows, k), np.uint32), np.empty((rows, k), np.int64)
        read, error = np.empty(rows, _READ), Error()
        arrays = (_at(array) for array in (indices, logits, read))
        self._library.sparseflow_run_top(
            self._handle, len(given), _at(given), k, margin, *arrays, ctypes.byref(error)
        )
        _check(error)
        first, second, exact, size = (read[name].astype(np.int64) for name in _COUNTS)
        return Top(indices.astype(np.int64), logits, first, second, exact, size, margin)

    def _outputs(self, outputs: npt.ArrayLike) -> tuple[Ints, int]:
        """Outputs of a sequence, and how many vectors of them the head takes."""
        shape, given = self.shape, outputs
        if not (isinstance(given, np.ndarray) and given.dtype == np.int32 and given.ndim == 2):
            given = outputs_of(outputs)
        if not len(given) or given.shape[1] != shape.outputs:
            raise ValueError(
                f"outputs have shape {given.shape}: give (T, {shape.outputs}), T at least 1"
            )
        given = _in_int32(
            given,
            lambda row, column: (
                f"output {given[row, column]} does not fit {shape.output.bits} bits: give what a "
                "step has put out"
            ),
        )
        return given, len(given) if shape.pool == _EVERY else 1

    def _integers(self, given: npt.NDArray[Any]) -> Ints:
        frames = self.input.quantise(given) if given.dtype.kind == "f" else given
        return _in_int32(
            frames,
            lambda frame, number: (
                f"input {number} of frame {frame} is {frames[frame, number]}: its format holds "
                f"{self.input.min} to {self.input.max}; quantise it to this format"
            ),
        )


class NativeStream:
    """Sequences that go on step by step, their states kept in the library.

    A stream belongs to one thread at a time; in a child of ``fork`` it goes on, on one thread.

    Parameters
    ----------
    model : NativeModel
    batch : int
        1 to 65536.
    """

    def __init__(self, model: NativeModel, batch: int = 1):
        self.model, self.batch = model, whole("batch", batch, 1, _MOST_STREAMS)
        self._library, self._handle, self._error = model._library, ctypes.c_void_p(), Error()
        self._library.sparseflow_run_start(
            model._handle, self.batch, ctypes.byref(self._handle), ctypes.byref(self._error)
        )
        _check(self._error)
        model._users.come()
        self._output = np.empty((self.batch, model.shape.outputs), np.int32)

    def __reduce__(self) -> str:
        raise TypeError("a stream cannot be copied or pickled: model.start() begins another")

    def __del__(self) -> None:
        if handle := getattr(self, "_handle", None):
            self._library.sparseflow_run_end(handle)
            self.model._users.leave()

    def step(self, x: npt.ArrayLike) -> IntArray:
        """One step of all sequences.

        Parameters
        ----------
        x : array (B, X)
            As in :meth:`NativeModel.run`.

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
        frames = self.model._integers(array_of("x", x, width, wanted))
        if len(frames) != self.batch:
            raise ValueError(f"x holds {len(frames)} frames: this stream has {self.batch}")
        failed = self._library.sparseflow_run_step(
            self._handle, _at(frames), _at(self._output), ctypes.byref(self._error)
        )
        if failed:
            _check(self._error)
        return self._output.astype(np.int64)

    def step_some(self, which: npt.ArrayLike, x: npt.ArrayLike) -> IntArray:
        """One step of some sequences; the others stay where they are.

        Parameters
        ----------
        which : int array (S,)
            Numbers of sequences, 0 to B - 1, rising.
        x : array (S, X)
            As in :meth:`NativeModel.run`.

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
        frames = self.model._integers(array_of("x", x, width, wanted))
        if rows.shape != (len(frames),) or rows.dtype.kind not in "iu":
            raise ValueError(f"which has shape {rows.shape}: give an integer for each frame")
        if not 0 <= rows.min() <= rows.max() < self.batch:
            raise ValueError(f"sequences {rows.min()} to {rows.max()}: this has {self.batch}")
        numbers = np.ascontiguousarray(rows, np.uint32)
        output = np.empty((len(frames), self.model.shape.outputs), np.int32)
        if self._library.sparseflow_run_step_some(
            self._handle,
            len(frames),
            *(_at(array) for array in (numbers, frames, output)),
            ctypes.byref(self._error),
        ):
            _check(self._error)
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
        given = np.repeat(self.model._integers(found), self.batch, axis=0)
        each = np.empty(steps, np.uint32)
        self._library.sparseflow_run_time(
            self._handle,
            _at(given),
            len(given) // self.batch,
            steps,
            _at(each),
            ctypes.byref(self._error),
        )
        _check(self._error)
        return each / 1e3

    @property
    def states(self) -> tuple[IntArray, IntArray]:
        """Hidden and cell states of the last layer now, int64 arrays (B, H)."""
        size = (self.batch, self.model.shape.units)
        hidden, cell = np.empty(size, np.int32), np.empty(size, np.int32)
        self._library.sparseflow_run_states(self._handle, _at(hidden), _at(cell))
        return hidden.astype(np.int64), cell.astype(np.int64)


def _in_int32(given: npt.NDArray[Any], told: Callable[[int, int], str]) -> Ints:
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


def _identity(path: str) -> tuple[int, ...]:
    """Of the file that a path leads to now; nothing of one that cannot be read."""
    try:
        found = os.stat(path) if path else None
    except OSError:
        found = None
    return () if found is None else (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _readable(model: Model) -> Model:
    """It, without planes in a head of several layers: the library reads those of one alone."""
    head = model.head
    if not isinstance(head, MlpHead):
        return model
    layers = [one.dense if isinstance(one, ScreenedLayer) else one for one in head.layers]
    return replace(model, head=MlpHead.of(*layers))


class _Users:
    """Of a model in C: it is closed behind the last, in whatever order Python lets go of them."""

    def __init__(self, native: ctypes.CDLL, handle: ctypes.c_void_p):
        self._library, self._handle, self._count = native, handle, 1
        self._lock = RLock()  # the collector may come by while it is held

    def come(self) -> None:
        with self._lock:
            self._count += 1

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            last = not self._count
        if last:
            self._library.sparseflow_run_close(self._handle)


def _at(array: npt.NDArray[Any]) -> int:
    return int(array.ctypes.data)


def _check(error: Error, path: str = "") -> None:
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
