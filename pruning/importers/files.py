"""What kind of file it is, by its first bytes, and reading it without running anything in it."""

from __future__ import annotations

import json
import re
import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from csb_format.files.foreign import kind_of_file

from .checkpoint import CheckpointError
from .claims import check_packed, check_tensors
from .held import STAND_INS

__all__ = ["kind_of", "read_safetensors", "read_torch", "refuse_part", "snippet_for"]

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
# The first field of an ONNX model, ir_version, or of some writers the next one.
_ONNX = (b"\x08", b"\x12", b"\x3a", b"\x42")


WANTED = "a state dict (torch.save or .safetensors) or an ONNX model"
_SNIPPETS = {
    "TorchScript": """
        import torch
        net = torch.jit.load({name!r}, map_location="cpu")
        torch.save(net.state_dict(), "weights.pt")""",
    ".pt2": """
        import torch
        program = torch.export.load({name!r})
        torch.save(dict(program.state_dict), "weights.pt")""",
    "Keras": """
        import keras, torch
        net = keras.saving.load_model({name!r})  # gates are in torch's order already
        w, u, b = (torch.tensor(t) for t in net.get_layer("lstm").get_weights())
        v, c = (torch.tensor(t) for t in net.get_layer("dense").get_weights())
        torch.save({{"rnn.weight_ih_l0": w.T, "rnn.weight_hh_l0": u.T, "rnn.bias_ih_l0": b, \
"rnn.bias_hh_l0": 0 * b, "fc.weight": v.T, "fc.bias": c}}, "weights.pt")""",
    "NumPy": """
        import numpy as np, torch
        arrays = np.load({name!r})  # by torch's names: weight_ih_l0, weight_hh_l0, ...
        torch.save({{name: torch.from_numpy(arrays[name]) for name in arrays}}, "weights.pt")""",
    "pickle": """
        import joblib, torch  # pickle.load(open(..., "rb")) reads a plain pickle as well
        arrays = joblib.load({name!r})  # runs code in it: only where it is yours
        torch.save({{name: torch.as_tensor(a) for name, a in arrays.items()}}, "weights.pt")""",
    "shards": """
        import glob, safetensors.torch
        state = {{}}
        for part in sorted(glob.glob({name!r})):
            state |= safetensors.torch.load_file(part)
        safetensors.torch.save_file(state, "weights.safetensors")""",
    "": """
        import torch
        net = torch.load({name!r}, map_location="cpu", weights_only=False)  # runs code in it
        state = net.state_dict() if hasattr(net, "state_dict") else net["state_dict"]
        torch.save(state, "weights.pt")""",
}
_OTHERS = ("TorchScript", ".pt2", "Keras", "NumPy")


def _other(path: Path, kind: str) -> CheckpointError:
    """The error for a file of another kind, with what makes a state dict of it."""
    if path.name.endswith(".safetensors.index.json"):
        stem = path.name.removesuffix(".safetensors.index.json")
        return _shards(
            path, f"the index of {stem}-*-of-*.safetensors", f"{stem}-*-of-*.safetensors"
        )
    which = next((mark for mark in _OTHERS if mark in kind), None)
    snippet = "" if which is None else snippet_for(path, which)
    return CheckpointError(
        f"{path} is {kind}: it is no file of torch.save, safetensors or ONNX, give {WANTED}",
        snippet,
    )


def _shards(path: Path, what: str, pattern: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is {what}: put the parts together first",
        textwrap.dedent(_SNIPPETS["shards"]).format(name=pattern),
    )


def refuse_part(path: Path) -> None:
    """Refuse one of several files that hold a state dict together.

    Raises
    ------
    CheckpointError
        With what puts them together.
    """
    part = re.fullmatch(r"(.+)-0*(\d+)-of-(\d+)\.safetensors", path.name)
    if part and int(part[3]) > 1:
        what = f"part {part[2]} of {int(part[3])} of a state dict"
        raise _shards(path, what, f"{part[1]}-*-of-{part[3]}.safetensors")


def snippet_for(path: Path, kind: str = "") -> str:
    """Python that makes a state dict of a file."""
    return textwrap.dedent(_SNIPPETS[kind]).format(name=path.name)


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
    # First: the first byte of a header's length may be that of a pickle, or of an ONNX model.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size:
        return "safetensors"
    kind = kind_of_file(path)
    if any(mark in kind for mark in (*_OTHERS, "Office", "a zip archive")):
        raise _other(path, kind)
    if head.startswith((_ZIP, _PICKLE)):
        return "torch"
    if head.startswith(_ONNX):
        return "onnx"
    if kind and head:
        raise _other(path, kind)
    what = f"begins with {head[:8]!r}" if head else "is empty"
    raise CheckpointError(
        f"{path} {what}: it is no file of torch.save, safetensors or ONNX; "
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
    except MemoryError as error:
        raise CheckpointError(f"{path} does not fit the memory of this machine") from error
    except (safetensors.SafetensorError, json.JSONDecodeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} is a damaged safetensors file, or one with types that torch lacks: write it "
            "again with safetensors.torch.save_file"
        ) from error


def read_torch(path: Path) -> dict[str, object]:
    """What ``torch.save`` wrote, plain containers and tensors only.

    Raises
    ------
    CheckpointError
        If the file is damaged, or holds an object whose loading would run code.
    """
    check_packed(path)
    try:
        with torch.serialization.safe_globals(STAND_INS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are of torch's inside, and advise to trust
            found = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError as error:
        raise CheckpointError(f"{path} does not fit the memory of this machine") from error
    except Exception as error:  # A damaged file makes the reader fail in any way.
        raise CheckpointError(
            f"{path} is no plain state dict, and is not unpickled as it could run code: save "
            f"model.state_dict() with torch.save or as .safetensors ({_reason(error)})",
            _snippet_of(path, error),
        ) from error
    check_tensors(path, found)
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise CheckpointError(
            f"{path} holds a {type(found).__name__}: save model.state_dict() alone"
        )
    return dict(found)


def _snippet_of(path: Path, error: Exception) -> str:
    if "GLOBAL" in str(error):
        return snippet_for(path)
    with path.open("rb") as file:
        return snippet_for(path, "pickle") if file.read(1) == _PICKLE else ""


def _reason(error: Exception) -> str:
    # torch's own message begins with the advice to load the file unsafely.
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if refused:
        return f"it asks for {refused[1]}"
    return "it is damaged, or was written by another program"
