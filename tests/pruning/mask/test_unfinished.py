"""A schedule that is not at its end is no pruned network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sparseflow as sf
from pruning.mask.goals import Goal, UnfinishedError, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Cubic, Increments, Linear, OneShot, Schedule, end_of
from pruning.mask.views import Banks


@dataclass(frozen=True)
class Half:
    """A schedule of a user's own, that never ends."""

    def progress(self, step: int) -> float:
        return 0.5


def made(schedule: Schedule) -> Pruner[nn.LSTM]:
    torch.manual_seed(0)
    lstm = nn.LSTM(16, 16)
    return Pruner(lstm, goals_for(lstm, Goal(Banks(1), 0.75)), schedule)


def train(pruner: Pruner[nn.LSTM], steps: int, drive: bool) -> None:
    optimizer = torch.optim.SGD(pruner.module.parameters(), lr=0.1)
    pruner.attach(optimizer, drive=drive)
    for _ in range(steps):
        optimizer.zero_grad()
        pruner.module(torch.ones(3, 16))[0].sum().backward()
        optimizer.step()


USES: dict[str, Callable[[Pruner[nn.LSTM]], Any]] = {
    "squash": lambda pruner: pruner.squash(),
    "geometries": lambda pruner: pruner.geometries(),
    "sf.quantise": lambda pruner: sf.quantise(pruner, None, [np.ones((2, 16))]),
    "sf.pack": lambda pruner: sf.pack(pruner),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("use", USES)
def test_unfinished_is_refused_with_the_step_and_the_mend(use: str) -> None:
    pruner = made(Increments(4, 5))
    train(pruner, 30, drive=False)  # the masks hold, and the schedule stands still
    said = r"step 0 of 15: 18.75 % of 75 % pruned: .*attach\(optimizer, drive=True\)"
    with pytest.raises(UnfinishedError, match=said):
        USES[use](pruner)


@pytest.mark.parametrize("use", USES)
def test_finished_is_taken(use: str) -> None:
    pruner = made(Increments(4, 5))
    train(pruner, 15, drive=True)
    assert USES[use](pruner)


def test_unfinished_is_taken_when_it_is_asked_for() -> None:
    pruner = made(Linear(0, 10))
    pruner.step()
    plain = pruner.squash(unfinished=True)
    kept = {n: g.nonzeros for n, g in pruner.geometries(unfinished=True).items()}
    assert kept == pruner.keep
    assert torch.count_nonzero(plain.get_parameter("weight_hh_l0")) == 64 * 15


def test_pruned_by_hand_is_at_its_end() -> None:
    pruner = made(Linear(100, 200))
    with pytest.raises(UnfinishedError, match="step 0 of 200: 0 % of 75 %"):
        pruner.squash()
    pruner.prune()
    assert pruner.squash()


def test_a_schedule_without_end_is_told_so() -> None:
    with pytest.raises(UnfinishedError, match=r"step 0 of a schedule without end: 37.5 % of 75 %"):
        made(Half()).squash()


@pytest.mark.parametrize(
    ("schedule", "end"),
    [
        (OneShot(), 0),
        (OneShot(7), 7),
        (Linear(3, 12, 4), 12),
        (Cubic(0, 1000), 1000),
        (Increments(4, 5), 15),
        (Increments(1, 1), 0),
        (Half(), None),
    ],
)
def test_end_of_every_schedule(schedule: Schedule, end: int | None) -> None:
    assert end_of(schedule) == end
