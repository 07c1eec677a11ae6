"""Time of a step on this processor: the kernel that each layer gets, then a sum of terms.

As nn-Meter (Zhang et al., MobiSys 2021) adds up fused kernels: which one a layer gets is not
guessed but asked of the library; what each of its terms takes is fitted to times of this machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from csb_format.cells import LSTM
from csb_format.geometry import most_banks
from engine.native.model import NativeModel

from ...steps.cpu.timing import random_frames_of
from ..network import Network
from .draw import log_size

__all__ = [
    "Step",
    "Timed",
    "by_multiplications",
    "drawn",
    "errors",
    "fitted",
    "terms",
    "timed",
]

Floats = npt.NDArray[np.float64]
ROUNDS, STEPS = 25, 40
BLOCK = 16  # units
CACHES = (40_000, 1_500_000)
"""Bytes of weights that stay near, of the two nearest caches of usual processors."""
ALL = "a step"


@dataclass(frozen=True)
class Timed:
    """A network and the time of its step.

    Parameters
    ----------
    network : Network
    terms : mapping of str to float
        What it is made of; see :func:`terms`.
    microseconds : float
        The fastest of many steps in several turns.
    multiplications : int
        Of weights that are kept: what one would count without a model.
    """

    network: Network
    terms: Mapping[str, float]
    microseconds: float
    multiplications: int


@dataclass(frozen=True)
class Step:
    """What a term takes on a processor.

    Parameters
    ----------
    microseconds : mapping of str to float
        By term.
    models : int
        They were fitted to.
    """

    microseconds: Mapping[str, float]
    models: int

    def predict(self, found: Mapping[str, float]) -> float:
        """Microseconds of a step.

        Raises
        ------
        KeyError
            For a kernel that was not timed.
        """
        return sum(n * self.microseconds[name] for name, n in found.items())


def terms(native: NativeModel, network: Network) -> dict[str, float]:
    """What a step of a model is made of.

    Of each kernel that a layer gets: blocks of 16 units, whose gates are computed together;
    entries that are worked on, by the width of the window they are picked from; columns, which
    are cut into digits. Of all: layers, and bytes that the nearest caches have no room for.

    Parameters
    ----------
    native : NativeModel
    network : Network
    """
    found, read = {ALL: 1.0}, 0

    def add(name: str, count: float) -> None:
        found[name] = found.get(name, 0.0) + count

    for number, layer in enumerate(native.layers):
        kernel = f"{layer.kernel} {layer.state_digits}x{layer.weight_digits}"
        columns = (network.hidden if number else network.inputs) + network.hidden
        add("a layer", 1)
        add(f"{kernel}, blocks of {network.cell}", -(-network.hidden // BLOCK))
        add(f"{kernel}, entries from {layer.window or 'addresses'}", layer.entries)
        add(f"{kernel}, columns", columns)
        read += layer.bytes
    for room in CACHES:
        add(f"bytes beyond {room}", max(0, read - room))
    return found


def drawn(count: int, seed: int) -> Iterator[Network]:
    """Networks that people might run on a processor, sizes evenly on a logarithmic scale."""
    rng = np.random.default_rng(seed)
    size = partial(log_size, rng)
    for _ in range(count):
        inputs, hidden = size(8, 400), size(16, 600)
        banks = min(int(rng.choice((1, 2, 4, 8, 8, 16, 32))), most_banks(min(inputs, hidden)))
        widths = -(-inputs // banks), -(-hidden // banks)
        bits = int(rng.choice((8, 8, 16, 12)))
        cell = LSTM if rng.random() < 0.75 else "gru"
        yield Network(inputs, hidden, banks, size(1, widths[1]), size(1, widths[0]),
                      int(rng.choice((1, 1, 2))), 1, 0, bits, bits, cell)  # fmt: skip


def timed(networks: Sequence[Network], seed: int) -> list[Timed]:
    """Times of all in turns, the least of all turns: a busy neighbour is so for some of them."""
    natives = [NativeModel(network.random(seed)) for network in networks]
    frames = [random_frames_of(native, seed) for native in natives]
    streams = [native.start() for native in natives]
    least = np.full(len(networks), np.inf)
    for _ in range(ROUNDS):
        for n, stream in enumerate(streams):
            least[n] = min(least[n], float(np.min(stream.time(frames[n], STEPS))))
    return [
        Timed(network, terms(native, network), us, int(native.shape.weights))
        for network, native, us in zip(networks, natives, least.tolist(), strict=True)
    ]


def fitted(samples: Sequence[Timed]) -> Step:
    """What each term takes: never less than nothing, the least sum of squared relative errors."""
    from scipy.optimize import nnls

    names = sorted({name for one in samples for name in one.terms})
    scaled = np.array(
        [[one.terms.get(n, 0.0) / one.microseconds for n in names] for one in samples]
    )
    sizes = np.where(scaled.max(axis=0) > 0, scaled.max(axis=0), 1)
    found, _ = nnls(scaled / sizes, np.ones(len(samples)))
    each = zip(names, found / sizes, strict=True)
    return Step({name: float(us) for name, us in each}, len(samples))


def errors(step: Step, samples: Sequence[Timed]) -> list[float]:
    """How far each predicted time is off, relative; of those whose kernels were timed."""
    known = [one for one in samples if set(one.terms) <= set(step.microseconds)]
    return [step.predict(one.terms) / one.microseconds - 1 for one in known]


def by_multiplications(taught: Sequence[Timed], judged: Sequence[Timed]) -> list[float]:
    """The same of the baseline: so many multiplications a microsecond, whatever the shape."""
    rates = np.array([one.multiplications / one.microseconds for one in taught])
    each = float(rates.sum() / (rates**2).sum())  # the least sum of squared relative errors
    return [one.multiplications * each / one.microseconds - 1 for one in judged]
