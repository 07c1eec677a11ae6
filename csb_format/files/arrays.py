"""Arrays out of an .npz: only those that are asked for, and none larger than its file allows."""

from __future__ import annotations

import os
import tokenize
import warnings
import zipfile
from collections.abc import Collection
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from .claims import check_regular

__all__ = ["BYTES", "BYTES_A_BYTE", "ArrayFileError", "array_headers", "read_arrays"]

# Bytes that arrays may unpack to, and more for each byte of the file: one-hot frames of some
# hundred letters are what compresses best of all that is read.
BYTES = 64 << 20
BYTES_A_BYTE = 256
_MOST_MEMBERS = 1000


class ArrayFileError(ValueError):
    """A file that holds no arrays, or claims to hold more than it can."""


def read_arrays(
    path: str | os.PathLike[str], names: Collection[str]
) -> dict[str, npt.NDArray[Any]]:
    """Some arrays of an ``.npz``; others in it are not looked at.

    Parameters
    ----------
    path : path
    names : collection of str
        Those that are not there are left out.

    Raises
    ------
    ArrayFileError
        For a file that is no ``.npz`` or is damaged, arrays of objects, and claims that its
        size does not allow.
    OSError
        If it cannot be read.
    """
    check_regular(path)
    size = Path(path).stat().st_size
    try:
        with zipfile.ZipFile(path) as file:
            members = _members(file, names)
            _check_unpacked(members.values(), BYTES + BYTES_A_BYTE * size)
            return {name: _array(file, member) for name, member in members.items()}
    except (ArrayFileError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # A damaged archive makes the reader fail in any way.
        raise ArrayFileError(
            "it is no .npz file or a damaged one: write it with numpy.savez"
        ) from error


def _members(file: zipfile.ZipFile, names: Collection[str]) -> dict[str, zipfile.ZipInfo]:
    if len(file.infolist()) > _MOST_MEMBERS:
        raise ArrayFileError(
            f"it holds {len(file.infolist())} arrays: write those alone that count"
        )
    found = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
    return {name: found[name] for name in names if name in found}


def _check_unpacked(members: Collection[zipfile.ZipInfo], most: int) -> None:
    unpacked = sum(member.file_size for member in members)
    if unpacked > most:
        raise ArrayFileError(
            f"its arrays claim {unpacked} bytes, a file of its size holds at most {most}: write "
            "it with numpy.savez, not savez_compressed"
        )


def _array(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    with file.open(member) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's advice on headers of Python 2
        _check_header(stream, member)
    with file.open(member) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.lib.format.read_array(stream, allow_pickle=False)
        except (ValueError, TypeError, OverflowError, MemoryError) as error:
            raise ArrayFileError(
                f"{member.filename} cannot be read, it is damaged: write it with numpy.savez"
            ) from error


def array_headers(path: str | os.PathLike[str]) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """Data type and shape of every array of an ``.npz``, by name; no data are read.

    A damaged archive makes the readers of zip and NumPy fail in any way.
    """
    found = {}
    with zipfile.ZipFile(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's advice on headers of Python 2
        for member in file.infolist():
            with file.open(member) as stream:
                header = _header(stream)
            if header is None:
                raise ArrayFileError(
                    f"{member.filename} is of a newer version of the format: write it with "
                    "numpy.savez"
                )
            name = member.filename.removesuffix(".npy")
            if name in found:
                raise ArrayFileError(f"it holds {name} twice: write each array once")
            found[name] = header
    return found


def _header(stream: IO[bytes]) -> tuple[Any, tuple[int, ...]] | None:
    """Data type and shape; None for a version of the format that numpy does not have."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0), (3, 0)):
        return None
    # 3.0 is 2.0 with names of fields in UTF-8, which change neither size nor shape.
    old = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return dtype, shape


def _check_header(stream: IO[bytes], member: zipfile.ZipInfo) -> None:
    """What the header says of shape and type, against the bytes that follow it."""
    try:
        header = _header(stream)
    except (
        ValueError, TypeError, RecursionError, MemoryError, SyntaxError, tokenize.TokenError,
    ) as error:  # fmt: skip
        raise ArrayFileError(
            f"{member.filename} is no array ({type(error).__name__}): write it with numpy.savez"
        ) from error
    if header is None:
        return  # read_array tells whether it knows the version
    dtype, shape = header
    if dtype.hasobject:
        raise ArrayFileError(
            f"{member.filename} holds Python objects, and no pickle is read: "
            "write it as an array of numbers"
        )
    claimed = prod(shape) * dtype.itemsize
    if claimed < 0 or claimed > member.file_size or min(shape, default=1) < 0:
        raise ArrayFileError(
            f"{member.filename} claims shape {shape} of {dtype}, {claimed} bytes, and has "
            f"{member.file_size}: write it again"
        )
