"""What cannot be pruned is refused when the pruner is made, and nothing is changed."""

from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from pruning.mask.goals import Goal, UnreachableError, goals_for, n_of_m
from pruning.mask.layers import UnprunableError, matrices
from pruning.mask.pruner import Pruner
from pruning.mask.views import Banks, Blocks

HALF = Goal(Banks(2), 0.5)


def integer() -> nn.Module:
    module = nn.Linear(4, 4)
    module.weight = nn.Parameter(torch.ones(4, 4, dtype=torch.int8), requires_grad=False)
    return module


def sparse() -> nn.Module:
    module = nn.Linear(4, 4)
    module.weight = nn.Parameter(torch.eye(4).to_sparse())
    return module


def torch_pruned() -> nn.Module:
    module = nn.Linear(4, 4)
    prune.l1_unstructured(module, "weight", 0.5)
    return module


def masked() -> nn.Module:
    module = nn.Linear(4, 4)
    Pruner(module, {"weight": HALF})
    return module


class Subclassed(nn.Parameter):
    pass


def subclassed() -> nn.Module:
    module = nn.Linear(4, 4)
    module.weight = Subclassed(torch.ones(4, 4))
    return module


class Table(nn.Module):
    """Shares a linear layer's weight in a way nobody can know the use of."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.table = self.linear.weight


def embedding() -> nn.Module:
    return nn.Embedding(4, 4, sparse=True)


def attention() -> nn.Module:
    return nn.MultiheadAttention(4, 2)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "convolution": (lambda: nn.Conv1d(4, 4, 3), "weight", "belongs to a layer of type Conv1d"),
    "bilinear": (lambda: nn.Bilinear(4, 4, 4), "weight", "belongs to a layer of type Bilinear"),
    "attention": (attention, "in_proj_weight", "belongs to a layer of type MultiheadAttention"),
    "shared": (Table, "linear.weight", "belongs to a layer of type Table"),
    "bias": (lambda: nn.LSTM(4, 4), "bias_ih_l0", r"has shape \(16,\): only matrices can be"),
    "norm": (lambda: nn.LayerNorm(4), "weight", r"has shape \(4,\): only matrices"),
    "lazy": (lambda: nn.LazyLinear(4), "weight", "has no shape yet: run one batch through"),
    "meta": (lambda: nn.Linear(4, 4, device="meta"), "weight", "is on the meta device"),
    "integer": (integer, "weight", "has type torch.int8: prune floating-point weights"),
    "sparse": (sparse, "weight", "is sparse or gets sparse gradients"),
    "sparse gradients": (embedding, "weight", "is sparse or gets sparse gradients"),
    "empty": (lambda: nn.Linear(0, 4), "weight", r"has shape \(4, 0\): only matrices with"),
    "subclass": (subclassed, "weight", "is a Subclassed: only plain torch.nn.Parameter"),
    "masked": (masked, "weight", r"is pruned already: squash first, prune what squash\(\) returns"),
    "torch-pruned": (torch_pruned, "weight", "is pruned by torch.nn.utils.prune: call prune.rem"),
    "parametrised": (
        lambda: parametrizations.weight_norm(nn.Linear(4, 4)),
        "weight",
        "is parametrised: call parametrize.remove_parametrizations",
    ),
    "misspelt": (
        lambda: nn.LSTM(4, 4),
        "weight_hh",
        "choose from good.weight, bad.weight_ih_l0, bad",
    ),
}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("kind", REFUSED)
def test_refused_when_the_pruner_is_made(kind: str) -> None:
    make, name, message = REFUSED[kind]
    module = make()
    holder = nn.ModuleDict({"good": nn.Linear(4, 4), "bad": module})
    before = list(holder.state_dict())
    with pytest.raises(UnprunableError, match=message) as caught:
        Pruner(holder, {"good.weight": HALF, f"bad.{name}": HALF})
    assert f"bad.{name}" in str(caught.value)
    assert list(holder.state_dict()) == before
    assert f"bad.{name}" not in matrices(holder)


def test_quantised_layers_are_refused() -> None:
    from torch.ao.nn.quantized.dynamic import LSTM

    with pytest.raises(UnprunableError, match="is no parameter of LSTM: choose from the matrices"):
        Pruner(LSTM(4, 4), {"weight_hh_l0": HALF})


def test_kinds_of_every_matrix() -> None:
    module = nn.LSTM(12, 16, 2, proj_size=8, bidirectional=True)
    assert {name: m.kind for name, m in matrices(module).items()} == {
        f"{kind}_l{layer}{way}": kind
        for layer in (0, 1)
        for way in ("", "_reverse")
        for kind in ("weight_ih", "weight_hh", "weight_hr")
    }
    assert matrices(module)["weight_hr_l1_reverse"].shape == (8, 16)
    assert [m.kind for m in matrices(nn.GRUCell(4, 4)).values()] == ["weight_ih", "weight_hh"]


def test_attention_output_is_a_linear_layer() -> None:
    assert matrices(attention())["out_proj.weight"].kind == "linear"


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        (Goal(Banks(8), 0.875), r"weight_ih_l0: sparsity 87.50% of a 64 x 12 matrix: .* 50.00%"),
        (Goal(Banks(2), 0.99), r"no nearer than 83.33% \(1 of 6 in every bank or group\)"),
    ],
)
def test_a_sparsity_out_of_reach_is_refused_not_rounded(goal: Goal, message: str) -> None:
    with pytest.raises(UnreachableError, match=message):
        Pruner(nn.LSTM(12, 16), {"weight_ih_l0": goal})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Goal(Banks(2), 87.5), r"sparsity 87.5: must be 0 to 1; .*0.875, not 87.5"),
        (lambda: Goal(Banks(2), float("nan")), "sparsity nan: must be 0 to 1"),
        (lambda: Goal(Banks(2), -0.1), "sparsity -0.1: must be 0 to 1"),
        (lambda: Goal(Banks(2), keep=0), "keep 0: must be a whole number, at least 1"),
        (lambda: Goal(Banks(2), keep=cast(int, 1.5)), "keep 1.5: must be a whole number"),
        (lambda: Goal(Banks(2)), "give either a sparsity or a number to keep"),
        (lambda: Goal(Banks(2), 0.5, 2), "give either a sparsity or a number to keep"),
        (lambda: Goal(Banks(2), 0.5, tolerance=5), "tolerance 5: must be 0 to 1"),
        (lambda: n_of_m(5, 4), "5:4: of 4 neighbours keep 1 to 4"),
    ],
)
def test_bad_goals(make: Callable[[], Goal], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("goals", "message"),
    [
        ({}, "no goals: name at least one matrix"),
        ({"weight_ih_l0": Goal(Banks(65), 0.5)}, "weight_ih_l0: 65 banks for 12 columns"),
        ({"weight_ih_l0": Goal(Banks(2), keep=7)}, "weight_ih_l0: keep 7 of 6 units"),
        ({"weight_ih_l0": Goal(Blocks(65, 1), 0.5)}, "weight_ih_l0: blocks of 65 x 1 for a 64"),
    ],
)
def test_goals_that_do_not_fit(goals: dict[str, Goal], message: str) -> None:
    module = nn.LSTM(12, 16)
    with pytest.raises(ValueError, match=message):
        Pruner(module, goals)
    assert not list(module.buffers())


def test_goals_for_kinds_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="kind 'weight_xx': choose from weight_ih, weight_hh"):
        goals_for(nn.LSTM(12, 16), HALF, {"weight_xx": HALF})
    with pytest.raises(ValueError, match="LSTM has no matrix of kind weight_hr"):
        goals_for(nn.LSTM(12, 16), None, {"weight_hr": HALF})


def test_unknown_score() -> None:
    with pytest.raises(ValueError, match="score 'l1': choose from magnitude, taylor, movement"):
        Pruner(nn.LSTM(12, 16), {"weight_ih_l0": HALF}, score="l1")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_leave_everything_as_it_was(bad: float) -> None:
    module = nn.LSTM(12, 16)
    with torch.no_grad():
        module.get_parameter("weight_hh_l0")[3, 2] = bad
    message = rf"weight_hh_l0: weight or score at \(3, 2\) is {bad}"
    with pytest.raises(ValueError, match=message):
        Pruner(module, goals_for(module, HALF))
    assert not list(module.buffers())


def test_gradient_scores_need_gradients() -> None:
    module = nn.LSTM(12, 16)
    with pytest.raises(ValueError, match=r"weight_ih_l0: no gradients since the masks last chan"):
        Pruner(module, goals_for(module, HALF), score="taylor")


def test_a_foreign_optimizer_is_refused() -> None:
    pruner = Pruner(nn.LSTM(12, 16), {"weight_ih_l0": HALF})
    with pytest.raises(ValueError, match="optimizer SGD trains none of weight_ih_l0"):
        pruner.attach(torch.optim.SGD(nn.LSTM(12, 16).parameters(), lr=0.1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_any_type_and_stride(dtype: torch.dtype) -> None:
    module = nn.Linear(6, 8)
    module.weight = nn.Parameter(torch.randn(6, 8).t().to(dtype))
    assert not module.weight.is_contiguous()
    pruner = Pruner(module, {"weight": Goal(Banks(3), 0.5)})
    weight: Tensor = pruner.squash().weight
    assert weight.dtype == dtype
    assert [int(n) for n in (weight != 0).reshape(24, 2).sum(1)] == [1] * 24


def test_one_wide_matrix() -> None:
    pruner = Pruner(module := nn.Linear(1, 8), {"weight": Goal(Banks(1), keep=1)})
    assert pruner.sparsity() == 0
    assert module.weight.all()
