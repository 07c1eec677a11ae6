"""The safetensors container, written canonically: equal contents give equal bytes.

A file is the length of its header (8 bytes, little endian), a JSON header padded with
spaces to a multiple of 8, and the tensors. The safetensors library reads it; it is not
used for writing, because its byte order of header and tensors is its own affair and may
change between versions.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ModelFileError", "Tensors", "canonical_json", "join", "parse_json", "read", "split"]

Tensors = dict[str, npt.NDArray[Any]]

_DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype("u1"), "I64": np.dtype("<i8")}
_METADATA = "__metadata__"


class ModelFileError(ValueError):
    """A model file that cannot be trusted or read."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, ASCII only: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def parse_json(text: bytes | str, what: str) -> dict[str, Any]:
    """Parse a JSON object.

    Parameters
    ----------
    text : bytes or str
    what : str
        What it is, for the error.

    Raises
    ------
    ModelFileError
        If it is not a JSON object.
    """
    try:
        value = json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ModelFileError(
            f"{what} is not a JSON object: not a safetensors file, or a damaged one; "
            "fetch or save it again"
        )
    return value


def join(metadata: dict[str, str], tensors: Tensors) -> bytes:
    """Bytes of a file.

    Parameters
    ----------
    metadata : dict of str to str
    tensors : dict of str to uint8 or int64 arrays

    Returns
    -------
    bytes
    """
    # Wide elements first, so that every tensor is aligned to its element size.
    names = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
    header: dict[str, Any] = {_METADATA: metadata}
    parts, end = [], 0
    for name in names:
        part = tensors[name].astype(_DTYPES[dtype_name(tensors[name])]).tobytes()
        header[name] = {
            "dtype": dtype_name(tensors[name]),
            "shape": list(tensors[name].shape),
            "data_offsets": [end, end + len(part)],
        }
        parts.append(part)
        end += len(part)
    text = canonical_json(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


def dtype_name(array: npt.NDArray[Any]) -> str:
    """Name of a uint8 or int64 dtype in the container: ``U8`` or ``I64``."""
    return {"u1": "U8", "i8": "I64"}[array.dtype.str[1:]]


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Parse the header of a file.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    header, body : dict and bytes
        The parsed header and everything after it, not checked yet.

    Raises
    ------
    ModelFileError
        If the file is too short for its header, or no safetensors file.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or (length > len(data) - 8 and data[8:9] in (b"", b"{")):
        raise ModelFileError(
            f"truncated: {len(data)} bytes, the header alone needs "
            f"{8 + length if len(data) >= 8 else 8}; fetch or save it again"
        )
    if length > len(data) - 8:
        raise ModelFileError(
            f"not a safetensors file: it would need a header of {length} bytes and has "
            f"{len(data)} in all; give a file that save_model wrote"
        )
    return parse_json(data[8 : 8 + length], "file header"), data[8 + length :]


def read(header: dict[str, Any], body: bytes) -> Tensors:
    """Tensors of a file that :func:`split` took apart.

    Raises
    ------
    ModelFileError
        If a tensor is described wrongly, the file is truncated, or bytes are left over.
    """
    spans = {name: _span(name, header[name]) for name in header if name != _METADATA}
    end = max((stop for _, stop, _, _ in spans.values()), default=0)
    if end > len(body):
        raise ModelFileError(
            f"truncated: {end} bytes of tensors announced, {len(body)} there; "
            "fetch or save it again"
        )
    if end < len(body):
        raise ModelFileError(f"{len(body) - end} bytes after the last tensor: save it again")
    return {
        name: np.frombuffer(body[start:stop], dtype).reshape(shape)
        for name, (start, stop, dtype, shape) in spans.items()
    }


def _span(name: str, entry: Any) -> tuple[int, int, np.dtype[Any], tuple[int, ...]]:
    try:
        dtype, shape = _DTYPES[entry["dtype"]], tuple(entry["shape"])
        start, stop = entry["data_offsets"]
        fits = all(type(n) is int and n >= 0 for n in (start, stop, *shape))
        if fits and stop - start == math.prod(shape) * dtype.itemsize:
            return start, stop, dtype, shape
    except (KeyError, TypeError, ValueError):
        pass
    raise ModelFileError(
        f"tensor {name!r} is described wrongly in the file header ({entry!r}): "
        "the file is damaged; fetch or save it again"
    )
