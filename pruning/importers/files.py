"""What kind of file it is, by its first bytes, and reading it without running anything in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from .checkpoint import CheckpointError

__all__ = ["kind_of", "read_safetensors", "read_torch"]

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
# The first field of an ONNX model, ir_version, or of some writers the next one.
_ONNX = (b"\x08", b"\x12", b"\x3a", b"\x42")


def _plain_dict(factory: Callable[[], object] | None = None) -> dict[str, object]:
    del factory
    return {}


# torch.ao.pruning keeps its masks in a defaultdict(dict): it is read as an ordinary one.
_CONTAINERS: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
    dict,
    (_plain_dict, "collections.defaultdict"),
]


def kind_of(path: Path) -> str:
    """``"torch"``, ``"safetensors"`` or ``"onnx"``; the file's name does not matter.

    Raises
    ------
    CheckpointError
        If there is no such file, or it is of another kind.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path} is no file: give a state dict (torch.save or .safetensors) or an ONNX model"
        )
    with open(path, "rb") as file:
        head = file.read(4096)
    if head.startswith((_ZIP, _PICKLE)):
        return "torch"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size:
        return "safetensors"
    if head.startswith(_ONNX):
        return "onnx"
    raise CheckpointError(
        f"{path} begins with {head[:8]!r}: it is no file of torch.save, safetensors or ONNX; "
        "save model.state_dict() or export the model to ONNX"
    )


def read_safetensors(path: Path) -> tuple[dict[str, object], dict[str, str]]:
    """Tensors by name, and the metadata.

    Raises
    ------
    CheckpointError
        For a damaged file.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
        return dict(safetensors.torch.load_file(path)), metadata
    except (safetensors.SafetensorError, json.JSONDecodeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} is a damaged safetensors file, write it again ({error})"
        ) from error


def read_torch(path: Path) -> dict[str, object]:
    """What ``torch.save`` wrote, plain containers and tensors only.

    Raises
    ------
    CheckpointError
        If the file is damaged, or holds an object whose loading would run code.
    """
    try:
        with torch.serialization.safe_globals(_CONTAINERS):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # A damaged file makes the reader fail in any way.
        raise CheckpointError(
            f"{path} is no plain state dict, and is not unpickled as it could run code: save "
            f"model.state_dict() with torch.save or as .safetensors ({_reason(error)})"
        ) from error
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise CheckpointError(
            f"{path} holds a {type(found).__name__}: save model.state_dict() alone"
        )
    return dict(found)


def _reason(error: Exception) -> str:
    # torch's own message begins with the advice to load the file unsafely.
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if refused:
        return f"it asks for {refused[1]}"
    return str(error).strip().partition("\n")[0][:120] or type(error).__name__
