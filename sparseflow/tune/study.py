"""One-knob sweeps of exact cycles and estimated cells; their steps, each with its cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from boards.board import Board
from boards.cells.learned import shipped
from boards.resources import Usage, clock_of
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.array.steps import causes, counts
from compiler.timing.shared import SharedCycles

from .network import Network

__all__ = ["KNOBS", "Array", "Point", "Step", "Sweep", "point_at", "study", "sweep", "values_of"]

KNOBS = (
    "hidden", "inputs", "k", "banks", "value_bits", "act_bits", "pes", "lanes", "layers",
    "projection",
)  # fmt: skip
MOST_LAYERS, MOST_BITS, LEAST_BITS, LEAST_ACT = 4, 18, 4, 6


@dataclass(frozen=True)
class Array:
    """M x N, on a board.

    Parameters
    ----------
    pes, lanes : int
    board : Board
    """

    pes: int
    lanes: int
    board: Board


@dataclass(frozen=True)
class Point:
    """A value of a knob, and what comes of it.

    Parameters
    ----------
    value : int
    cycles : float
        Of a step, exact.
    usage : Usage
        Estimated cells.
    megahertz : float
        The board's clock, or what its device is predicted to reach.
    fits : bool
    design : Design
    network : Network
    """

    value: int
    cycles: float
    usage: Usage
    megahertz: float
    fits: bool
    design: Design
    network: Network


@dataclass(frozen=True)
class Step:
    """Cycles jump between two values of a knob.

    Parameters
    ----------
    before, after : Point
    causes : tuple of str
    """

    before: Point
    after: Point
    causes: tuple[str, ...]

    @property
    def jump(self) -> float:
        """Share of the cycles before it, above 0 where they grow."""
        return self.after.cycles / self.before.cycles - 1


@dataclass(frozen=True)
class Sweep:
    """A knob and all of its points.

    Parameters
    ----------
    knob : str
    at : int
        Its value in the network, or the array, that was asked about.
    points : tuple of Point
        Ascending. Values that make no network, or that the array cannot run, are not among them.
    """

    knob: str
    at: int
    points: tuple[Point, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """Where cycles change."""
        return tuple(
            Step(a, b, _causes(a, b)) for a, b in pairwise(self.points) if a.cycles != b.cycles
        )

    @property
    def kept(self) -> tuple[Point, ...]:
        """Of sizes the largest of every step: no larger one takes as few cycles."""
        found: list[Point] = []
        for point in reversed(self.points):
            if not found or point.cycles < found[-1].cycles:
                found.append(point)
        return tuple(reversed(found))


def _causes(a: Point, b: Point) -> tuple[str, ...]:
    before, after = (counts(p.network.shape, p.design) for p in (a, b))
    return causes(before, after, b.design.pes)


def study(network: Network, array: Array, knobs: Sequence[str] = KNOBS) -> Iterator[Sweep]:
    """Sweeps of all knobs about a network on an array.

    Parameters
    ----------
    network : Network
    array : Array
    knobs : sequence of str
        Some of ``KNOBS``.
    """
    cycles = SharedCycles()
    for knob in knobs:
        yield sweep(network, array, knob, values_of(network, array, knob), cycles)


def values_of(network: Network, array: Array, knob: str) -> list[int]:
    """Values that a sweep takes: about the network's own, or all that there are."""
    hidden, banks = network.hidden, network.banks
    width = -(-hidden // banks)
    ranges = {
        "hidden": range(max(1, hidden // 2), hidden * 3 // 2 + 1),
        "inputs": range(1, 2 * network.inputs + 1),
        "k": range(1, width + 1),
        "banks": range(array.lanes, 8 * array.lanes + 1, array.lanes),
        "value_bits": range(LEAST_BITS, MOST_BITS + 1),
        "act_bits": range(LEAST_ACT, MOST_BITS + 1),
        "pes": range(4, 2 * array.pes + 1, 4),
        "lanes": [n for n in range(1, banks + 1) if banks % n == 0],
        "layers": range(1, MOST_LAYERS + 1),
        "projection": range(0, hidden + 1, max(1, array.lanes)),
    }
    if knob not in ranges:
        raise ValueError(f"no knob is called {knob}: choose among {', '.join(KNOBS)}")
    return list(ranges[knob])


def sweep(
    network: Network, array: Array, knob: str, values: Sequence[int], cycles: SharedCycles
) -> Sweep:
    """One knob at some values; banks keep the share of weights that they have.

    Parameters
    ----------
    network : Network
    array : Array
    knob : str
    values : sequence of int
        Ascending.
    cycles : SharedCycles
    """
    at = getattr(array if knob in ("pes", "lanes") else network, knob)
    points = (point_at(*_turned(network, array, knob, value), value, cycles) for value in values)
    return Sweep(knob, at, tuple(point for point in points if point is not None))


def _turned(network: Network, array: Array, knob: str, value: int) -> tuple[Network, Array]:
    if knob == "pes":
        return network, replace(array, pes=value)
    if knob == "lanes":
        return network, replace(array, lanes=value)
    if knob == "banks":  # as many weights
        k, k_input = (
            max(1, round(k * network.banks / value)) for k in (network.k, network.k_input)
        )
        return network.at(banks=value, k=k, k_input=k_input), array
    return network.at(**{knob: value}), array


def point_at(network: Network, array: Array, value: int, cycles: SharedCycles) -> Point | None:
    """A network on an array; None if the array cannot run it, or there is no such network."""
    try:
        shape = network.shape
        design = design_for(shape, array.pes, array.lanes, **array.board.options)
        taken = cycles(shape, design)
    except ValueError:
        return None
    usage = shipped().likely(design, array.board)
    fits = usage.limit(array.board.has)[1] <= 1
    return Point(value, taken, usage, clock_of(array.board), fits, design, network)
