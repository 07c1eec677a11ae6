"""How fast a model runs here: every figure is measured, none is promised."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from csb_format.fixed import IntArray
from engine.native.library import kernels
from engine.native.model import NativeModel

from .cores import clocks_of, kinds, lowest_clock, step_by_clock, step_by_core

__all__ = ["POINTS", "latencies", "planned", "random_frames_of", "throughput"]

POINTS = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "most": 100.0}
FRAMES = 64  # that are given in turn
ROUNDS, STEPS = 9, 200
SECONDS = 0.05  # of one round, about


def random_frames_of(native: NativeModel, seed: int) -> IntArray:
    """Frames (FRAMES, X) over the whole input format."""
    rng, fixed = np.random.default_rng(seed), native.input
    return rng.integers(fixed.min, fixed.max + 1, (FRAMES, native.shape.inputs))


def latencies(native: NativeModel, frames: IntArray, steps: int) -> dict[str, float]:
    """Microseconds of a step of one stream: percentiles of all steps but the first few."""
    stream = native.start()
    stream.time(frames, min(steps, STEPS))
    each = stream.time(frames, steps)
    return {name: float(np.percentile(each, point)) for name, point in POINTS.items()}


def throughput(native: NativeModel, frames: IntArray, batch: int) -> float:
    """Microseconds of a step of one sequence among ``batch``: the median of rounds of means."""
    stream = native.start(batch)
    once = float(stream.time(frames, 3).min())
    steps = int(np.clip(1e6 * SECONDS / max(once, 0.1), 3, STEPS))
    rounds = [float(stream.time(frames, steps).mean()) for _ in range(ROUNDS)]
    return statistics.median(rounds) / batch


def planned(path: Path, kernel: str | None, clocks: bool = False) -> dict[str, Any]:
    """What each layer of a model becomes, and how long a step takes by kernel, core, and clock.

    Steps of a bidirectional model are those of whole sequences. With ``clocks`` every clock of the
    first core of each kind is tried, where the system lets one choose.
    """
    native = NativeModel(path, kernel)

    def step() -> float:
        return _fastest(native)

    found = kinds(step_by_core(step))
    return {
        "kinds": [
            {"cores": cores, "us": us} | (_clocks(cores[0], step) if clocks else {})
            for cores, us in found
        ],
        "model": path.name,
        "cores": os.cpu_count(),
        "kernels": {name: _step(NativeModel(path, name)) for name in kernels()},
        "layers": [vars(layer) for layer in native.layers],
        "weights": native.shape.weights,
        "bytes": native.shape.bytes,
    }


def _clocks(core: int, step: Callable[[], float]) -> dict[str, Any]:
    """Of one core: microseconds by kHz, and the lowest that costs next to nothing."""
    if not clocks_of(core):
        return {"clocks": {}}
    us = step_by_clock(core, step)
    return {"clocks": us, "lowest": lowest_clock(us)}


def _step(native: NativeModel) -> float:
    """Microseconds of a step of one sequence."""
    frames = random_frames_of(native, 0)
    if native.shape.directions == 1:
        return throughput(native, frames, 1)
    return _sequence_step(native, frames)


def _fastest(native: NativeModel) -> float:
    """Microseconds of a step while a core is its own: the least of many, in milliseconds."""
    frames = random_frames_of(native, 0)
    if native.shape.directions != 1:
        return _sequence_step(native, frames)
    return float(native.start().time(frames, STEPS).min())


def _sequence_step(native: NativeModel, frames: IntArray) -> float:
    """Microseconds of a frame of a whole sequence."""
    native.run([frames])
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        native.run([frames])
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times) / len(frames)
