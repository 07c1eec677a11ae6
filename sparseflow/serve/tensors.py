"""Tensors of the protocol as arrays, in JSON and in bytes."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from .wire import Refused

__all__ = ["DATATYPES", "Array", "Tensor", "datatype_of", "read_tensor", "write_bytes"]

Array = npt.NDArray[Any]
BYTES, BOOL = "BYTES", "BOOL"
# by their name in the protocol
DATATYPES: dict[str, np.dtype[Any]] = {
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT64": np.dtype("<u8"),
    BOOL: np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
_MOST_AXES = 3


class Tensor(msgspec.Struct, forbid_unknown_fields=True):
    """An input, as JSON has it; ``data`` is read when its datatype is known."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: msgspec.Raw = msgspec.Raw()


def _decoders(kind: Any) -> list[msgspec.json.Decoder[Any]]:
    """For flat lists, and for lists in lists."""
    found = []
    for _ in range(_MOST_AXES):
        kind = list[kind]
        found.append(msgspec.json.Decoder(kind))
    return found


_DECODERS: dict[Any, list[msgspec.json.Decoder[Any]]] = {
    kind: _decoders(kind) for kind in (float, int, bool, str)
}
_KINDS: dict[str, Any] = {"f": float, "i": int, "u": int, "b": bool}


def datatype_of(array: Array) -> str:
    """Its name in the protocol."""
    return _NAMES.get(array.dtype, BYTES)


def read_tensor(tensor: Tensor, raw: bytes | memoryview | None, most: int) -> Array:
    """A tensor as an array.

    Parameters
    ----------
    tensor : Tensor
    raw : bytes, optional
        Its elements, where they lie behind the JSON; little-endian, rows one after the other.
    most : int
        Elements that it may have; a size of 0 counts as 1, as other sizes beside it bind us too.

    Returns
    -------
    array of its shape
        Of an object dtype, filled with ``str``, for BYTES.

    Raises
    ------
    Refused
        For another datatype, or elements that are not those of shape and datatype.
    """
    count = _count(tensor, most)
    if tensor.datatype != BYTES and tensor.datatype not in DATATYPES:
        known = ", ".join(DATATYPES)
        raise Refused(400, f"{_named(tensor)}: datatype {tensor.datatype[:40]!r}: give {known}")
    read = _from_json if raw is None else _from_bytes
    flat = read(tensor, raw)
    if flat.size != count:
        told = f"{count} elements, and {flat.size} are given"
        raise Refused(400, f"{_named(tensor)} has shape {tensor.shape}, {told}")
    return flat.reshape(tensor.shape)


def write_bytes(array: Array) -> bytes:
    """Elements as they lie behind the JSON of an answer."""
    if array.dtype != object:
        return np.ascontiguousarray(array).tobytes()
    words = [str(word).encode() for word in array.reshape(-1)]
    return b"".join(len(word).to_bytes(4, "little") + word for word in words)


def _named(tensor: Tensor) -> str:
    return f"input {tensor.name[:40]!r}"


def _count(tensor: Tensor, most: int) -> int:
    """Elements that the shape asks for: Python's integers do not wrap around."""
    shape = tensor.shape
    told = f"{_named(tensor)} has shape [{', '.join(map(_clipped, shape[: _MOST_AXES + 1]))}]"
    if not 0 < len(shape) <= _MOST_AXES or min(shape) < 0:
        raise Refused(400, f"{told}: give 1 to {_MOST_AXES} sizes from 0")
    count = math.prod(shape)
    if count > most:
        text = f"{told}, {_clipped(count)} elements: {most} are taken at most in a request"
        raise Refused(400, text)
    if math.prod(size or 1 for size in shape) > most:
        text = f"{told}: its sizes beside a 0, multiplied, are {most} at most"
        raise Refused(400, text)
    return count


def _clipped(number: int) -> str:
    """As text; Python refuses to write numbers of thousands of digits."""
    if abs(number) < 1 << 128:
        return str(number)
    return f"{'-' * (number < 0)}2**{number.bit_length() - 1}..."


def _from_bytes(tensor: Tensor, raw: bytes | memoryview | None) -> Array:
    assert raw is not None
    if tensor.datatype == BYTES:
        return _words(tensor, bytes(raw))
    dtype = DATATYPES[tensor.datatype]
    if len(raw) % dtype.itemsize:
        raise Refused(400, f"{_named(tensor)}: {len(raw)} bytes are no {tensor.datatype}")
    return np.frombuffer(raw, dtype)


def _words(tensor: Tensor, raw: bytes) -> Array:
    """Texts, each behind its length in four bytes."""
    found, at = list[str](), 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        if at + 4 > len(raw) or end > len(raw):
            raise Refused(400, f"{_named(tensor)}: a text of BYTES goes past the end of the body")
        found.append(raw[at + 4 : end].decode(errors="replace"))
        at = end
    return np.array(found, object)


def _from_json(tensor: Tensor, raw: bytes | memoryview | None) -> Array:
    kind = str if tensor.datatype == BYTES else _KINDS[DATATYPES[tensor.datatype].kind]
    values = _flat(tensor, kind)
    if tensor.datatype == BYTES:
        return np.array(values, object)
    dtype = DATATYPES[tensor.datatype]
    try:
        with np.errstate(over="ignore"):
            return np.array(values, dtype)
    except OverflowError:
        limits = np.iinfo(dtype)
        bad = next(value for value in values if not limits.min <= value <= limits.max)
        text = f"{_named(tensor)} has {_clipped(bad)}: {tensor.datatype} holds {limits.min} to"
        raise Refused(400, f"{text} {limits.max}") from None


def _flat(tensor: Tensor, kind: Any) -> list[Any]:
    """The elements of a flat list, or of lists in lists of the tensor's own shape."""
    data, axes = bytes(tensor.data), len(tensor.shape)
    if not data:
        raise Refused(400, f"{_named(tensor)} has no data")
    nested = axes > 1 and data[1:64].lstrip().startswith(b"[")
    try:
        values: list[Any] = _DECODERS[kind][axes - 1 if nested else 0].decode(data)
    except msgspec.DecodeError as error:
        raise Refused(400, f"{_named(tensor)}, data: {error}") from None
    except UnicodeDecodeError:
        raise Refused(400, f"{_named(tensor)}: a text in it is no UTF-8") from None
    count = 1
    for size in tensor.shape[:-1] if nested else ():
        count *= size
        if len(values) != count or len({*map(len, values)}) > 1:
            raise Refused(
                400, f"{_named(tensor)}: lists of other lengths than shape {tensor.shape}"
            )
        values = [value for inner in values for value in inner]
    return values
