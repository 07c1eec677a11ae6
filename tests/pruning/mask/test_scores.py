"""Criteria that gradients feed: what is summed, and when."""

import pytest
import torch
from torch import Tensor, nn

from pruning.mask.goals import Goal, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Linear
from pruning.mask.views import Banks, check_pattern

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


@pytest.mark.parametrize("score", ["taylor", "movement"])
def test_gradient_scores_sum_over_backward_passes(score: str) -> None:
    module = nn.Linear(4, 1, bias=False)
    weight = torch.tensor([[1.0, -2.0, 3.0, 4.0]])
    with torch.no_grad():
        module.weight.copy_(weight)
    pruner = Pruner(module, {"weight": Goal(Banks(1), keep=2)}, Linear(0, 1), score)
    inputs = [torch.tensor([8.0, 1.0, 1.0, 0.1]), torch.tensor([-9.0, 1.0, 1.0, 0.1])]
    for frame in inputs:
        module(frame).sum().backward()
    pruner.step()
    # |w g| sums to 17, 4, 6, 0.8; -w g to 1, 4, -6, -0.8.
    expected = [[1, 0, 1, 0]] if score == "taylor" else [[1, 1, 0, 0]]
    assert pruner.mask("weight").int().tolist() == expected


def test_taylor_and_magnitude_differ_and_both_keep_exact_counts() -> None:
    masks = []
    for score in ("magnitude", "taylor"):
        module = lstm()
        pruner = Pruner(module, goals_for(module, HALF), Linear(0, 2), score)
        trained(module, pruner, torch.optim.SGD(module.parameters(), lr=0.01), 2)
        check_pattern(Banks(2), pruner.mask("weight_hh_l0"), 4)
        assert not pruner._collected
        masks.append(pruner.mask("weight_hh_l0"))
    assert not torch.equal(*masks)
