"""Patterns and ways to train that only the tables have."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.accuracy.decayed import DecayedPruner
from bench.accuracy.patterns import equal_goals, goals_of, lstm_shapes, retained_energy, slices_of
from bench.accuracy.slices import SlicePruner
from pruning.budget.slices import Slices
from pruning.mask.schedule import Increments
from pruning.mask.views import Banks, check_pattern

MAIN = "banks of 25"


class Net(nn.Module):
    """An LSTM whose gates have other magnitudes than each other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(50, 50)
        with torch.no_grad():
            for gate, scale in enumerate((1.0, 2.0, 3.0, 1.5)):
                self.get_parameter("lstm.weight_hh_l0")[50 * gate : 50 * (gate + 1)] *= scale

    def loss(self) -> Tensor:
        outputs: Tensor = self.lstm(torch.ones(3, 2, 50))[0]
        found: Tensor = (outputs - 0.5).square().mean()
        return found


def counts(weight: Tensor) -> list[int]:
    """Weights kept by each gate."""
    return [int((gate != 0).sum()) for gate in weight.chunk(4)]


def by_slices(net: Net, optimizer: torch.optim.Optimizer, units: int | None = None) -> Any:
    goals = goals_of(net, "banks of 25 by gate, global", 0.8, MAIN)
    return SlicePruner(net, Slices(net, goals, units), Increments(2, 3))


def decayed(net: Net, optimizer: torch.optim.Optimizer) -> Any:
    return DecayedPruner(net, goals_of(net, MAIN, 0.8, MAIN), optimizer, 6)


def train(net: Net, optimizer: torch.optim.Optimizer, pruner: Any, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        net.loss().backward()
        optimizer.step()
        pruner.step()


def made(make: Callable[..., Any]) -> tuple[Net, torch.optim.Optimizer, Any]:
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    return net, optimizer, make(net, optimizer)


def test_slices_keep_what_their_magnitudes_ask_for() -> None:
    net, optimizer, pruner = made(by_slices)
    train(net, optimizer, pruner, 8)
    ih, hh = (counts(getattr(net.lstm, name)) for name in ("weight_ih_l0", "weight_hh_l0"))
    assert sum(ih) + sum(hh) == 2 * 200 * 2 * 5
    assert hh[2] > hh[1] > hh[0] >= 50 * 2 * 1
    for name, (whole, rows) in pruner.slices.places.items():
        keep = pruner.slices.goals[name].keep
        check_pattern(Banks(width=25), net.get_parameter(whole)[rows] != 0, keep)
    plain = pruner.squash()
    assert set(plain.state_dict()) == set(Net().state_dict())


def test_slices_of_some_units_are_gates_cut_in_order() -> None:
    _, _, pruner = made(lambda net, optimizer: by_slices(net, optimizer, 32))
    rows = [rows for name, rows in pruner.slices.places.values() if name.endswith("hh_l0")]
    assert rows[:3] == [slice(0, 32), slice(32, 50), slice(50, 82)]
    assert sum(each.stop - each.start for each in rows) == 200


def test_more_freedom_keeps_more_energy() -> None:
    net = Net()
    names = (MAIN, f"{MAIN}, global", f"{MAIN} by gate, global", "unstructured, global")
    found = [retained_energy(net, name, 0.8, MAIN) for name in names]
    assert [share for _, share in found] == pytest.approx([0.8] * 4, abs=1e-3)
    energies = [energy for energy, _ in found]
    assert energies == sorted(energies)
    assert energies[2] > energies[1] > energies[0]
    assert slices_of("banks of 25 by gate and 32 units, global") == (32,)
    assert slices_of(f"{MAIN}, global") == ()


def test_a_mix_of_two_numbers_is_shared_as_a_whole() -> None:
    net = Net()
    equal = equal_goals(lstm_shapes(net), MAIN, 0.7, MAIN)
    free = goals_of(net, f"{MAIN}, global", 0.7, MAIN)
    assert sorted(goal.keep or 0 for goal in equal.values()) == [7, 8]
    assert sum(goal.keep or 0 for goal in free.values()) == 15
    assert (free["lstm.weight_hh_l0"].keep or 0) > 8


def test_decayed_masks_move_and_then_stay() -> None:
    net, optimizer, pruner = made(decayed)
    first = {name: mask.clone() for name, mask in pruner.masks.items()}
    with torch.no_grad():  # a pruned weight that training would make large
        pruner.hidden["lstm.weight_hh_l0"][0, :25] = torch.arange(25.0)
    train(net, optimizer, pruner, 6)
    hh = pruner.masks["lstm.weight_hh_l0"]
    assert hh[0, 20:25].all()
    assert not torch.equal(hh, first["lstm.weight_hh_l0"])
    train(net, optimizer, pruner, 3)
    assert torch.equal(pruner.masks["lstm.weight_hh_l0"], hh)
    weight = pruner.squash().lstm.weight_hh_l0
    check_pattern(Banks(width=25), weight != 0, 5)
    assert weight.grad is not None
    assert not weight.grad[~hh].any()


def test_pruned_weights_decay_unseen() -> None:
    net, optimizer, pruner = made(decayed)
    mask = pruner.masks["lstm.weight_ih_l0"].clone()
    with torch.no_grad():
        pruner.hidden["lstm.weight_ih_l0"][~mask] = 1e-4
    optimizer.zero_grad()
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    pruner.step()
    left = pruner.hidden["lstm.weight_ih_l0"][~mask]
    assert left == pytest.approx(torch.full_like(left, 1e-4 * (1 - 0.5 * 2e-4)), rel=1e-6)
    assert not net.get_parameter("lstm.weight_ih_l0")[~mask].any()


@pytest.mark.parametrize("make", [by_slices, decayed])
def test_a_run_goes_on_bit_for_bit(make: Callable[..., Any]) -> None:
    whole = made(make)
    train(*whole, 9)
    stopped = made(make)
    train(*stopped, 4)
    saved = [part.state_dict() for part in stopped]
    again = made(make)
    for part, state in zip(again, saved, strict=True):
        part.load_state_dict(state)
    train(*again, 5)
    for name, tensor in whole[0].state_dict().items():
        assert torch.equal(again[0].state_dict()[name], tensor), name
