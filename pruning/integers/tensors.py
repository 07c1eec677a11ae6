"""The real numbers of a network, by torch's names, and what formats must know of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from csb_format.fixed import Fixed, ends
from csb_format.model import GateFormats
from csb_format.precision import Precision

__all__ = ["OnDemand", "Real", "RealTensors", "magnitude", "real_tensors", "suffixes"]

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
        """How many numbers a format clips; or four, each of a quarter of the rows."""
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


def suffixes(lstm: nn.LSTM) -> list[str]:
    """Ends of torch's parameter names, layer by layer: ``_l0``, ``_l0_reverse``, ``_l1``, ..."""
    ends_of_layer = ("", "_reverse") if lstm.bidirectional else ("",)
    return [f"_l{n}{end}" for n in range(lstm.num_layers) for end in ends_of_layer]


def real_tensors(lstm: nn.LSTM, head: nn.Linear | None) -> RealTensors:
    """All tensors by torch's names, with ``bias_l0``, ... the sum of both biases.

    Weights share the memory of those of float32 and float64; half precision is widened.
    Biases are float64, missing ones zeros; the head's are ``head.weight`` and ``head.bias``.

    Raises
    ------
    ValueError
        Naming the first tensor and place that is NaN or infinite.
    """
    found = RealTensors()
    kinds = ("weight_ih", "weight_hh") + ("weight_hr",) * bool(lstm.proj_size)
    for end in suffixes(lstm):
        for kind in kinds:
            found.put(kind + end, _array(getattr(lstm, kind + end)))
        biases = [f"bias_{side}{end}" for side in ("ih", "hh")] if lstm.bias else []
        zeros = np.zeros(4 * lstm.hidden_size)
        found.put(f"bias{end}", sum((_finite(n, getattr(lstm, n)) for n in biases), zeros))
    if head is not None:
        found.put("head.weight", _array(head.weight))
        bias = head.bias
        outputs = np.zeros(head.out_features)
        found.put("head.bias", outputs + (0.0 if bias is None else _finite("head.bias", bias)))
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
