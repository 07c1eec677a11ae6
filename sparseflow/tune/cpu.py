"""One-knob sweeps of the time of a step on this processor, contenders in turns."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from engine.native.model import NativeModel

from ..steps.cpu.timing import random_frames_of
from .network import Network

__all__ = ["CPU_KNOBS", "JUMP", "CpuPoint", "CpuStep", "CpuSweep", "cpu_sweep", "cpu_values"]

CPU_KNOBS = ("bank_width", "k", "hidden")
BESIDE = (32, 64, 128, 256)  # registers and tables hold so many places: widths about these
JUMP = 0.15  # of the time, beyond what the weights grow by: less is noise of a busy machine
STEPS = 40


@dataclass(frozen=True)
class CpuPoint:
    """A value, the median of all turns' fastest steps in microseconds, and the weights kept."""

    value: int
    microseconds: float
    weights: int


@dataclass(frozen=True)
class CpuStep:
    """A jump that the weights do not explain."""

    before: CpuPoint
    after: CpuPoint

    @property
    def jump(self) -> float:
        """Of the time, divided by that of the weights, less 1."""
        grown = max(1.0, self.after.weights / self.before.weights)
        return self.after.microseconds / self.before.microseconds / grown - 1


@dataclass(frozen=True)
class CpuSweep:
    """A knob and its points."""

    knob: str
    at: int
    points: tuple[CpuPoint, ...]

    @property
    def steps(self) -> tuple[CpuStep, ...]:
        """Jumps between neighbouring values, of more than ``JUMP`` either way."""
        found = (CpuStep(a, b) for a, b in pairwise(self.points) if b.value == a.value + 1)
        return tuple(step for step in found if abs(step.jump) > JUMP)


def cpu_values(network: Network, knob: str) -> list[int]:
    """Values that a sweep takes: about the network's own, and about round widths of banks."""
    if knob == "bank_width":
        return [width + n for width in BESIDE for n in (-1, 0, 1, 2)]
    if knob == "k":
        return list(range(1, min(9, network.inputs // network.banks + 1)))
    if knob == "hidden":
        return [max(1, network.hidden + n) for n in range(-2, 3)]
    raise ValueError(
        f"no knob of a processor is called {knob}: choose among {', '.join(CPU_KNOBS)}"
    )


def cpu_sweep(network: Network, knob: str, rounds: int, seed: int) -> CpuSweep:
    """Time of a step at every value of a knob.

    Parameters
    ----------
    network : Network
    knob : str
        Of ``CPU_KNOBS``: ``bank_width`` is that of ``weight_ih``, with as many weights.
    rounds : int
        Turns that every value gets, one after the other.
    seed : int
        Of weights and frames.
    """
    values = cpu_values(network, knob)
    natives = [NativeModel(_turned(network, knob, value).random(seed)) for value in values]
    frames = [random_frames_of(native, seed) for native in natives]
    streams = [native.start() for native in natives]
    times: list[list[float]] = [[] for _ in values]
    for _ in range(rounds):
        for n, stream in enumerate(streams):
            times[n].append(float(np.min(stream.time(frames[n], STEPS))))
    weights = [int(native.shape.weights) for native in natives]
    points = map(CpuPoint, values, map(statistics.median, times), weights)
    return CpuSweep(knob, _own(network, knob), tuple(points))


def _own(network: Network, knob: str) -> int:
    width = -(-network.inputs // network.banks)
    return {"bank_width": width, "k": network.k_input, "hidden": network.hidden}[knob]


def _turned(network: Network, knob: str, value: int) -> Network:
    if knob == "bank_width":
        return network.at(inputs=network.banks * value)
    return network.at(k_input=value) if knob == "k" else network.at(hidden=value)
