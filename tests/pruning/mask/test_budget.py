import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pruning.doctor.comparison import compare
from pruning.mask.budget import spread
from pruning.mask.goals import UnreachableError, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Linear
from pruning.mask.views import Banks, Blocks, Rows, Unstructured, View, row_balanced

FRAMES = torch.randn(6, 4, 8, generator=torch.Generator().manual_seed(0))


class Two(nn.Module):
    """The loss feels ``loud`` a hundred times more than ``quiet``."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.loud, self.quiet = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        both: Tensor = 10 * self.loud(frames) + 0.1 * self.quiet(frames)
        return both


def loss(module: nn.Module) -> Tensor:
    distance: Tensor = (module(FRAMES) - Two()(FRAMES) - 1).square().mean()
    return distance


VIEWS: dict[str, View] = {"loud.weight": Banks(1), "quiet.weight": Banks(2)}


@pytest.mark.parametrize("criterion", ["measured", "taylor"])
def test_the_insensitive_matrix_gives_more(criterion: str) -> None:
    module = Two()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    budget = spread(module, VIEWS, 0.44, loss, criterion)
    loud, quiet = budget.shares
    assert (loud.name, quiet.name) == ("loud.weight", "quiet.weight")
    assert quiet.sparsity == 0.75  # one weight in each bank of four
    assert loud.sparsity == 0.125
    assert loud.increase >= quiet.increase >= 0
    assert budget.achieved == 7 / 16
    assert all(torch.equal(module.state_dict()[name], before[name]) for name in before)
    assert all(parameter.grad is None for parameter in module.parameters())
    pruner = Pruner(module, budget.goals)
    assert pruner.sparsity() == pytest.approx(budget.achieved)


def test_taylor_is_the_best_of_all_ways_to_spend() -> None:
    module = Two()
    value = loss(module)
    weights = [module.loud.weight, module.quiet.weight]
    gradients = torch.autograd.grad(value, weights)
    costs = []
    for weight, gradient in zip(weights, gradients, strict=True):
        order = weight.abs().argsort(dim=1, descending=True, stable=True)
        taylor = (weight * gradient).abs().gather(1, order)
        costs.append([taylor[:, keep:].sum().item() for keep in range(1, 9)])
    views: dict[str, View] = dict.fromkeys(VIEWS, row_balanced())
    budget = spread(module, views, 0.5, loss, "taylor")
    ours = sum(cost[share.keep - 1] for cost, share in zip(costs, budget.shares, strict=True))
    allowed = [(a, b) for a, b in itertools.product(range(1, 9), repeat=2) if a + b == 8]
    assert ours == pytest.approx(min(costs[0][a - 1] + costs[1][b - 1] for a, b in allowed))


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5, 0.8])
def test_the_whole_budget_is_met(sparsity: float) -> None:
    module = nn.LSTM(153, 32, proj_size=16)
    views: dict[str, View] = {
        "weight_ih_l0": Banks(width=16),
        "weight_hh_l0": Banks(4),
        "weight_hr_l0": Unstructured(),
    }

    def energy(net: nn.Module) -> Tensor:
        made: Tensor = net(torch.ones(3, 2, 153))[0]
        return made.square().mean()

    budget = spread(module, views, sparsity, energy, "taylor")
    assert Pruner(module, budget.goals).sparsity() == pytest.approx(sparsity, abs=0.02)
    assert budget.achieved == pytest.approx(sparsity, abs=0.02)


def test_bad_budgets() -> None:
    module = Two()
    with pytest.raises(ValueError, match=r"sparsity 87.5: must be 0 to 1"):
        spread(module, VIEWS, 87.5, loss)
    with pytest.raises(ValueError, match="criterion 'hessian': choose from measured, taylor"):
        spread(module, VIEWS, 0.5, loss, "hessian")
    with pytest.raises(ValueError, match="views: name at least one matrix"):
        spread(module, {}, 0.5, loss)
    with pytest.raises(UnreachableError, match=r"98.00% of all matrices: .* than 81.25%"):
        spread(module, VIEWS, 0.98, loss)
    for criterion in ("measured", "taylor"):
        with pytest.raises(ValueError, match="loss nan: train to a finite loss"):
            spread(module, VIEWS, 0.5, lambda net: loss(net) * np.nan, criterion)


def train(module: nn.Module, pruner: Pruner[nn.Module], steps: int = 4) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    pruner.attach(optimizer, drive=True)
    for _ in range(steps):
        optimizer.zero_grad()
        (module(FRAMES)[0] - torch.randn(1)).square().mean().backward()
        optimizer.step()


def quality(module: nn.Module) -> float:
    assert not list(module.buffers())
    with torch.no_grad():
        return float(module(FRAMES)[0].square().mean())


PATTERNS: dict[str, View] = {
    "banks": Banks(2),
    "blocks": Blocks(4, 4),
    "rows": Rows(),
    "unstructured": Unstructured(),
}


def test_patterns_are_compared_at_equal_sparsity_and_training() -> None:
    module = nn.LSTM(8, 16)
    before = module.get_parameter("weight_hh_l0").clone()
    made = compare(module, PATTERNS, 0.75, train, quality, schedule=Linear(0, 3))
    assert [row["pattern"] for row in made.rows] == ["dense", *PATTERNS]
    assert [row["sparsity"] for row in made.rows] == [0, 0.75, 0.75, 0.75, 0.75]
    assert [row["weights"] for row in made.rows] == [1536, 384, 384, 384, 384]
    assert {row["steps"] for row in made.rows} == {4}
    assert len({row["result"] for row in made.rows}) == 5
    assert torch.equal(module.get_parameter("weight_hh_l0"), before)
    again = compare(module, PATTERNS, 0.75, train, quality, schedule=Linear(0, 3))
    assert [r["result"] for r in again.rows] == [r["result"] for r in made.rows]
    table = made.table("power")
    assert table.row_count == 5
    assert [column.header for column in table.columns][-1] == "power"


def test_others_are_held_to_what_the_first_reached() -> None:
    views: dict[str, View] = {"banks": Banks(3), "unstructured": Unstructured()}
    made = compare(nn.LSTM(8, 16), views, 0.65, train, quality, names=["weight_ih_l0"])
    # 8 columns in 3 banks of 3, 3 and 2: one in each is 62.5 %.
    assert [row["sparsity"] for row in made.rows[1:]] == [0.625, 0.625]


def test_unequal_comparisons_are_refused() -> None:
    module = nn.LSTM(8, 16)
    coarse: dict[str, View] = {"banks": Banks(2), "2:4": Banks(width=2)}
    with pytest.raises(UnreachableError, match=r"2:4, weight_ih_l0: sparsity 75.00% of a 64 x 8"):
        compare(module, coarse, 0.75, train, quality)
    lengths = iter([4, 5])
    with pytest.raises(ValueError, match="banks was trained for 5 steps, dense for 4: call"):
        compare(module, PATTERNS, 0.75, lambda m, p: train(m, p, next(lengths)), quality)
    with pytest.raises(ValueError, match="dense was trained for 0 steps"):
        compare(module, PATTERNS, 0.75, lambda m, p: None, quality)
    with pytest.raises(ValueError, match=r"banks: after 4 steps the schedule Linear\(.*train long"):
        compare(module, PATTERNS, 0.75, train, quality, schedule=Linear(0, 99))
    with pytest.raises(ValueError, match="views: name at least one pattern"):
        compare(module, {}, 0.75, train, quality)
    with pytest.raises(ValueError, match="'dense' is the name of the dense row"):
        compare(module, {"dense": Rows()}, 0.75, train, quality)


def test_goals_of_a_budget_name_the_matrices_of_the_module() -> None:
    module = Two()
    assert set(spread(module, VIEWS, 0.3, loss).goals) == set(
        goals_for(module, next(iter(spread(module, VIEWS, 0.3, loss).goals.values())))
    )
