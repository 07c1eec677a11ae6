"""What a value of a graph is known to be while the graph is walked."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Affine", "Array", "Atom", "Axis", "Computed", "Data", "Dim", "Known", "Sizes"]
__all__ += ["Spread", "Value", "length"]

Array = npt.NDArray[Any]
# A size: a number, a free size of the input plus a number, or something that is computed.
Dim = int | tuple[str, int] | None


class Atom(NamedTuple):
    """A dimension that is never split: of the input, or direction, unit, layer or class."""

    name: str
    size: int | None


# An axis is the product of its atoms; of size 1 if it has none.
Axis = tuple[Atom, ...]


def length(axis: Axis) -> int | None:
    """Elements along an axis; None if the file leaves them open."""
    sizes = [atom.size for atom in axis]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


@dataclass(frozen=True, eq=False)
class Known:
    """A constant."""

    array: Array


@dataclass(frozen=True, eq=False)
class Spread:
    """Elements of a constant, repeated to a shape that the input decides."""

    array: Array
    shape: tuple[Dim, ...] | None


@dataclass(frozen=True, eq=False)
class Sizes:
    """One or more sizes that depend on the input's."""

    dims: tuple[Dim, ...]
    scalar: bool = False


@dataclass(frozen=True, eq=False)
class Computed:
    """Anything else that depends on sizes alone."""


@dataclass(frozen=True, eq=False)
class Affine:
    """``scale * values + shift`` along one axis; float64, of no or one dimension."""

    scale: Array = field(default_factory=lambda: np.ones(()))
    shift: Array = field(default_factory=lambda: np.zeros(()))
    along: Axis = ()
    nodes: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether values are as they were."""
        return bool(np.all(self.scale == 1) and np.all(self.shift == 0))


@dataclass(frozen=True, eq=False)
class Data:
    """Values that come from the input.

    Parameters
    ----------
    stage : str
        ``"input"``, ``"recurrent"`` or ``"head"``.
    axes : tuple of Axis
    node : onnx.NodeProto or None
        The last that changed values; None at the input.
    affine : Affine
        What is to be applied to the stage's own values.
    time, batch : Axis
        Of at most one atom; known from the first recurrent layer on.
    layers, directions : tuple of int
        Whose outputs these are.
    moments : tuple of str
        Which frame of each direction: ``"first"``, ``"last"``, ``"every"``, ``"mean"``.
    cell : bool
        Whether these are cell states, not outputs.
    softmax : str
    pooled : onnx.NodeProto or None
        Which node has chosen or averaged the frames.
    linear : int
        Linear layers on the way.
    rectified : bool
        Whether a ReLU stands behind the last of them.
    """

    stage: str
    axes: tuple[Axis, ...]
    node: Any = None
    affine: Affine = field(default_factory=Affine)
    time: Axis = ()
    batch: Axis = ()
    layers: tuple[int, ...] = ()
    directions: tuple[int, ...] = ()
    moments: tuple[str, ...] = ()
    cell: bool = False
    softmax: str = ""
    pooled: Any = None
    linear: int = 0
    rectified: bool = False

    @property
    def moment(self) -> str:
        """What pooling the frames of all directions make; empty if it is none."""
        if len(set(self.moments)) == 1:
            return self.moments[0]
        return "hn" if self.moments == ("last", "first") else ""


Value = Known | Spread | Sizes | Computed | Data
