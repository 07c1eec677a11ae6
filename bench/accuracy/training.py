"""The network of a row of the accuracy tables, from its file or trained now."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch.optim import Optimizer

from csb_format.files.replace import replace_file
from pruning.budget.slices import Slices
from pruning.importers.files import read_torch
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Cubic, Increments, OneShot, Schedule
from pruning.tasks.networks.language import LanguageModel
from pruning.tasks.training.longrun import Carry, MakePruner, Plan, Task, run

from .decayed import DecayedPruner
from .networks import NETWORKS, Network
from .patterns import goals_of, slices_of
from .rows import Row
from .slices import SlicePruner

__all__ = ["Place", "console", "further", "train_to_file", "trained"]

MakeSchedule = Callable[[int], Schedule]

console = Console()
_PRUNED = 0.4  # share of the steps after which the last mask stays


@dataclass(frozen=True)
class Place:
    """Where a run finds its data and keeps its checkpoints, and until when it runs."""

    work: Path
    data: dict[str, Path]
    device: str
    deadline: float | None = None
    progress: Progress | None = None
    bfloat16: bool = False  # layers' products and results, in training alone

    def file(self, row: Row, suffix: str) -> Path:
        return self.work / f"{row.name}{suffix}"

    def path(self, row: Row) -> Path:
        return self.data[NETWORKS[row.network].data]


def trained(row: Row, place: Place) -> nn.Module:
    """The network of a ``dense`` or ``tuned`` row, in evaluation mode."""
    network = NETWORKS[row.network]
    module: nn.Module = network.module(place.path(row), row.seed).to(place.device)
    if row.start is None:
        return train_to_file(row, place, module, network.dense, None)
    if not place.file(row, ".pt").exists():
        module.load_state_dict(trained(row.start, place).state_dict())
    return train_to_file(row, place, module, *_tuning(row, network))


def further(row: Row, place: Place) -> nn.Module:
    """The pruned network that a row starts from, fine-tuned further in float; masks stay."""
    assert row.start is not None
    module = trained(row.start, place)
    without_dropout(module)
    plain = replace(row, stage="longer", bits=0, act_bits=0, way="")
    return train_to_file(
        plain, place, module, NETWORKS[row.network].aware, _pruner(row, lambda _: OneShot())
    )


def without_dropout(module: nn.Module) -> None:
    """Quantised training has none: what is compared with it shall have none either."""
    for part in module.modules():
        if isinstance(part, nn.RNNBase):
            part.dropout = 0.0
    if isinstance(module, LanguageModel):
        module.shape = replace(module.shape, dropout=0.0)


def _increments(network: Network) -> MakeSchedule:
    """Algorithm 1 of Cao et al. (FPGA'19), over before 40 % of the steps."""
    count = network.increments
    return lambda total: Increments(count, max(1, int(_PRUNED * total) // count))


def _cubic(total: int) -> Schedule:
    """Zhu & Gupta 2017, over when the increments are; as fine as masks are worth making anew."""
    end = max(1, int(_PRUNED * total))
    return Cubic(0, end, max(1, end // 20))


def _pruner(row: Row, schedule: MakeSchedule) -> MakePruner:
    def make(module: nn.Module, optimizer: Optimizer, total: int) -> Any:
        main = NETWORKS[row.network].main
        goals = goals_of(module, row.pattern, row.sparsity, main)
        if row.way == "decayed":
            return DecayedPruner(module, goals, optimizer, max(1, int(_PRUNED * total)))
        for units in slices_of(row.pattern):
            return SlicePruner(module, Slices(module, goals, units), schedule(total))
        # Clipping mixes gradients: those of pruned weights must not count.
        return Pruner(module, goals, schedule(total), optimizer=optimizer, mask_gradients=True)

    return make


def _tuning(row: Row, network: Network) -> tuple[Plan, MakePruner | None]:
    """How a row of the stage ``tuned`` is trained."""
    schedule = _cubic if row.way == "cubic" else _increments(network)
    # To train again as the dense network was, at the same number of steps (Renda et al. 2020).
    rate = network.dense.rate if row.way == "rewound" else network.tune.rate
    plan = replace(network.tune, epochs=row.times * network.tune.epochs, rate=rate)
    return plan, _pruner(row, schedule) if row.pattern else None


def train_to_file(
    row: Row,
    place: Place,
    module: nn.Module,
    plan: Plan,
    pruner: MakePruner | None,
    task: Task | None = None,
) -> nn.Module:
    """Load what training has left, or train and leave it."""
    final = place.file(row, ".pt")
    if final.exists():
        module.load_state_dict(read_torch(final))
        return module.eval()
    final.parent.mkdir(parents=True, exist_ok=True)
    task = task or NETWORKS[row.network].task(place.path(row), row.seed)
    made = run(
        Bfloat16Task(task) if place.bfloat16 else task,
        module,
        replace(plan, seed=row.seed),
        pruner=pruner,
        checkpoint=place.file(row, ".running"),
        deadline=place.deadline,
        progress=_reporter(row, place.progress),
    )
    plain: nn.Module = made.squash() if made is not None else module
    buffer = io.BytesIO()
    torch.save(plain.state_dict(), buffer)
    replace_file(final, buffer.getvalue())
    place.file(row, ".running").unlink(missing_ok=True)
    return plain.eval()


@dataclass(frozen=True)
class Bfloat16Task:
    """A task whose layers compute in bfloat16; weights, gradients of them and loss stay float32.

    Parameters
    ----------
    task : Task
        What is trained.
    """

    task: Task

    @property
    def steps(self) -> int:
        return self.task.steps

    @property
    def clip(self) -> float:
        return self.task.clip

    def optimizer(self, module: nn.Module, rate: float) -> Optimizer:
        return self.task.optimizer(module, rate)

    def loss(
        self, module: nn.Module, position: int, seed: int, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """As the task's own."""
        device = next(module.parameters()).device.type
        with torch.autocast(device, torch.bfloat16):
            return self.task.loss(module, position, seed, carry)


def _reporter(row: Row, progress: Progress | None) -> Callable[[int, int, float], None]:
    """A bar where there is a terminal, a line a minute in a log file."""
    bar = progress.add_task(row.name) if progress is not None else None
    last = time.monotonic()

    def report(done: int, total: int, loss: float) -> None:
        nonlocal last
        if progress is not None and bar is not None:
            progress.update(bar, completed=done, total=total, visible=done < total)
        if not console.is_terminal and time.monotonic() - last > 60:
            last = time.monotonic()
            print(f"  {row.name}: {done} of {total} steps, loss {loss:.3f}", flush=True)

    return report
