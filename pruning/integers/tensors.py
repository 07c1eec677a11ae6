"""The real numbers of a network, by torch's names, and what formats must know of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from csb_format.cells.cell import Cell
from csb_format.fixed import Fixed, ends
from csb_format.heads.mlp import layer_names
from csb_format.model import GateFormats
from csb_format.precision import Precision

from ..cells import Recurrent, cell_of
from ..mlp import linears_of

__all__ = [
    "OnDemand",
    "Real",
    "RealTensors",
    "apart_biases",
    "joined_bias",
    "magnitude",
    "real_tensors",
    "suffixes",
]

Real = npt.NDArray[np.floating]


class RealTensors(dict[str, Real]):
    """Arrays by torch's names; each is gone through only once for what its formats depend on.

    Attributes
    ----------
    ends : dict of str to (float, float)
        Smallest and largest number of every array, 0 among them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[str, tuple[float, float]] = {}

    def put(self, name: str, array: Real) -> None:
        """Add an array.

        Raises
        ------
        ValueError
            Naming the first place that is NaN or infinite.
        """
        self[name], self.ends[name] = array, _finite_ends(name, array)

    def magnitude(self, name: str) -> float:
        """Largest magnitude of an array."""
        low, high = self.ends[name]
        return max(-low, high)

    def clipped(self, name: str, formats: GateFormats) -> int:
        """How many numbers a format clips; or several, each of as many of the rows."""
        parts = (formats,) if isinstance(formats, Fixed) else formats
        if not any(fixed.saturations(self.ends[name]) for fixed in parts):
            return 0
        split = zip(parts, np.split(self[name], len(parts)), strict=True)
        return sum(fixed.saturations(part) for fixed, part in split)


class OnDemand(Mapping[str, Tensor]):
    """Tensors by torch's names, made whenever they are asked for, and not kept.

    Parameters
    ----------
    names : iterable of str
    make : callable
        The tensor of a name.
    """

    def __init__(self, names: Iterable[str], make: Callable[[str], Tensor]) -> None:
        self._names, self._make = list(names), make

    def __getitem__(self, name: str) -> Tensor:
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def suffixes(lstm: Recurrent) -> list[str]:
    """Ends of torch's parameter names, layer by layer: ``_l0``, ``_l0_reverse``, ``_l1``, ..."""
    ends_of_layer = ("", "_reverse") if lstm.bidirectional else ("",)
    return [f"_l{n}{end}" for n in range(lstm.num_layers) for end in ends_of_layer]


def joined_bias(cell: type[Cell], ih: Sequence[Any], hh: Sequence[Any]) -> list[Any]:
    """Biases of all sums of a cell, from those of every gate of both matrices.

    Parameters
    ----------
    cell : type of Cell
    ih, hh : sequence of G arrays or Tensors (H,)
    """
    return [
        ih[s.gate] + hh[s.gate] if s.input and s.recurrent else (ih if s.input else hh)[s.gate]
        for s in cell.sums
    ]


def apart_biases(cell: type[Cell], bias: Real) -> tuple[Real, Real]:
    """Biases of both matrices that :func:`joined_bias` makes these of: (G * H,) each.

    What is the sum of two is all of it in that of ``weight_ih``.
    """
    each = np.split(bias, len(cell.sums))
    ih, hh = ([np.zeros_like(each[0]) for _ in cell.gate_names] for _ in range(2))
    for given, s in zip(each, cell.sums, strict=True):
        (ih if s.input else hh)[s.gate] = given
    return np.concatenate(ih), np.concatenate(hh)


def real_tensors(lstm: Recurrent, head: nn.Module | None) -> RealTensors:
    """All tensors by torch's names, with ``bias_l0``, ... those of the cell's sums.

    Weights share the memory of those of float32 and float64; half precision is widened.
    Biases are float64, missing ones zeros; the head's are ``head.weight`` and ``head.bias``, of
    linear layers before its last ``head.hidden.0.weight`` and so on.

    Raises
    ------
    ValueError
        Naming the first tensor and place that is NaN or infinite.
    """
    found = RealTensors()
    kinds = ("weight_ih", "weight_hh") + ("weight_hr",) * bool(lstm.proj_size)
    cell = cell_of(lstm)
    gates = len(cell.gate_names)
    for end in suffixes(lstm):
        for kind in kinds:
            found.put(kind + end, _array(getattr(lstm, kind + end)))
        sides = []
        for side in ("ih", "hh"):
            name = f"bias_{side}{end}"
            zeros = np.zeros(gates * lstm.hidden_size)
            sides.append(zeros + _finite(name, getattr(lstm, name)) if lstm.bias else zeros)
        ih, hh = (np.split(side, gates) for side in sides)
        found.put(f"bias{end}", np.concatenate(joined_bias(cell, ih, hh)))
    if head is not None:
        linears = linears_of(head)
        for name, linear in zip(layer_names(len(linears)), linears, strict=True):
            found.put(f"{name}.weight", _array(linear.weight))
            bias, outputs = linear.bias, np.zeros(linear.out_features)
            added = 0.0 if bias is None else _finite(f"{name}.bias", bias)
            found.put(f"{name}.bias", outputs + added)
    return found


def _array(tensor: Tensor) -> Real:
    given = tensor.detach().cpu()
    array: Real = (given.float() if given.dtype.itemsize < 4 else given).numpy()
    return array


def _finite(name: str, tensor: Tensor) -> Real:
    array = _array(tensor)
    _finite_ends(name, array)
    return array


def _finite_ends(name: str, array: Real) -> tuple[float, float]:
    found = ends(array)
    if not np.isfinite(found).all():  # NaN is either
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(
            f"{name} at {at} is {array[at]}: train to finite weights before quantising"
        )
    return found


def magnitude(real: Real, percentile: float = Precision.percentile) -> float:
    """Magnitude that ``percentile`` percent of the values do not exceed; 0 of none."""
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile {percentile}: must be above 0 and at most 100")
    if not real.size:
        return 0.0
    if percentile == 100:
        return float(max(-real.min(), real.max()))
    return float(np.percentile(np.abs(real), percentile, method="higher"))
