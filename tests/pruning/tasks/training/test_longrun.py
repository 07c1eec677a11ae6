import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from pruning.mask.goals import Goal, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Increments
from pruning.mask.views import Banks
from pruning.tasks.networks.language import LanguageModel, LanguageShape, LanguageTask
from pruning.tasks.training.longrun import Carry, OutOfTime, Plan, run, training_numbers

TOKENS = np.random.default_rng(5).integers(0, 9, 200)
TASK = LanguageTask(TOKENS, batch=2, window=8, adam=True)
PLAN = Plan(1.5, 1e-2, seed=4)


def model() -> LanguageModel:
    return LanguageModel(9, LanguageShape(8, 8, 2, dropout=0.2), seed=1)


def pruner(module: nn.Module, optimizer: Optimizer, total: int) -> Pruner[Any]:
    goals = goals_for(module, None, {"weight_ih": Goal(Banks(2), 0.5)})
    return Pruner(module, goals, Increments(2, total // 4), optimizer=optimizer)


class _Clock:
    """Time that passes only when it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.mark.parametrize("make", [None, pruner])
def test_a_run_in_slices_has_the_bytes_of_a_whole_one(
    make: Callable[..., Any] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, file = model(), tmp_path / "run"
    run(TASK, whole, PLAN, pruner=make)
    monkeypatch.setattr(time, "monotonic", _Clock())
    slices = 0
    while True:
        parts, slices = model(), slices + 1
        try:
            run(TASK, parts, PLAN, pruner=make, checkpoint=file, deadline=time.monotonic() + 4)
            break
        except OutOfTime:
            continue
    assert slices > 3
    for (name, one), other in zip(
        whole.state_dict().items(), parts.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
    assert not whole.training
    assert not parts.training


def test_seeds_differ_and_repeat() -> None:
    made = []
    for seed in (0, 0, 1):
        module = model()
        run(TASK, module, Plan(0.5, 1e-2, seed=seed))
        made.append(module.head.weight.detach())
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_the_rate_is_held_and_then_falls() -> None:
    plan = Plan(1, 2.0, hold=0.5)
    assert [plan.rate_at(n, 11) for n in (0, 5, 10)] == [2.0, 2.0, 0.02]
    assert plan.rate_at(8, 11) == pytest.approx(2.0 * 0.4)


def test_the_pruner_is_stepped_to_its_end() -> None:
    module = model()
    made = run(TASK, module, PLAN, pruner=pruner)
    assert made is not None
    assert made.position == PLAN.total(TASK.steps)
    assert made.keep == made.targets
    kept = made.mask("lstm.weight_ih_l0").sum(1)
    assert kept.tolist() == [4] * 32


def test_settings_of_torch_are_restored() -> None:
    before = torch.get_float32_matmul_precision()
    untyped: Any = torch.utils.deterministic
    with training_numbers():
        assert torch.are_deterministic_algorithms_enabled()
        assert not untyped.fill_uninitialized_memory
    assert torch.get_float32_matmul_precision() == before
    assert not torch.are_deterministic_algorithms_enabled()
    assert untyped.fill_uninitialized_memory


def test_a_checkpoint_of_another_plan_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run"
    total = PLAN.total(TASK.steps)
    with pytest.raises(OutOfTime, match=f"stopped after 1 of {total} steps"):
        run(TASK, model(), PLAN, checkpoint=file, deadline=0.0)
    with pytest.raises(ValueError, match=r"belongs to .*epochs=1\.5.*remove it, or choose"):
        run(TASK, model(), Plan(2, 1e-2), checkpoint=file)


class _Diverging(LanguageTask):
    def optimizer(self, module: nn.Module, rate: float) -> Optimizer:
        return (SGD if rate else Adam)(module.parameters(), rate)

    def loss(self, *args: Any) -> tuple[Tensor, Carry]:
        loss, carry = super().loss(*args)
        return loss * float("nan"), carry


@pytest.mark.parametrize(
    "content",
    [
        torch.zeros(1).expand(1 << 15, 1 << 10),  # claims 128 MiB in a file of a kilobyte
        {"module": {}},
        [1],
    ],
    ids=["claims more", "state dict", "list"],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save({"w": content} if isinstance(content, torch.Tensor) else content, tmp_path / "c")
    with pytest.raises(ValueError, match=r"c is (damaged|no checkpoint).*: remove it, or choose"):
        run(TASK, model(), PLAN, checkpoint=tmp_path / "c")


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    with pytest.raises(ValueError, match="loss nan after 1 steps: lower the learning rate"):
        run(_Diverging(TOKENS, 2, 8), model(), PLAN)


@pytest.mark.parametrize("bad", [(0, 1, 0.5), (1, 0, 0.5), (1, 1, 2)])
def test_plans_that_cannot_be(bad: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="epochs and rate must be above 0, hold 0 to 1"):
        Plan(*bad)
