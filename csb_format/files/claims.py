"""What a small file may claim to hold: checked before anything of that size is made."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from ..geometry import Geometry
from .container import ModelFileError

__all__ = ["PLACES", "PLACES_A_BYTE", "check_claims", "check_regular"]

# Places of dense matrices, padding included, that any file may claim, and more for each of
# its bytes: one weight kept of some 2,500 is the sparsest network of any size that is read.
PLACES = 1 << 22
PLACES_A_BYTE = 1 << 10


def check_claims(matrices: Mapping[str, Geometry], size: int) -> None:
    """Refuse matrices that no file of this size would hold.

    Empty banks cost no byte, so a header alone could ask for any number of them.

    Parameters
    ----------
    matrices : Mapping[str, Geometry]
        All matrices of the file by name.
    size : int
        Bytes of the file.

    Raises
    ------
    ModelFileError
        Naming the largest matrix.
    """
    places = {name: g.rows * g.padded_columns for name, g in matrices.items()}
    most = PLACES + PLACES_A_BYTE * size
    if sum(places.values()) > most:
        name = max(places, key=places.__getitem__)
        found = matrices[name]
        raise ModelFileError(
            f"{name!r} claims {found.rows} rows of {found.banks} banks of {found.bank_width} "
            f"columns: all matrices together have at most {most} places in a file of {size} "
            "bytes; keep more weights, or save the model again"
        )


def check_regular(path: str | os.PathLike[str]) -> None:
    """Refuse what is no file on a disk: a pipe or a device may have no end.

    Parameters
    ----------
    path : path

    Raises
    ------
    OSError
        If there is nothing there, or a folder, a pipe or a device; the path is named.
    """
    mode = Path(path).stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "is a folder: name a file in it", os.fspath(path))
    if not stat.S_ISREG(mode):
        raise OSError(22, "is a pipe or a device: save it as a file first", os.fspath(path))
