"""What a checkpoint's tensors claim, held against the bytes that its file has for them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from .checkpoint import CheckpointError

__all__ = ["check_packed", "check_tensors"]

_SLACK = 1 << 20  # bytes that a small file may claim too much: padding, tied weights
_TIMES = 4  # bytes claimed for each byte of the file: weights under several names
_DEPTH = 20


def check_packed(path: Path) -> None:
    """Refuse an archive that unpacks to far more than it has; ``torch.save`` packs nothing.

    Raises
    ------
    CheckpointError
        Naming both sizes.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":  # as torch.load tells archives
            return
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
    except Exception as error:  # A damaged directory makes the reader fail in any way.
        raise CheckpointError(
            f"{path} is no plain state dict but a damaged archive: save it again with torch.save"
        ) from error
    if unpacked > _SLACK + _TIMES * size:
        raise CheckpointError(
            f"{path} has {size} bytes and unpacks to {unpacked}: save it again with torch.save"
        )


def check_tensors(path: Path, found: object) -> None:
    """Refuse tensors with more elements than the file stores, as ``expand`` makes them.

    Parameters
    ----------
    path : Path
    found : object
        What was loaded: tensors in dictionaries and lists.

    Raises
    ------
    CheckpointError
        Naming the first tensor, or their sum.
    """
    size, total = path.stat().st_size, 0
    for name, tensor in _tensors(found, "", _DEPTH):
        if tensor.layout != torch.strided or tensor.device.type == "meta":
            continue  # those are refused by name where they are used
        claimed = tensor.numel() * tensor.element_size()
        total += claimed
        if claimed > tensor.untyped_storage().nbytes() or claimed > size + _SLACK:
            raise CheckpointError(
                f"{path}: {name} of shape {tuple(tensor.shape)} claims {claimed} bytes and the "
                f"file stores fewer: save {name}.contiguous()"
            )
    if total > _SLACK + _TIMES * size:
        raise CheckpointError(
            f"{path}: its tensors claim {total} bytes in a file of {size}: save each once"
        )


def _tensors(given: object, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(given, Tensor):
        yield name, given
    elif depth and isinstance(given, Mapping):
        for key, value in given.items():
            yield from _tensors(value, f"{name}.{key}".lstrip("."), depth - 1)
    elif depth and isinstance(given, list | tuple):
        for number, value in enumerate(given):
            yield from _tensors(value, f"{name}[{number}]", depth - 1)
