"""Files of ours: a JSON header and tensors in safetensors, under a checksum of every byte.

The metadata key ``sparseflow`` holds the header; its key ``sha256`` is the digest of the
whole file, in which its own digits count as zeros. So a changed file is refused whatever
was changed, and no release of the safetensors library is needed to check one of another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ..geometry import Geometry
from . import container
from .claims import check_regular
from .container import ModelFileError, Tensors, canonical_json

__all__ = [
    "FORMAT_VERSION",
    "check_surplus",
    "decode",
    "encode",
    "field",
    "geometry",
    "geometry_header",
    "version_of",
]

#: The newest that is read. A file says the oldest that has what it holds.
FORMAT_VERSION = 5
# k of each part of the rows; heads that are stored in planes; rows of few bits and a shift; heads
# of several layers
_PARTS_SINCE, _SCREENS_SINCE, _ROWS_SINCE, _HEADS_SINCE = 2, 3, 4, 5

_KEY = "sparseflow"
_NO_DIGEST = "0" * 64
_DIGEST_KEY = rb"\"sha256\":\""


def encode(header: dict[str, Any], tensors: Tensors) -> bytearray:
    """Bytes of a file.

    Parameters
    ----------
    header : dict
        Plain JSON with at least ``kind`` and ``format_version``; no key above ``sha256``.
    tensors : dict of str to uint8, int64 or float64 arrays

    Returns
    -------
    bytearray
        The same for equal arguments with one release of safetensors.
    """
    text = canonical_json(header | {"sha256": _NO_DIGEST})
    data = bytearray(container.encode({_KEY: text}, tensors))
    at = _digest_place(data)
    data[at : at + len(_NO_DIGEST)] = _checksum(data).encode()
    return data


def decode(path: Path, kind: str) -> tuple[dict[str, Any], Tensors]:
    """Header (with its checksum) and tensors of a file.

    Parameters
    ----------
    path : Path
    kind : str
        What the header's ``kind`` must be.

    Raises
    ------
    ModelFileError
        If it is no such file, of a newer version, truncated or changed in any byte.
    OSError
        If it cannot be read.
    """
    check_regular(path)
    header = _own_header(container.read_metadata(path), kind)
    if header.get("sha256") != _checksum(path.read_bytes()):
        raise ModelFileError("checksum does not match: the file is damaged; fetch or save it again")
    return header, container.read_tensors(path)


def check_surplus(
    header: dict[str, Any], tensors: Tensors, own_header: dict[str, Any], own: Iterable[str]
) -> None:
    """Raise a :class:`.container.ModelFileError` if a file holds more than was understood.

    Parameters
    ----------
    header, tensors
        What :func:`decode` gave.
    own_header : dict
        That of what was made of them.
    own : iterable of str
        Names of its tensors.
    """
    surplus = tensors.keys() ^ set(own)
    if surplus or header != own_header | {"sha256": header["sha256"]}:
        raise ModelFileError(
            f"surplus contents ({', '.join(sorted(surplus)) or 'in its header'}): it was changed "
            "by another program; save it again"
        )


def _checksum(data: bytes | bytearray) -> str:
    """SHA-256 of all bytes of a file, its checksum taken as zeros."""
    at, whole = _digest_place(data), memoryview(data)
    digest = hashlib.sha256(whole[:at])
    digest.update(_NO_DIGEST.encode())
    digest.update(whole[at + len(_NO_DIGEST) :])
    return digest.hexdigest()


def _digest_place(data: bytes | bytearray) -> int:
    """Where the checksum stands: it is the last key of our header, a string in a string."""
    end = 8 + int.from_bytes(data[:8], "little")
    found = data.rfind(_DIGEST_KEY, 0, end)
    if found < 0:
        raise ModelFileError("it has no checksum: the file is damaged; fetch or save it again")
    return found + len(_DIGEST_KEY)


def _own_header(metadata: dict[str, str], kind: str) -> dict[str, Any]:
    text = metadata.get(_KEY)
    if text is None:
        raise ModelFileError(
            f"no {_KEY!r} header in its metadata: a safetensors file of another program; "
            "give a file that save_model wrote; a checkpoint becomes one by `sparseflow pack`"
        )
    header = container.parse_json(text, f"{_KEY!r} header")
    if "kind" not in header and "sparsity_requested" in header:
        raise ModelFileError(
            "it is a pruned checkpoint, not a model file: pack it first, `sparseflow pack "
            "CHECKPOINT --calibration DATA --out model.safetensors`"
        )
    version = field(header, "format_version", int)
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"format version {version} is newer than {FORMAT_VERSION}, the newest that this "
            "Sparseflow reads: upgrade Sparseflow"
        )
    if version < 1:
        raise ModelFileError(f"format version {version} never existed: fetch or save it again")
    if header.get("kind") != kind:
        raise ModelFileError(f"it holds {header.get('kind')!r}, not {kind!r}: give another file")
    return header


def geometry(node: dict[str, Any]) -> Geometry:
    """The geometry that a header gives for a matrix.

    Raises
    ------
    ModelFileError
        For a field that is missing, of another kind or out of range.
    """
    names = (f.name for f in fields(Geometry) if f.name != "parts")
    given = {name: field(node, name, int) for name in names}
    parts = field(node, "parts", list) if "parts" in node else []
    if any(type(k) is not int for k in parts):
        raise ModelFileError(f"header field 'parts' is {parts!r}: it must be whole numbers")
    try:
        return Geometry(**given, parts=tuple(parts))
    except ValueError as error:
        raise ModelFileError(f"invalid contents: {error}") from error


def geometry_header(given: Geometry) -> dict[str, Any]:
    """What a header says of a matrix; :func:`geometry` reads it."""
    found = asdict(given)
    parts = list(found.pop("parts"))
    return found | ({"parts": parts} if parts else {})


def version_of(
    geometries: Iterable[Geometry],
    *,
    screened: bool = False,
    shifted: bool = False,
    several: bool = False,
) -> int:
    """The format version that a file with these matrices, and such a head, says."""
    if several:
        return _HEADS_SINCE
    if shifted:
        return _ROWS_SINCE
    if screened:
        return _SCREENS_SINCE
    return _PARTS_SINCE if any(g.parts for g in geometries) else 1


def field(node: Any, key: str, kind: type) -> Any:
    """Read a header field, checked: files come from outside."""
    value = node.get(key) if isinstance(node, dict) else None
    # type() and not isinstance(): True is no int here.
    if type(value) is not kind:
        raise ModelFileError(
            f"header field {key!r} is {value!r}, it must be {kind.__name__}: "
            "fetch or save the file again"
        )
    return value
