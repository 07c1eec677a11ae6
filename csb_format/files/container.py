"""The safetensors container: the library writes it and reads it, its errors get a mend."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from .foreign import kind_of_file

__all__ = [
    "ModelFileError",
    "Tensors",
    "canonical_json",
    "check_named",
    "dtype_name",
    "encode",
    "parse_json",
    "read_metadata",
    "read_tensors",
]

Tensors = dict[str, npt.NDArray[Any]]

_NAMES = {
    "ONNX": (".onnx",),
    "PyTorch": (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle"),
    "NumPy": (".npz", ".npy"),
    "Keras": (".h5", ".hdf5", ".keras"),
    "TensorFlow": (".pb", ".tflite"),
    "JSON": (".json",),
}
"""Whose files end so: none of them would be read back as that."""

_DTYPES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype("u1"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}
_OTHERS = ("torch", "Torch", "Keras", "NumPy", "pickle", "table", "WAV")
_UNREADABLE = {
    "a safetensors file": "a truncated or damaged safetensors file",
    "": "no safetensors file, or a truncated or damaged one",
}
_safe_open: Any = safetensors.safe_open  # Any: its stub has no types


class ModelFileError(ValueError):
    """A model file that cannot be trusted or read."""


def check_named(path: str | os.PathLike[str]) -> None:
    """Refuse to write safetensors under a name that promises another format.

    Raises
    ------
    ModelFileError
        With the name to take.
    """
    place = Path(path)
    kind = next((kind for kind, ends in _NAMES.items() if place.suffix.lower() in ends), None)
    if kind is not None:
        raise ModelFileError(
            f"{place} would hold safetensors under a name of {kind}'s files: name it "
            f"{place.with_suffix('.safetensors')}"
        )


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, ASCII only: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse_json(text: str, what: str) -> dict[str, Any]:
    """Parse a JSON object.

    Parameters
    ----------
    text : str
    what : str
        What it is, for the error.

    Raises
    ------
    ModelFileError
        If it is not a JSON object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ModelFileError(f"{what} is not a JSON object: fetch or save the file again")
    return value


def dtype_name(array: npt.NDArray[Any]) -> str:
    """Name of a dtype in the container: ``U8`` of uint8, ``I64`` of int64, ``F64`` of float64."""
    return {"u1": "U8", "i8": "I64", "f8": "F64"}[array.dtype.str[1:]]


def encode(metadata: dict[str, str], tensors: Tensors) -> bytes:
    """Bytes of a file.

    Parameters
    ----------
    metadata : dict of str to str
        At most one entry: the library writes several in random order.
    tensors : dict of str to uint8, int64 or float64 arrays

    Returns
    -------
    bytes
        The same for equal arguments, whatever the order of ``tensors``.
    """
    # The library copies memory without a look at the strides: it must be in C order.
    plain = {k: np.ascontiguousarray(v, _DTYPES[dtype_name(v)]) for k, v in tensors.items()}
    return safetensors.numpy.save(plain, metadata)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Metadata of a file, empty if it has none.

    Raises
    ------
    ModelFileError
        If it is no safetensors file, truncated or damaged in its structure.
    OSError
        If it cannot be read.
    """
    with _opened(path) as file:
        return dict(file.metadata() or {})


def read_tensors(path: str | os.PathLike[str]) -> Tensors:
    """All tensors of a file, uint8, int64 and float64 arrays.

    Raises
    ------
    ModelFileError
        As :func:`read_metadata`, or if there is a tensor that NumPy or this package lacks.
    OSError
        If it cannot be read.
    """
    with _opened(path) as file:
        return {name: _tensor(file, name) for name in sorted(file.keys())}


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    try:
        with _safe_open(path, "numpy") as file:
            yield file
    except SafetensorError as error:
        kind = kind_of_file(Path(path))
        if any(mark in kind for mark in _OTHERS):
            raise ModelFileError(
                f"it is {kind}, not a model file: a checkpoint becomes one by `sparseflow pack "
                "CHECKPOINT --calibration DATA --out FILE`"
            ) from error
        raise ModelFileError(
            f"it is {_UNREADABLE.get(kind, f'{kind}, no model file')}: fetch or save it again"
        ) from error


def _tensor(file: Any, name: str) -> npt.NDArray[Any]:
    # Before get_tensor, which fails in several ways on types that NumPy lacks (BF16, F8).
    dtype = file.get_slice(name).get_dtype()
    if dtype not in _DTYPES:
        raise ModelFileError(
            f"tensor {name!r} is {dtype}, it must be one of {', '.join(_DTYPES)}: "
            "fetch or save the file again"
        )
    try:
        return np.asarray(file.get_tensor(name))
    except (ValueError, OverflowError) as error:  # a shape beyond NumPy's limits
        raise ModelFileError(
            f"tensor {name!r} cannot be an array, its shape is beyond NumPy's: fetch or save the "
            "file again"
        ) from error
