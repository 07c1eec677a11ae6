"""What a large network takes, step by step: ``python steps.py MODE SIZE FOLDER``, JSON on stdout.

A program of its own, on the face of Sparseflow alone: so each measurement has a process, with
its own peak of memory, and an earlier commit is measured by the same lines.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

import sparseflow as sf
from csb_format.files.images import write_mem
from pruning.files.network import load_network
from pruning.tasks.data.datasets import SequenceData, save_sequences

__all__ = ["BANKS", "LAYERS", "MODES", "SPARSITY", "peak_bytes", "save_inputs"]

LAYERS, BANKS, SPARSITY = 2, 20, 0.8
PES, LANES = 64, 10
Made = TypeVar("Made")


def _lstm(size: int) -> nn.LSTM:
    """The network, the same each time."""
    torch.manual_seed(0)
    return nn.LSTM(size, size, LAYERS)


def _inputs(size: int) -> list[Any]:
    """Sequences of 20 frames."""
    return [np.random.default_rng(n).normal(size=(20, size)).astype("f4") for n in range(2)]


def save_inputs(size: int, folder: Path) -> tuple[Path, Path]:
    """A checkpoint, with a head, and labelled data: what the commands take."""
    lstm, head = _lstm(size), nn.Linear(size, 2)
    state = {f"lstm.{name}": tensor for name, tensor in lstm.state_dict().items()}
    state |= {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    torch.save(state, folder / "net.pt")
    data = SequenceData(tuple(_inputs(size)), np.arange(2))
    save_sequences(folder / "data.npz", data)
    return folder / "net.pt", folder / "data.npz"


def _steps(size: int, folder: Path) -> dict[str, float]:
    """CPU seconds of each step, and of a copy of the float weights in the same process."""
    lstm, path, seconds = _lstm(size), folder / "model.safetensors", dict[str, float]()
    _warm_up(folder)

    def step(name: str, make: Callable[[], Made]) -> Made:
        began = time.process_time()
        made = make()
        seconds[name] = time.process_time() - began
        return made

    weights = [p.detach().numpy() for name, p in lstm.named_parameters() if "weight" in name]
    for _ in range(3):  # the last counts: the first has its pages made
        step("a copy of the float weights", lambda: [weight.copy() for weight in weights])
    pruner = step("masks", lambda: sf.prune(lstm, banks=BANKS, sparsity=SPARSITY))
    given = _inputs(size)
    model = step("quantise and pack", lambda: sf.quantise(pruner, None, given).model)
    step("save", lambda: sf.save(model, path))
    loaded: Any = step("load", lambda: sf.load(path))
    step("compile, with images", lambda: len(sf.compile(loaded, PES, LANES).memories))
    return seconds


def _warm_up(folder: Path) -> None:
    """Import what the steps import: once in a process, whatever the size."""
    pruner = sf.prune(nn.LSTM(BANKS, BANKS), banks=BANKS, sparsity=0)
    model = sf.quantise(pruner, None, _inputs(BANKS)).model
    sf.save(model, folder / "tiny")
    sf.load(folder / "tiny")
    assert sf.compile(model, PES, LANES).memories


def _checkpoint(size: int, folder: Path) -> dict[str, float]:
    """CPU seconds from a checkpoint on disk to memory images on disk."""
    torch.save(_lstm(size).state_dict(), folder / "net.pt")
    began = time.process_time()
    lstm = load_network(folder / "net.pt").packable()
    pruner = sf.prune(lstm, banks=BANKS, sparsity=SPARSITY)
    image = sf.compile(sf.quantise(pruner, None, _inputs(size)).model, PES, LANES)
    for name, words in image.memories.items():
        write_mem(folder / f"{name}.mem", words, image.width(name))
    return {"checkpoint to images, on disk": time.process_time() - began}


MODES = {"steps": _steps, "checkpoint": _checkpoint}


def peak_bytes() -> int:
    """Bytes of memory that this process has held at most, since it was started."""
    status = Path("/proc/self/status").read_text("ascii")  # ru_maxrss has the parent's too
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in MODES or not sys.argv[2].isdecimal():
        print(f"usage: python steps.py {'|'.join(MODES)} SIZE FOLDER", file=sys.stderr)
        raise SystemExit(2)
    torch.set_num_threads(1)
    measured = MODES[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
    print(json.dumps({"seconds": measured, "peak": peak_bytes()}, allow_nan=False))
