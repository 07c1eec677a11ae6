from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from pruning.pruner import BankBalancedPruner, Target
from pruning.schedule import plan

NAMES = ("weight_ih_l0", "weight_hh_l0")
TARGETS = dict.fromkeys(NAMES, Target(4, 0.75))
OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], Optimizer]] = {
    "sgd": lambda p: SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "adam": lambda p: Adam(p, lr=0.1, weight_decay=0.1),
    "adamw": lambda p: AdamW(p, lr=0.1, weight_decay=0.1),
    "adamw-foreach": lambda p: AdamW(p, lr=0.1, weight_decay=0.1, foreach=True),
}


def lstm(seed: int = 0, bias: bool = True) -> nn.LSTM:
    torch.manual_seed(seed)
    return nn.LSTM(12, 16, bias=bias)


def frames(seed: int = 1) -> Tensor:
    return torch.randn(5, 3, 12, generator=torch.Generator().manual_seed(seed))


def step(module: nn.Module, optimizer: Optimizer) -> None:
    optimizer.zero_grad()
    module(frames())[0].square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_pruned_weights_stay_zero_in_the_parameter_itself(kind: str) -> None:
    module = lstm()
    optimizer = OPTIMIZERS[kind](list(module.parameters()))
    for _ in range(3):
        step(module, optimizer)  # momentum of the weights that are pruned next
    pruner = BankBalancedPruner(module, TARGETS, optimizer)
    pruner.prune()
    for _ in range(4):
        before = pruner.original("weight_hh_l0").clone()
        step(module, optimizer)
        for name in NAMES:
            original, mask = pruner.original(name), pruner.mask(name)
            assert (original[~mask] == 0).all()
            assert (original[mask] != 0).any()
        assert not torch.equal(before, pruner.original("weight_hh_l0"))


def test_without_the_hook_momentum_would_move_pruned_weights() -> None:
    module = lstm()
    optimizer = SGD(module.parameters(), lr=0.1, momentum=0.9)
    step(module, optimizer)
    pruner = BankBalancedPruner(module, TARGETS, optimizer)
    pruner.prune()
    pruner.detach()
    step(module, optimizer)
    assert (pruner.original("weight_hh_l0")[~pruner.mask("weight_hh_l0")] != 0).any()


def test_forward_is_that_of_a_dense_layer_with_masked_weights() -> None:
    module, plain = lstm(), lstm()
    pruner = BankBalancedPruner(module, TARGETS)
    module(frames())  # the layer caches weights: the cache must not outlive the mask
    pruner.prune()
    with torch.no_grad():
        for name in NAMES:
            # Garbage outside the mask shows whether the mask is really applied.
            pruner.original(name)[~pruner.mask(name)] = 7.0
            getattr(plain, name).mul_(pruner.mask(name))
    assert torch.equal(module(frames())[0], plain(frames())[0])
    assert not torch.equal(module(frames())[0], lstm()(frames())[0])


def test_forward_follows_an_optimizer_step() -> None:
    module = lstm()
    pruner = BankBalancedPruner(module, TARGETS)
    optimizer = SGD(module.parameters(), lr=0.5)
    pruner.attach(optimizer)
    before = module(frames())[0].detach()
    step(module, optimizer)
    squashed = pruner.squash()
    assert not torch.equal(module(frames())[0], before)
    assert torch.equal(module(frames())[0], squashed(frames())[0])


def test_gradient_outside_the_mask_is_zero() -> None:
    module = lstm()
    pruner = BankBalancedPruner(module, TARGETS)
    pruner.prune()
    module(frames())[0].sum().backward()
    gradient = pruner.original("weight_hh_l0").grad
    assert gradient is not None
    assert (gradient[~pruner.mask("weight_hh_l0")] == 0).all()
    assert (gradient[pruner.mask("weight_hh_l0")] != 0).any()


def test_state_dict_keeps_masks() -> None:
    module, other = lstm(0), lstm(5)
    pruner = BankBalancedPruner(module, TARGETS)
    pruner.prune()
    loaded = BankBalancedPruner(other, TARGETS)
    other.load_state_dict(module.state_dict(), strict=True)
    for name in NAMES:
        assert torch.equal(loaded.mask(name), pruner.mask(name))
        assert loaded.geometry(name) == pruner.geometry(name)
    assert torch.equal(module(frames())[0], other(frames())[0])


@pytest.mark.parametrize("bias", [True, False])
def test_squashed_loads_strictly_into_an_unpruned_layer(bias: bool) -> None:
    module, fresh = lstm(bias=bias), lstm(9, bias)
    pruner = BankBalancedPruner(module, TARGETS)
    pruner.prune()
    module(frames())
    plain = pruner.squash()
    assert type(plain) is nn.LSTM
    fresh.load_state_dict(plain.state_dict(), strict=True)
    assert torch.equal(fresh(frames())[0], module(frames())[0])
    assert (fresh.get_parameter("weight_hh_l0")[~pruner.mask("weight_hh_l0")] == 0).all()
    assert all(isinstance(p, nn.Parameter) for p in plain.parameters())


def test_pruned_module_survives_squashing() -> None:
    module = lstm()
    pruner = BankBalancedPruner(module, TARGETS)
    optimizer = AdamW(module.parameters(), lr=0.1)
    pruner.attach(optimizer)
    pruner.prune()
    first = pruner.squash()
    step(module, optimizer)
    second = pruner.squash()
    assert torch.equal(second(frames())[0], module(frames())[0])
    assert not torch.equal(first(frames())[0], second(frames())[0])


def test_linear_in_a_submodule() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 6))
    pruner = BankBalancedPruner(net, {"0.weight": Target(3, 0.5), "2.weight": Target(2, 0.6)})
    pruner.prune()
    plain = pruner.squash()
    inputs = frames()
    assert torch.equal(plain(inputs), net(inputs))
    assert [r.achieved for r in pruner.report()] == pytest.approx([0.5, 0.6])
    assert float((plain.get_parameter("0.weight") == 0).double().mean()) == pytest.approx(0.5)


def test_sparsity_only_grows_and_never_revives() -> None:
    module = lstm()
    optimizer = AdamW(module.parameters(), lr=0.1, weight_decay=0.1)
    pruner = BankBalancedPruner(module, TARGETS, optimizer)
    before = pruner.mask("weight_hh_l0").clone()
    for rung in plan(pruner.target_geometries, 4):
        pruner.prune(rung)
        step(module, optimizer)
        mask = pruner.mask("weight_hh_l0").clone()
        assert not (mask & ~before).any()
        before = mask
    assert pruner.geometry("weight_hh_l0") == pruner.target_geometries["weight_hh_l0"]


def test_report_sets_requested_beside_achieved() -> None:
    pruner = BankBalancedPruner(lstm(), dict.fromkeys(NAMES, Target(8, 0.875)))
    dense = pruner.report()
    assert [r.achieved for r in dense] == [0.0, 0.0]
    pruner.prune()
    reports = {r.name: r for r in pruner.report()}
    assert list(reports) == list(NAMES)
    assert reports["weight_ih_l0"].achieved == 0.5  # 12 columns: 6 banks of 2, k = 1
    assert reports["weight_ih_l0"].requested == 0.875
    assert "87.50% asked, 50.00% is the most" in reports["weight_ih_l0"].note


def test_a_request_between_two_counts_is_not_called_unreachable() -> None:
    pruner = BankBalancedPruner(lstm(), {"weight_hh_l0": Target(2, 0.7)})
    pruner.prune()
    (report,) = pruner.report()
    assert (report.achieved, report.note) == (0.75, "")


def test_unknown_name_leaves_the_module_alone() -> None:
    module = lstm()
    names = list(module.state_dict())
    with pytest.raises(ValueError, match="'weight_hh_l1' is no matrix of LSTM: choose from weig"):
        BankBalancedPruner(module, {"weight_ih_l0": Target(4, 0.5), "weight_hh_l1": Target(4, 0.5)})
    assert list(module.state_dict()) == names


def test_a_vector_cannot_be_pruned() -> None:
    with pytest.raises(ValueError, match="'bias_ih_l0' is no matrix of LSTM"):
        BankBalancedPruner(lstm(), {"bias_ih_l0": Target(4, 0.5)})


def test_pruning_twice_is_refused() -> None:
    module = lstm()
    BankBalancedPruner(module, {"weight_hh_l0": Target(4, 0.5)})
    with pytest.raises(
        ValueError, match=r"'weight_hh_l0' is parametrised already: prune what squash"
    ):
        BankBalancedPruner(module, {"weight_hh_l0": Target(4, 0.5)})


def test_a_foreign_optimizer_is_refused() -> None:
    pruner = BankBalancedPruner(lstm(), TARGETS)
    with pytest.raises(ValueError, match="optimizer SGD trains none of weight_ih_l0"):
        pruner.attach(SGD(lstm().parameters(), lr=0.1))


def test_not_finite_weight_is_named() -> None:
    module = lstm()
    with torch.no_grad():
        module.get_parameter("weight_hh_l0")[3, 2] = float("nan")
    pruner = BankBalancedPruner(module, TARGETS)
    with pytest.raises(ValueError, match=r"weight_hh_l0: weight at \(3, 2\) is nan"):
        pruner.prune()
    assert pruner.mask("weight_ih_l0").all()


def test_unknown_name_in_a_rung() -> None:
    pruner = BankBalancedPruner(lstm(), TARGETS)
    with pytest.raises(ValueError, match="bias is not pruned: choose from weight_ih_l0, weight_hh"):
        pruner.prune({"bias": 1})


@pytest.mark.parametrize("sparsity", [-0.1, 87.5])
def test_sparsity_out_of_range(sparsity: float) -> None:
    with pytest.raises(ValueError, match=str(sparsity)):
        BankBalancedPruner(lstm(), {"weight_hh_l0": Target(4, sparsity)})
