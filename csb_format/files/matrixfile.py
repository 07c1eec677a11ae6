"""Files of packed matrices: any pruned network in CSB, whether or not hardware runs it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..csb import Csb
from ..fixed import Fixed
from ..geometry import Geometry
from . import sealed
from .claims import check_claims
from .container import ModelFileError, Tensors, check_named
from .replace import replace_file
from .sealed import field as _get

__all__ = ["PackedMatrix", "load_matrices", "save_matrices"]

_KIND = "matrices"


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """A bank-balanced matrix and what its integers mean.

    Parameters
    ----------
    matrix : Csb
    fixed : Fixed
        Format of the values, as wide as the geometry's ``value_bits``.

    Raises
    ------
    ValueError
        If the widths differ.
    """

    matrix: Csb
    fixed: Fixed

    def __post_init__(self) -> None:
        if self.matrix.geometry.value_bits != self.fixed.width:
            raise ValueError(
                f"values of {self.matrix.geometry.value_bits} bits in format {self.fixed}: "
                f"pack them with value_bits={self.fixed.width}"
            )

    def equals(self, other: PackedMatrix) -> bool:
        """Whether both hold the same integers in the same format."""
        return self.matrix.equals(other.matrix) and self.fixed == other.fixed


def save_matrices(path: str | os.PathLike[str], matrices: Mapping[str, PackedMatrix]) -> None:
    """Write packed matrices by name; the file is there completely or not at all.

    Parameters
    ----------
    path : path
        In an existing folder; an older file is replaced.
    matrices : Mapping[str, PackedMatrix]
        At least one, by the parameter names of the network.

    Raises
    ------
    ValueError
        For no matrices, or a name that promises another format.
    OSError
        If it cannot be written.
    """
    if not matrices:
        raise ValueError("no matrices: give at least one")
    check_named(path)
    replace_file(path, sealed.encode(_header(matrices), _tensors(matrices)))


def load_matrices(path: str | os.PathLike[str]) -> dict[str, PackedMatrix]:
    """Read a file of packed matrices, sorted by name.

    Raises
    ------
    ModelFileError
        If it is no such file, of a newer version, truncated or changed in any byte.
    OSError
        If it cannot be read.
    """
    try:
        header, tensors = sealed.decode(Path(path), _KIND)
        check_claims(_geometries(header), Path(path).stat().st_size)
        matrices = _read(header, tensors)
        sealed.check_surplus(header, tensors, _header(matrices), matrices)
        return matrices
    except ModelFileError as error:
        raise ModelFileError(f"{os.fspath(path)}: {error}") from error


def _header(matrices: Mapping[str, PackedMatrix]) -> dict[str, Any]:
    nodes = {
        name: {
            "geometry": sealed.geometry_header(packed.matrix.geometry),
            "format": asdict(packed.fixed),
        }
        for name, packed in matrices.items()
    }
    version = sealed.version_of(packed.matrix.geometry for packed in matrices.values())
    return {"kind": _KIND, "format_version": version, "matrices": nodes}


def _tensors(matrices: Mapping[str, PackedMatrix]) -> Tensors:
    return {
        name: np.frombuffer(packed.matrix.pack_bits(), np.uint8)
        for name, packed in matrices.items()
    }


def _geometries(header: dict[str, Any]) -> dict[str, Geometry]:
    """What the header alone says of the sizes of its matrices."""
    nodes = _get(header, "matrices", dict)
    return {name: sealed.geometry(_get(node, "geometry", dict)) for name, node in nodes.items()}


def _read(header: dict[str, Any], tensors: Tensors) -> dict[str, PackedMatrix]:
    nodes = _get(header, "matrices", dict)
    try:
        return {name: _matrix(name, nodes[name], tensors) for name in sorted(nodes)}
    except ModelFileError:
        raise
    except (ValueError, OverflowError, MemoryError) as error:
        raise ModelFileError(f"invalid contents: {error}") from error


def _matrix(name: str, node: Any, tensors: Tensors) -> PackedMatrix:
    geometry = sealed.geometry(_get(node, "geometry", dict))
    if name not in tensors:
        raise ModelFileError(f"tensor {name!r} is missing: fetch or save the file again")
    stream, fixed = tensors[name], _get(node, "format", dict)
    if stream.dtype != np.uint8 or stream.ndim != 1:
        raise ModelFileError(
            f"tensor {name!r} is {stream.dtype} of shape {stream.shape}, it must be a uint8 "
            "bit stream: fetch or save the file again"
        )
    return PackedMatrix(
        Csb.unpack_bits(geometry, stream.data),
        Fixed(_get(fixed, "width", int), _get(fixed, "frac", int)),
    )
