import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning.mask.goals import Goal, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.resume import ResumeError
from pruning.mask.schedule import Cubic, Linear, OneShot, Regrowth
from pruning.mask.views import Banks

OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "adam": lambda m: torch.optim.Adam(m.parameters(), lr=0.01, weight_decay=0.01),
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9),
}


class Run:
    """A training run that can be saved and gone on with."""

    def __init__(self, kind: str, score: str, seed: int, regrowth: bool = True) -> None:
        torch.manual_seed(seed)
        self.module = nn.LSTM(12, 16, 2, bidirectional=True, proj_size=8)
        goals = goals_for(self.module, Goal(Banks(2), 0.5))
        self.optimizer = OPTIMIZERS[kind](self.module)
        self.pruner = Pruner(
            self.module,
            goals,
            Cubic(1, 8, every=2),
            score,
            Regrowth(every=3, until=14) if regrowth else None,
            self.optimizer,
        )

    def step(self, number: int) -> None:
        frames = torch.randn(6, 4, 12, generator=torch.Generator().manual_seed(number))
        self.optimizer.zero_grad()
        for half in frames.split(2, dim=1):
            self.module(half)[0].square().sum().backward()
        self.optimizer.step()
        self.pruner.step()

    def parts(self) -> dict[str, Any]:
        return {"module": self.module, "optimizer": self.optimizer, "pruner": self.pruner}

    def save(self) -> bytes:
        file = io.BytesIO()
        torch.save({name: part.state_dict() for name, part in self.parts().items()}, file)
        return file.getvalue()

    def load(self, saved: bytes, order: list[str]) -> None:
        state = torch.load(io.BytesIO(saved), weights_only=True)
        for name in order:
            self.parts()[name].load_state_dict(state[name])


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        # Bytes, so that even the sign of a zero counts.
        return bool(a.dtype == b.dtype and a.numpy().tobytes() == b.numpy().tobytes())
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@pytest.mark.parametrize("at", [2, 5, 9])
@pytest.mark.parametrize("score", ["magnitude", "taylor"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_resumed_run_has_the_bytes_of_an_uninterrupted_one(
    kind: str, score: str, at: int
) -> None:
    whole, first, second = (Run(kind, score, seed) for seed in (0, 0, 7))
    for number in range(16):
        whole.step(number)
    for number in range(at):
        first.step(number)
    orders = (["module", "optimizer", "pruner"], ["pruner", "module", "optimizer"])
    second.load(first.save(), orders[at % 2])
    for number in range(at, 16):
        second.step(number)
    for name, part in whole.parts().items():
        assert same(part.state_dict(), second.parts()[name].state_dict()), name
    assert second.pruner.keep == second.pruner.targets


def test_resuming_without_the_pruners_state_would_differ() -> None:
    whole, second = Run("adam", "magnitude", 0), Run("adam", "magnitude", 7)
    for number in range(5):
        whole.step(number)
    second.load(whole.save(), ["module", "optimizer"])
    for number in range(5, 16):
        whole.step(number)
        second.step(number)
    assert not same(whole.module.state_dict(), second.module.state_dict())


def pruner(
    sparsity: float = 0.5, columns: int = 8, schedule: Any = None, score: str = "magnitude"
) -> Pruner[nn.LSTM]:
    module = nn.LSTM(columns, 8)
    goal = Goal(Banks(2), sparsity)
    return Pruner(module, {"weight_ih_l0": goal}, schedule or Linear(0, 2), score)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: pruner(0.25), r"goal of weight_ih_l0: saved with .*0.25.* this pruner has .*0.5"),
        (lambda: pruner(columns=12), r"shape of weight_ih_l0: saved with \(32, 12\), this pruner"),
        (lambda: pruner(schedule=OneShot()), r"schedule: saved with OneShot\(at=0\), this pruner"),
        (lambda: pruner(score="taylor"), "score: saved with taylor, this pruner has magnitude"),
    ],
)
def test_a_foreign_state_is_refused(other: Callable[[], Pruner[nn.LSTM]], message: str) -> None:
    ours = pruner()
    with pytest.raises(ResumeError, match=message):
        ours.load_state_dict(other().state_dict())


def test_damaged_states_are_refused_and_change_nothing() -> None:
    ours, name = pruner(), "weight_ih_l0"
    ours.prune()
    good, before = ours.state_dict(), ours.mask(name).clone()
    bad = before.clone()
    bad[3] = True
    for change, message in (
        ({"masks": {name: bad}}, r"mask of weight_ih_l0: .* group 6 keeps 4 units, expected 2"),
        ({"masks": {name: before[:5]}}, r"mask of weight_ih_l0 is torch.bool \(5, 8\): must be"),
        ({"masks": {name: before.float()}}, "mask of weight_ih_l0 is torch.float32"),
        ({"masks": {}}, "mask of weight_ih_l0 is None"),
        ({"keep": {}}, "mask of weight_ih_l0: "),
        ({"format": 2}, r"no state of a Pruner: give what its state_dict\(\) returned"),
        ({"collected": {name: torch.zeros(2)}}, "collected of weight_ih_l0 do not fit"),
        ({"gradients": {"bias": torch.zeros(2)}}, "gradients of bias do not fit its weight"),
        ({"gradients": {name: 3.0}}, "gradients of weight_ih_l0 do not fit its weight"),
        ({"made": 3}, "no state of a Pruner"),
        ({"position": "2"}, "no state of a Pruner"),
    ):
        with pytest.raises(ResumeError, match=message):
            ours.load_state_dict(good | change)
    assert torch.equal(ours.mask(name), before)
    with pytest.raises(ResumeError, match="no state of a Pruner"):
        ours.load_state_dict({})


def test_state_is_a_copy() -> None:
    ours = pruner()
    state = ours.state_dict()
    ours.prune()
    assert state["masks"]["weight_ih_l0"].all()
