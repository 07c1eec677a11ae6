"""Toolchain: 36 million weights from a checkpoint to memory images, against passes over memory.

A pass over memory is a copy of the float weights: each is read once, and as many bytes are
written. Every measurement is a process of its own, the contenders take turns.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from csb_format.files.folders import temporary_folder
from pruning.mask.masks import bank_balanced_mask

from . import steps
from .rows import Row

__all__ = ["rows"]

SIZE, SMALLEST_SIZE = 1500, 100  # PTB 2 x 1500
NAME = "PTB 2 x {}"
COPY = "a copy of the float weights"
PASSES = 6  # copies of the float weights that each of these may take
LIMITED = ("quantise and pack", "save", "load")
WHOLE = "checkpoint to images, on disk"
WHOLE_S = 6.0
MEMORY = 4  # times the float weights, the weights themselves among them
TURNS = 3
MIB = 1 << 20
# What a command takes for a tiny network is no memory of the weights': libraries, mostly.
COMMANDS = {
    "prune": ["net.pt", "--data", "data.npz", "--out", "pruned.safetensors", "--epochs", "1"],
    "pack": ["pruned.safetensors", "--calibration", "data.npz", "--out", "model.safetensors"],
}
_MAIN = """
import sys
from sparseflow.commands.cli import main
try:
    main()
finally:
    status = open("/proc/self/status").read().splitlines()
    print(next(line for line in status if line.startswith("VmHWM")).split()[1])
"""


def rows(smallest: bool, only: list[str], before: Path | None = None) -> list[Row]:
    """CPU seconds of each step, the best of some processes.

    Parameters
    ----------
    smallest : bool
        A tiny network instead, in this process and without the commands.
    only : list of str
        Rows whose name has one of these.
    before : path, optional
        A checkout of an earlier commit, whose seconds stand before.
    """
    size = SMALLEST_SIZE if smallest else SIZE
    name = NAME.format(size)
    trees = [Path(__file__).parents[2], *([before] if before else [])]
    found = _masks(size)
    found += _steps(name, size, smallest, trees)
    if not smallest:
        found += _commands(name, size, trees)
    return [row for row in found if any(word in row.what for word in only)]


def _masks(size: int) -> list[Row]:
    """Masks of one matrix, by ours and by what others would take."""
    weight = torch.randn(4 * size, size)
    width = size // steps.BANKS
    keep = round(width * (1 - steps.SPARSITY))
    banked = weight.view(-1, width)

    def argpartition() -> Any:
        mask = np.zeros(banked.shape, np.bool_)
        place = np.argpartition(-banked.abs().numpy(), keep - 1, axis=1)[:, :keep]
        np.put_along_axis(mask, place, True, axis=1)
        return torch.from_numpy(mask)

    def topk() -> Any:
        place = banked.abs().topk(keep, dim=1, sorted=False).indices
        return torch.zeros_like(banked, dtype=torch.bool).scatter_(1, place, True)

    ways: dict[str, Callable[[], Any]] = {
        "np.argpartition": argpartition,
        "torch.topk": topk,
        "ours": lambda: bank_balanced_mask(weight, steps.BANKS, keep).view_as(banked),
    }
    if any(not torch.equal(way(), ways["ours"]()) for way in ways.values()):
        raise SystemExit("masks differ")
    turns = [{way: _timed(run) for way, run in ways.items()} for _ in range(TURNS)]
    taken = {way: min(turn[way] for turn in turns) for way in ways}
    what = f"masks of a matrix of {4 * size} x {size}, before: "
    return [
        Row(what + way, taken[way], taken["ours"], taken[way])
        for way in ("np.argpartition", "torch.topk")
    ]


def _timed(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def _steps(name: str, size: int, smallest: bool, trees: list[Path]) -> list[Row]:
    best: list[dict[str, float]] = [{} for _ in trees]
    more = {}
    for mode, last in (("steps", "compile, with images"), ("checkpoint", WHOLE)):
        peaks = []
        for _ in range(1 if smallest else TURNS):
            for tree, seconds in zip(trees, best, strict=True):
                taken, peak = _here(mode, size) if smallest else _child(mode, size, tree)
                seconds |= {step: min(s, seconds.get(step, s)) for step, s in taken.items()}
                peaks += [peak] * (tree is trees[0])
        tiny = 0 if smallest else _child(mode, SMALLEST_SIZE, trees[0])[1]
        more[last] = _memory(size, max(peaks) - tiny)
    copied = best[0][COPY]
    limits = dict.fromkeys(LIMITED, PASSES * copied) | {WHOLE: WHOLE_S}
    found = []
    for step, took in best[0].items():
        old = best[-1][step] if len(trees) > 1 else None
        extra = {"copies": round(took / copied, 1)} | more.get(step, {})
        found.append(Row(f"{name}: {step}", old, took, limits.get(step), extra))
    return found


def _memory(size: int, peak: int) -> dict[str, int]:
    """Peak of a process beyond that of a tiny network, and what it may be."""
    floats = steps.LAYERS * 2 * 4 * size * size * 4  # of matrices; gates; bytes
    return {"peak_mib": peak // MIB, "peak_limit_mib": MEMORY * floats // MIB}


def _here(mode: str, size: int) -> tuple[dict[str, float], int]:
    with temporary_folder("speed") as work:
        return steps.MODES[mode](size, Path(work)), steps.peak_bytes()


def _child(mode: str, size: int, tree: Path) -> tuple[dict[str, float], int]:
    with temporary_folder("speed") as work:
        told = _run([steps.__file__, mode, str(size), str(work)], tree, Path(work))
    found = json.loads(told)
    return found["seconds"], found["peak"]


def _run(arguments: list[str], tree: Path, work: Path) -> str:
    """What a Python of its own prints last, with the packages of a checkout."""
    run = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": str(tree)},
        cwd=work,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return run.stdout.splitlines()[-1]


def _commands(name: str, size: int, trees: list[Path]) -> list[Row]:
    """The commands as they are typed, with one epoch of training; CPU seconds of the process."""
    of_tiny = _peaks(SMALLEST_SIZE, trees[0])
    every = [_peaks(size, tree) for tree in trees]
    return [
        Row(
            f"{name}: `sparseflow {command}`" + ", one epoch" * (command == "prune"),
            every[-1][command][0] if len(trees) > 1 else None,
            every[0][command][0],
            None,
            _without_limit(command, _memory(size, every[0][command][1] - of_tiny[command][1])),
        )
        for command in COMMANDS
    ]


def _without_limit(command: str, memory: dict[str, int]) -> dict[str, int]:
    """Training has gradients and an optimizer's moments: three times the weights beside them."""
    if command == "prune":
        del memory["peak_limit_mib"]
    return memory


def _peaks(size: int, tree: Path) -> dict[str, tuple[float, int]]:
    """CPU seconds, and bytes held at most, of each command."""
    found = {}
    with temporary_folder("speed") as work:
        steps.save_inputs(size, Path(work))
        for command, arguments in COMMANDS.items():
            options = ["--banks", str(steps.BANKS), "--sparsity", str(steps.SPARSITY)]
            given = [command, *arguments, *(options if command == "prune" else [])]
            before = _cpu_of_children()
            told = _run(["-c", _MAIN, *given], tree, Path(work))
            found[command] = (_cpu_of_children() - before, int(told) * 1024)
    return found


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
