"""Exact model: batches against the same sequences one by one, on one core.

With ``--before FOLDER``, a worktree of an earlier commit, its engine takes turns with ours too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from csb_format.random_models import random_frames, random_network
from engine.exact import FastModel

from .rows import Row

__all__ = ["rows"]

SHAPES: dict[str, dict[str, Any]] = {
    "40 -> 128": {"input_size": 40, "hidden_size": 128, "banks": 8, "k": (1, 2, 0)},
    "153 -> 512": {"input_size": 153, "hidden_size": 512, "banks": 9, "k": (1, 8, 0)},
    "1024 -> 1024": {"input_size": 1024, "hidden_size": 1024, "banks": 16, "k": (8, 8, 0)},
}
BATCHES = (1, 2, 3, 4, 5, 8, 16, 32, 64)
STEPS, TURNS = 20, 5
NOISE = 1.1  # a batch may take so many times what its sequences take one by one


# Batches against an earlier tree: (shape, batch, calls of step instead of one run, speedup asked).
EARLIER = (
    ("1024 -> 1024", 16, False, 5.0),
    ("1024 -> 1024", 2, False, 5.0),
    ("1024 -> 1024", 1, False, 1.0),
    ("153 -> 512", 16, False, 1.0),
    ("40 -> 128", 16, False, 1.0),
    ("40 -> 128", 1, False, 1.0),
    ("40 -> 128", 1, True, 1.0),
    ("1024 -> 1024", 16, True, 1.0),
)
WORKER = Path(__file__).with_name("exact_worker.py")


def rows(smallest: bool, only: list[str], before: Path | None = None) -> list[Row]:
    """Milliseconds are of a step of the whole batch; weights of 8 bits."""
    found: list[Row] = [] if before is None else _earlier(before, smallest, only)
    for name, shape in list(SHAPES.items())[: 1 if smallest else None]:
        rng = np.random.default_rng(0)
        model = random_network(rng, **shape, value_bits=8)
        fast, frames = FastModel(model), random_frames(rng, model, [STEPS] * max(BATCHES))
        for batch in BATCHES[: 2 if smallest else None]:
            what = f"{name}, batch {batch}: 1,000 steps, before: one by one"
            if any(word in what for word in only):
                found.append(_row(what, fast, frames[:batch]))
    return found


def _row(what: str, fast: FastModel, frames: list[Any]) -> Row:
    turns: dict[str, Callable[[], object]] = {
        "one": lambda: [fast.run([one]) for one in frames],
        "batch": lambda: fast.run(frames),
    }
    taken: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(TURNS):
        for name, run in turns.items():
            began = time.thread_time()
            run()
            taken[name].append((time.thread_time() - began) * 1000 / STEPS)
    one, batch = min(taken["one"]), min(taken["batch"])
    return Row(what, one, batch, NOISE * one)


def _earlier(folder: Path, smallest: bool, only: list[str]) -> list[Row]:
    """Each in turns with the tree of a folder, in two processes that wait for each other."""
    here = Path(__file__).resolve().parents[2]
    with _worker(folder) as old, _worker(here) as new:
        commit = _commit(folder)
        found = []
        for name, batch, steps, times in EARLIER[-2:-1] if smallest else EARLIER:
            how = "calls of step" if steps else "steps"
            what = f"{name}, batch {batch}: 1,000 {how}, before: tree {commit}"
            if any(word in what for word in only):
                found.append(_in_turns(what, (old, new), (name, batch, steps), times))
    return found


def _in_turns(what: str, both: Any, case: tuple[str, int, bool], times: float) -> Row:
    name, batch, steps = case
    question = repr((SHAPES[name], batch, steps, STEPS))
    taken = [[_ask(worker, question) for worker in both] for _ in range(3 * TURNS)]
    before, after = (float(np.median(of)) for of in zip(*taken, strict=True))
    ratio = float(np.median([b / a for b, a in taken]))
    return Row(what, before, after, before / times, {"times_as_fast": round(ratio, 2)})


def _ask(worker: subprocess.Popen[str], question: str) -> float:
    assert worker.stdin is not None
    assert worker.stdout is not None
    print(question, file=worker.stdin, flush=True)
    if not (answer := worker.stdout.readline()):
        raise SystemExit("error: the tree of --before gave no answer: see its error above")
    return float(answer)


@contextmanager
def _worker(folder: Path) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONPATH": str(folder.resolve())}
    command = [sys.executable, "-P", str(WORKER)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, env=environment, **pipes) as worker:
        yield worker
        worker.stdin.close()  # type: ignore[union-attr]


def _commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: --before {folder} is no worktree: git worktree add FOLDER COMMIT")
    return done.stdout.strip()
