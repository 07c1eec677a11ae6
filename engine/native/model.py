"""A packed model on this CPU through the C library, bit for bit the integer model."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.arguments import frames_of, whole
from csb_format.files.modelfile import ModelFileError, load_model, model_bytes
from csb_format.fixed import Fixed, IntArray
from csb_format.heads.mlp import MlpHead
from csb_format.model import Model
from csb_format.pooling import outputs_of
from csb_format.screening.layer import ScreenedLayer

from ..reference import Trace
from ..screened import MOST_TOP, PROOF, Top
from .calls import Ints, Users, at, check, in_int32
from .library import Error, Layer, Options, Shape, kernels, library
from .stream import NativeStream

__all__ = ["MOST_THREADS", "LayerPlan", "NativeModel"]

MOST_THREADS = 64
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
        self.users = Users(self._library, self._handle)

    def _open(self, model: Any, options: Options) -> None:
        error, native = Error(), self._library
        more = (ctypes.byref(options), ctypes.byref(self._handle), ctypes.byref(error))
        if isinstance(model, Model):
            data = bytes(model_bytes(_readable(model)))
            native.sparseflow_run_read(data, len(data), *more)
        else:
            native.sparseflow_run_open(os.fsencode(model), *more)
        check(error, self._path)

    def __reduce__(self) -> str:
        raise TypeError("a model in C cannot be copied or pickled: open it again")

    def __del__(self) -> None:
        if users := getattr(self, "users", None):
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
        checked = [self.integers(array) for array in given]
        lengths = np.array([len(s) for s in checked], np.uintp)
        frames = np.concatenate(checked) if checked else np.zeros((0, shape.inputs), np.int32)
        sizes = (shape.units, shape.units, shape.outputs)
        results = [np.empty((len(frames), size), np.int32) for size in sizes]
        error = Error()
        arrays = (at(a) for a in (lengths, frames, *results))
        self._library.sparseflow_run_sequences(
            self._handle, len(checked), *arrays, ctypes.byref(error)
        )
        check(error)
        ends = np.cumsum(lengths).astype(int)[:-1] if len(checked) else np.zeros(0, int)
        parts = [np.split(a.astype(np.int64), ends) for a in results]
        return [Trace(*of) for of in zip(*parts, strict=True)][: len(checked)]

    def start(self, batch: int = 1) -> NativeStream[NativeModel]:
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
            self._handle, len(given), at(given), at(found), ctypes.byref(error)
        )
        check(error)
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
        arrays = (at(array) for array in (indices, logits, read))
        self._library.sparseflow_run_top(
            self._handle, len(given), at(given), k, margin, *arrays, ctypes.byref(error)
        )
        check(error)
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
        given = in_int32(
            given,
            lambda row, column: (
                f"output {given[row, column]} does not fit {shape.output.bits} bits: give what a "
                "step has put out"
            ),
        )
        return given, len(given) if shape.pool == _EVERY else 1

    def integers(self, given: npt.NDArray[Any]) -> Ints:
        """Frames as the library takes them: real ones are quantised, integers must be in range."""
        frames = self.input.quantise(given) if given.dtype.kind == "f" else given
        return in_int32(
            frames,
            lambda frame, number: (
                f"input {number} of frame {frame} is {frames[frame, number]}: its format holds "
                f"{self.input.min} to {self.input.max}; quantise it to this format"
            ),
        )


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
