"""Training that takes hours: one deterministic loop that stops in time and goes on later."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from csb_format.files.replace import replace_file

from ...importers.checkpoint import CheckpointError
from ...importers.files import read_torch
from ...mask.pruner import Pruner
from .numbers import reproducible

__all__ = ["Carry", "OutOfTime", "Plan", "Task", "run", "training_numbers"]

Carry = list[Tensor]
Progress = Callable[[int, int, float], None]
MakePruner = Callable[[nn.Module, Optimizer, int], Pruner[Any] | None]

_SAVE_SECONDS = 90.0
_PARTS = ("plan", "position", "carry", "module", "optimizer", "pruner")


class OutOfTime(Exception):
    """The deadline has come; the checkpoint is written, run again to go on."""


class Task(Protocol):
    """What is trained: data, loss and optimizer."""

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch."""

    @property
    def clip(self) -> float:
        """Largest gradient norm."""

    def optimizer(self, module: nn.Module, rate: float) -> Optimizer:
        """A new optimizer of the module."""

    def loss(
        self, module: nn.Module, position: int, seed: int, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """Loss of step ``position`` from 0, and what the next step needs to know.

        ``carry`` is empty at the start of an epoch. Random numbers come from torch's own
        generator, which is seeded before every step.
        """


@dataclass(frozen=True)
class Plan:
    """How long, how fast.

    Parameters
    ----------
    epochs : float
        Above 0.
    rate : float
        Learning rate.
    hold : float
        Share of the steps, 0..1, before it falls linearly, to 1 % at the last step.
    seed : int
        Of shuffling, noise and dropout.
    """

    epochs: float
    rate: float
    hold: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs <= 0 or self.rate <= 0 or not 0 <= self.hold <= 1:
            raise ValueError(f"{self}: epochs and rate must be above 0, hold 0 to 1")

    def total(self, steps: int) -> int:
        """Steps in all, at least 1."""
        return max(1, round(self.epochs * steps))

    def rate_at(self, position: int, total: int) -> float:
        """Learning rate of step ``position`` of 0..total - 1."""
        share = position / max(1, total - 1)
        if share <= self.hold:
            return self.rate
        return self.rate * max(0.01, (1 - share) / (1 - self.hold))


@contextmanager
def training_numbers(threads: int = 1) -> Iterator[None]:
    """Deterministic float32, by the fastest library that torch has for it.

    Parameters
    ----------
    threads : int
        At least 1. Sums are ordered by it: the same number gives the same bits.
    """
    before = torch.get_float32_matmul_precision()
    untyped: Any = torch.utils.deterministic
    filling = untyped.fill_uninitialized_memory
    # On processors without bfloat16 matrix units this is float32 in oneDNN, which is twice as
    # fast as MKL on AMD; on those that have them, products are rounded to bfloat16.
    torch.set_float32_matmul_precision("medium")
    # Overwriting memory before use finds bugs, and doubles the time of a step.
    untyped.fill_uninitialized_memory = False
    try:
        with reproducible(threads):
            yield
    finally:
        untyped.fill_uninitialized_memory = filling
        torch.set_float32_matmul_precision(before)


def run(
    task: Task,
    module: nn.Module,
    plan: Plan,
    *,
    pruner: MakePruner | None = None,
    checkpoint: Path | None = None,
    deadline: float | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Pruner[Any] | None:
    """Train in place.

    Parameters
    ----------
    task : Task
    module : nn.Module
    plan : Plan
    pruner : callable, optional
        (module, optimizer, steps in all) to the Pruner, or None; its ``step`` is called here.
    checkpoint : path, optional
        Where the run goes on if the file exists, and what it writes every 90 seconds and at
        the deadline. A run that was stopped has the same bytes as one that was not.
    deadline : float, optional
        In seconds of ``time.monotonic()``.
    threads : int
        Of torch.
    progress : callable, optional
        After every step, with (steps done, steps in all, loss).

    Returns
    -------
    Pruner or None
        What ``pruner`` made.

    Raises
    ------
    OutOfTime
        At the deadline.
    ValueError
        If the loss is not finite, or the checkpoint belongs to another run.
    """
    with training_numbers(threads):
        return _Run(task, module, plan, pruner, checkpoint).go(deadline, progress)


class _Run:
    def __init__(
        self,
        task: Task,
        module: nn.Module,
        plan: Plan,
        pruner: MakePruner | None,
        checkpoint: Path | None,
    ) -> None:
        self.task, self.module, self.plan, self.checkpoint = task, module, plan, checkpoint
        self.total = plan.total(task.steps)
        self.optimizer = task.optimizer(module, plan.rate)
        self.pruner = pruner(module, self.optimizer, self.total) if pruner else None
        self.position, self.carry = 0, Carry()
        if checkpoint is not None and checkpoint.exists():
            self._load(checkpoint)

    def go(self, deadline: float | None, progress: Progress | None) -> Pruner[Any] | None:
        self.module.train()
        saved = time.monotonic()
        while self.position < self.total:
            loss = self._step()
            if progress is not None:
                progress(self.position, self.total, loss)
            now = time.monotonic()
            late = deadline is not None and now >= deadline
            if self.checkpoint is not None and (late or now - saved >= _SAVE_SECONDS):
                self._save(self.checkpoint)
                saved = now
            if late and self.position < self.total:
                raise OutOfTime(f"stopped after {self.position} of {self.total} steps")
        self.module.eval()
        return self.pruner

    def _step(self) -> float:
        torch.manual_seed(self.plan.seed * 1_000_003 + self.position)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate_at(self.position, self.total)
        if self.position % self.task.steps == 0:
            self.carry = []
        self.optimizer.zero_grad()
        loss, self.carry = self.task.loss(self.module, self.position, self.plan.seed, self.carry)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), self.task.clip)
        self.optimizer.step()
        if self.pruner is not None:
            self.pruner.step()
        self.position += 1
        return self._finite(float(loss.detach()))

    def _finite(self, loss: float) -> float:
        if not abs(loss) < float("inf"):
            raise ValueError(f"loss {loss} after {self.position} steps: lower the learning rate")
        return loss

    def _save(self, path: Path) -> None:
        state = {
            "plan": repr((self.plan, self.total)),
            "position": self.position,
            "carry": self.carry,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "pruner": self.pruner.state_dict() if self.pruner is not None else None,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, buffer.getvalue())

    def _load(self, path: Path) -> None:
        device = next(self.module.parameters()).device
        try:
            # Its reader runs no code, and holds what a file claims against its size.
            state: dict[str, Any] = read_torch(path)
        except CheckpointError as error:
            raise ValueError(
                f"{os.fspath(path)} is damaged, or no checkpoint of a run: remove it, or choose "
                "another folder"
            ) from error
        if missing := [name for name in _PARTS if name not in state]:
            raise ValueError(
                f"{os.fspath(path)} is no checkpoint of a run, it lacks {', '.join(missing)}: "
                "remove it, or choose another folder"
            )
        if state["plan"] != repr((self.plan, self.total)):
            raise ValueError(
                f"{os.fspath(path)} belongs to {state['plan']}, not {(self.plan, self.total)}: "
                "remove it, or choose another folder"
            )
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.pruner is not None:
            self.pruner.load_state_dict(state["pruner"])
        self.position = state["position"]
        self.carry = [tensor.to(device) for tensor in state["carry"]]
