"""Any optimizer: pruned weights stay zero, kept ones train as without masks."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning.mask.goals import Goal, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Linear, Regrowth
from pruning.mask.views import Banks

HALF = Goal(Banks(2), 0.5)
WIDTH = 12


def lstm() -> nn.LSTM:
    torch.manual_seed(0)
    return nn.LSTM(WIDTH, 16)


def frames() -> Tensor:
    return torch.randn(5, 3, WIDTH, generator=torch.Generator().manual_seed(1))


def trained(
    module: nn.LSTM, pruner: Pruner[nn.LSTM], optimizer: torch.optim.Optimizer, steps: int = 3
) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        module(frames())[0].square().sum().backward()
        optimizer.step()
        pruner.step()


OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, weight_decay=0.1, amsgrad=True),
    "adamw, fused": lambda p: torch.optim.AdamW(p, weight_decay=0.1, fused=True),
    "adamax": torch.optim.Adamax,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "adafactor": torch.optim.Adafactor,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "asgd": torch.optim.ASGD,
    "rmsprop": lambda p: torch.optim.RMSprop(p, momentum=0.9, centered=True),
    "rprop": torch.optim.Rprop,
    "muon": torch.optim.Muon,
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3),
}


@pytest.mark.parametrize("attached", [True, False])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_zeros_survive_every_optimizer(kind: str, attached: bool) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(WIDTH, 8, bias=False), nn.Linear(8, 4, bias=False))
    optimizer = OPTIMIZERS[kind](list(module.parameters()))
    pruner = Pruner(module, goals_for(module, HALF), Linear(1, 4))
    if attached:
        pruner.attach(optimizer)

    def closure() -> Any:
        optimizer.zero_grad()
        loss: Tensor = (module(frames()) - 1).square().mean()
        loss.backward()
        return loss

    for _ in range(6):
        before = pruner.weight("0.weight").clone()
        optimizer.step(closure)
        pruner.step()
        weight, mask = pruner.weight("0.weight"), pruner.mask("0.weight")
        assert (weight[~mask] == 0).all()
        assert not torch.equal(weight, before)
    assert pruner.keep == pruner.targets


def test_without_masking_momentum_would_move_pruned_weights() -> None:
    module = lstm()
    pruner = Pruner(module, goals_for(module, HALF), Linear(1, 2))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    trained(module, pruner, optimizer, 2)
    pruner.detach()
    module(frames())[0].square().sum().backward()
    optimizer.step()
    name = "weight_hh_l0"
    assert pruner.weight(name)[~pruner.mask(name)].any()


def test_an_attached_optimizer_forgets_what_is_pruned() -> None:
    module = lstm()
    optimizer = torch.optim.Adam(module.parameters())
    goals = goals_for(module, HALF)
    pruner = Pruner(module, goals, Linear(1, 3), optimizer=optimizer, mask_gradients=True)
    trained(module, pruner, optimizer, 4)
    for name in pruner.matrices:
        state = optimizer.state[pruner.weight(name)]
        for key in ("exp_avg", "exp_avg_sq"):
            assert not state[key][~pruner.mask(name)].any()
            assert state[key][pruner.mask(name)].any()


def test_a_driving_optimizer_needs_no_step() -> None:
    module = lstm()
    pruner = Pruner(module, goals_for(module, HALF), Linear(0, 2))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    pruner.attach(optimizer, drive=True)
    for _ in range(2):
        module(frames())[0].sum().backward()
        optimizer.step()
    assert pruner.position == 2
    assert pruner.keep == pruner.targets


def test_gradients_accumulate_masked() -> None:
    parts, whole = lstm(), lstm()
    for module, batches in ((parts, frames().split(1, dim=1)), (whole, (frames(),))):
        pruner = Pruner(module, goals_for(module, HALF))
        optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
        for batch in batches:
            module(batch)[0].square().sum().backward()
        optimizer.step()
        pruner.step()
        assert pruner.position == 1
    name = "weight_hh_l0"
    assert torch.allclose(parts.get_parameter(name), whole.get_parameter(name), atol=1e-6)


def test_clipping_sees_the_gradient_of_kept_weights_only() -> None:
    module = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    Pruner(module, {"weight": Goal(Banks(1), 0.5)}, mask_gradients=True)
    module(torch.tensor([100.0, 100.0, 3.0, 4.0])).sum().backward()
    assert nn.utils.clip_grad_norm_(module.parameters(), 1e9) == pytest.approx(5.0)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adagrad", "rmsprop"])
def test_masked_gradients_change_no_kept_weight_of_an_elementwise_optimizer(kind: str) -> None:
    weights = []
    for mask_gradients in (False, True):
        module = lstm()
        optimizer = OPTIMIZERS[kind](list(module.parameters()))
        goals = goals_for(module, HALF)
        pruner = Pruner(
            module, goals, Linear(0, 3), "taylor", None, optimizer, None, mask_gradients
        )
        trained(module, pruner, optimizer, 6)
        weights.append(pruner.weight("weight_hh_l0"))
    assert torch.equal(*weights)


def test_autocast_to_bfloat16_trains_sparse_float32_weights() -> None:
    module = lstm()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    goals = goals_for(module, HALF)
    pruner = Pruner(module, goals, Linear(0, 2), "taylor", None, optimizer)
    for _ in range(4):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            # not the module: oneDNN has a bfloat16 LSTM on some processors only
            matrices = [module.get_parameter(name) for name in ("weight_ih_l0", "weight_hh_l0")]
            made = nn.functional.linear(frames(), matrices[0])
            made = nn.functional.linear(made[..., : module.hidden_size], matrices[1])
        assert made.dtype == torch.bfloat16
        made.float().square().sum().backward()
        optimizer.step()
        pruner.step()
    assert pruner.keep == pruner.targets
    for name, mask in pruner.masks().items():
        assert pruner.weight(name).dtype == torch.float32
        assert not pruner.weight(name)[~mask].any()
        assert pruner.weight(name)[mask].all()


@pytest.mark.parametrize("mask_gradients", [False, True])
@pytest.mark.parametrize("score", ["magnitude", "taylor"])
def test_modules_and_pruners_are_freed(score: str, mask_gradients: bool) -> None:
    module = lstm()
    optimizer = torch.optim.Adam(module.parameters())
    goals, moves = goals_for(module, HALF), Regrowth(1, 9)
    pruner = Pruner(module, goals, Linear(0, 2), score, moves, optimizer, None, mask_gradients)
    trained(module, pruner, optimizer)
    left: list[weakref.ref[Any]] = [
        weakref.ref(module),
        weakref.ref(pruner),
        weakref.ref(optimizer),
    ]
    del module, optimizer, pruner
    gc.collect()
    assert [reference() for reference in left] == [None, None, None]


def test_gradients_are_masked_though_nobody_holds_the_pruner() -> None:
    module = lstm()
    Pruner(module, goals_for(module, HALF), mask_gradients=True)
    gc.collect()
    module(frames())[0].sum().backward()
    gradient = module.get_parameter("weight_hh_l0").grad
    assert gradient is not None
    assert int((gradient == 0).sum()) == 64 * 8
