"""Where a network was cut for the array: which tensors go in and come out, and how they lie."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .foreign import MisreadError
from .replace import replace_file

__all__ = ["NAMES", "CutFileError", "Port", "Seam", "load_seam", "save_seam"]

NAMES = {"seam": "cut.json", "before": "before.onnx", "part": "part.onnx", "after": "after.onnx"}
"""Files of a folder of ``sparseflow cut``; without ``before`` or ``after`` if there is none."""
NAMES |= {"model": "model.safetensors", "frames": "frames.npz"}

_ROLES = ("time", "batch", "direction", "unit", "class", "feature")
_KINDS = ("input", "output", "cell", "logits")
_MOMENTS = ("every", "last", "hn", "mean")
_SOFTMAX = ("", "softmax", "log_softmax")
Array = npt.NDArray[np.floating[Any]]


class CutFileError(MisreadError):
    """A folder that holds no network that was cut, or a damaged one."""


@dataclass(frozen=True)
class Port:
    """A tensor at which the network is cut.

    Parameters
    ----------
    name : str
        In the graphs.
    axes : tuple of tuple of str
        What runs along each of its axes: ``time``, ``batch``, ``direction``, ``unit``, ``class`` or
        ``feature``, several where they are flattened into one, none where it is of size 1.
    kind : {"input", "output", "cell", "logits"}
        What goes to the array; outputs or cell states of the last layer; the head's.
    moment : {"every", "last", "hn", "mean"}
        Which frames.
    softmax : {"", "softmax", "log_softmax"}
        Of logits.
    """

    name: str
    axes: tuple[tuple[str, ...], ...]
    kind: str = "output"
    moment: str = "every"
    softmax: str = ""

    def __post_init__(self) -> None:
        flat = [role for axis in self.axes for role in axis]
        known = self.kind in _KINDS and self.moment in _MOMENTS and self.softmax in _SOFTMAX
        if not self.name or not known or not set(flat) <= set(_ROLES):
            raise ValueError(f"tensor {self.name!r}: {self.axes}, {self.kind}, {self.moment}")
        if len(set(flat)) < len(flat):
            raise ValueError(f"tensor {self.name!r}: one role runs along two axes, {self.axes}")

    def sequences(self, tensor: Array) -> list[Array]:
        """What goes to the array: arrays (T, X), one a sequence of the batch.

        Raises
        ------
        ValueError
            For another number of axes, or no frames.
        """
        if tensor.ndim != len(self.axes):
            raise ValueError(f"{self.name} has shape {tensor.shape}: {len(self.axes)} axes wanted")
        if not tensor.size:
            raise ValueError(f"{self.name} has shape {tensor.shape}: give at least one frame")
        named = [axis[0] for axis in self.axes if axis]
        kept = tensor.reshape([n for n, axis in zip(tensor.shape, self.axes, strict=True) if axis])
        if "batch" not in named:
            named, kept = ["batch", *named], kept[None]
        order = [named.index(role) for role in ("batch", "time", "feature")]
        return list(np.transpose(kept, order))

    def tensor(self, found: Sequence[Array], directions: int) -> Array:
        """The tensor as the graph behind takes it, float32.

        Parameters
        ----------
        found : sequence of float arrays (T, D * U), (D * U,) where frames are chosen, or (O,)
            Of every sequence; all of one length.
        directions : int
            D.
        """
        stacked = np.stack(found)
        roles = ["batch"] if stacked.ndim == 2 else ["batch", "time"]
        last = ("class",) if self.kind == "logits" else ("direction", "unit")
        sizes = stacked.shape[-1:] if self.kind == "logits" else (directions, -1)
        stacked = stacked.reshape(*stacked.shape[:-1], *sizes)
        size = dict(zip([*roles, *last], stacked.shape, strict=True))
        flat = [role for axis in self.axes for role in axis]
        if dropped := [role for role in size if role not in flat and size[role] != 1]:
            raise ValueError(
                f"{self.name} is of {', '.join(set(flat))} and there are {size[dropped[0]]} of "
                f"{dropped[0]}: run one sequence at a time"
            )
        kept = stacked.reshape([n for role, n in size.items() if role in flat])
        order = [role for role in size if role in flat]
        turned = np.transpose(kept, [order.index(role) for role in flat])
        shape = [int(np.prod([size[role] for role in axis], dtype=int)) for axis in self.axes]
        return np.ascontiguousarray(turned.reshape(shape), np.float32)


@dataclass(frozen=True)
class Seam:
    """Both sides of the part that the array takes.

    Parameters
    ----------
    input : Port
    outputs : tuple of Port
        One at least.
    streams : str
        Why frames cannot be given piece by piece; empty if they can.
    time : mapping of str to int
        Of every input of the whole along which frames come, its axis; those without are whole.
    """

    input: Port
    outputs: tuple[Port, ...]
    streams: str = ""
    time: tuple[tuple[str, int], ...] = ()


def save_seam(folder: Path, seam: Seam) -> None:
    """Write it beside the graphs."""
    text = json.dumps({"version": 1, **asdict(seam)}, indent=1, sort_keys=True, allow_nan=False)
    replace_file(folder / NAMES["seam"], text.encode())


def load_seam(folder: Path) -> Seam:
    """Read it; nothing in it is executed.

    Raises
    ------
    CutFileError
        If it is not there, damaged, or of a later version.
    """
    path = folder / NAMES["seam"]
    if not path.is_file():
        raise CutFileError(f"{folder} has no {path.name}: give the folder of `sparseflow cut`")
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        if given.pop("version") != 1:
            raise CutFileError(f"{path} is of a later version: take a newer Sparseflow")
        ports = [_port(each) for each in (given.pop("input"), *given.pop("outputs"))]
        time = tuple((str(name), int(axis)) for name, axis in given.pop("time"))
        if len(ports) > 1 and ports[0].kind == "input":
            return Seam(ports[0], tuple(ports[1:]), str(given["streams"]), time)
    except CutFileError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CutFileError(f"{path} is damaged: run `sparseflow cut` again") from error
    raise CutFileError(f"{path} is damaged: run `sparseflow cut` again")


def _port(given: dict[str, Any]) -> Port:
    axes = tuple(tuple(str(role) for role in axis) for axis in given.pop("axes"))
    return Port(axes=axes, **given)
