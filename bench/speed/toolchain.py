"""Toolchain: 36 million weights from a checkpoint to memory images, against passes over memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

import sparseflow as sf
from csb_format import Model
from csb_format.files.folders import temporary_folder

from .rows import Row

__all__ = ["rows"]

SIZE, SMALLEST_SIZE, LAYERS = 1500, 100, 2  # PTB 2 x 1500
BANKS, SPARSITY = 20, 0.8
PES, LANES = 64, 10
PASSES = 6  # over the float weights, of quantise, save and load each
WHOLE_S = 6.0  # from checkpoint to images
MEMORY = 4  # times the float weights, beyond what was there before
MIB = 1 << 20

_Made = TypeVar("_Made")


def rows(smallest: bool, only: list[str]) -> list[Row]:
    """CPU seconds of each step, one run: the first that a user waits for."""
    size = SMALLEST_SIZE if smallest else SIZE
    torch.manual_seed(0)
    torch.set_num_threads(1)
    lstm = nn.LSTM(size, size, LAYERS)
    weights = [p.detach() for name, p in lstm.named_parameters() if "weight" in name]
    copied = min(_timed(lambda: [w.numpy().copy() for w in weights])[1] for _ in range(3))
    before = _peak()
    with temporary_folder("speed") as work:
        seconds = _steps(lstm, size, work)
    peak = _peak() - before
    name = f"PTB {LAYERS} x {size}"
    found = [Row(f"{name}: a copy of the float weights", None, copied, None)]
    found += [
        Row(f"{name}: {step}", None, taken, PASSES * copied if step in LIMITED else None)
        for step, taken in seconds.items()
    ]
    floats = sum(w.nelement() * w.element_size() for w in weights)
    more = {"peak_mib": peak // MIB, "peak_limit_mib": MEMORY * floats // MIB}
    found.append(Row(f"{name}: masks to images", None, sum(seconds.values()), WHOLE_S, more))
    return [row for row in found if any(word in row.what for word in only)]


LIMITED = ("quantise and pack", "save", "load")


def _steps(lstm: nn.LSTM, size: int, work: Path) -> dict[str, float]:
    inputs = [np.random.default_rng(n).normal(size=(20, size)).astype("f4") for n in range(2)]
    path, seconds = work / "model.safetensors", dict[str, float]()

    def step(name: str, make: Callable[[], _Made]) -> _Made:
        made, seconds[name] = _timed(make)
        return made

    pruner = step("masks", lambda: sf.prune(lstm, banks=BANKS, sparsity=SPARSITY))
    model = step("quantise and pack", lambda: sf.quantise(pruner, None, inputs).model)
    step("save", lambda: sf.save(model, path))
    loaded: Any = step("load", lambda: sf.load(path))
    assert isinstance(loaded, Model)
    step("compile", lambda: len(sf.compile(loaded, PES, LANES).memories))
    return seconds


def _timed(run: Callable[[], _Made]) -> tuple[_Made, float]:
    began = time.process_time()
    made = run()
    return made, time.process_time() - began


def _peak() -> int:
    """Bytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
