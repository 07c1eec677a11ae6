"""A model as the protocol describes it, and what surrounds its steps: scale, format, head."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from csb_format.fixed import IntArray
from csb_format.model import Model
from csb_format.pooling import EVERY
from engine.native.model import NativeModel

from .tensors import Array
from .wire import Refused

__all__ = ["VERSION", "Served"]

VERSION = "1"  # of the model: a server has one


class Served:
    """What a server has of a model.

    Parameters
    ----------
    path : Path
    name : str
        In the paths of the protocol.
    kernel, threads
        As for :class:`~engine.native.model.NativeModel`.
    """

    def __init__(self, path: Path, name: str, kernel: str | None = None, threads: int = 1):
        self.native = NativeModel(path, kernel, threads)
        self.model: Model = self.native.model
        self.name = name
        self.inputs = self.model.layers[0].input_size  # X
        self.size = self.model.output_size  # R
        #: Whether it runs frame by frame; one of two directions takes whole sequences alone.
        self.streams = self.model.directions == 1
        #: Whether its head answers every frame.
        self.every = self.model.pool == EVERY

    @cached_property
    def outputs(self) -> list[str]:
        """Names of what it answers."""
        head, names = self.model.head is not None, self.model.label_names
        return (
            ["output", "position"] + ["logits", "numbers", "class"] * head + ["label"] * bool(names)
        )

    def metadata(self) -> dict[str, Any]:
        """Of the protocol."""
        classes = 0 if self.model.head is None else self.model.head.output_size
        shapes = {
            "output": ("INT32", [-1, -1, self.size]),
            "position": ("INT64", [-1]),
            "logits": ("INT64", [-1, -1, classes]),
            "numbers": ("FP64", [-1, -1, classes]),
            "class": ("INT64", [-1, -1]),
            "label": ("BYTES", [-1, -1]),
        }
        inputs = {"frames": ("FP32", [-1, -1, self.inputs])}
        if self.streams:
            inputs |= {"sequence_id": ("UINT64", [-1])}
            inputs |= {name: ("BOOL", [-1]) for name in ("sequence_start", "sequence_end")}
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": "sparseflow",
            "inputs": [_about(name, *of) for name, of in inputs.items()],
            "outputs": [_about(name, *shapes[name]) for name in self.outputs],
        }

    def integers(self, frames: Array) -> IntArray:
        """Frames as the model takes them: raw features scaled, numbers in its input format.

        Parameters
        ----------
        frames : array (..., X)
            Real numbers, or integers in the input format.

        Raises
        ------
        Refused
            For NaN, infinity, and integers outside the format.
        """
        fixed = self.native.input
        if frames.dtype.kind == "f":
            try:
                scale = self.model.input_scale
                return fixed.quantise(frames if scale is None else scale.apply(frames))
            except ValueError as error:
                raise Refused(400, f"frames: {error}") from None
        bad = (frames < fixed.min) | (frames > fixed.max)
        if bad.any():
            at = [int(n) for n in np.argwhere(bad)[0]]
            told = f"frames at {at} are {frames[tuple(at)]}"
            raise Refused(400, f"{told}: the input format holds {fixed.min} to {fixed.max}")
        return frames.astype(np.int64)

    def heads(self, fed: IntArray) -> dict[str, Array]:
        """Logits and what they mean, of vectors (n, R) that the head is fed with."""
        head = self.model.head
        if head is None:
            return {}
        logits = head.logits(fed)
        found: dict[str, Array] = {"logits": logits, "numbers": logits * head.last_bit}
        found["class"] = logits.argmax(axis=1)
        if self.model.label_names:
            found["label"] = np.array(self.model.label_names, object)[found["class"]]
        return found

    def whole(self, sequences: Sequence[IntArray]) -> list[IntArray]:
        """Outputs of whole sequences, of a model of two directions."""
        return [trace.output for trace in self.native.run(sequences)]


def _about(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}
