"""Any shape, banks, ratio, type and stride: exact counts, or one error that changes nothing."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning.mask.goals import Goal, UnreachableError, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Increments
from pruning.mask.views import Banks, check_pattern

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@st.composite
def weights(draw: st.DrawFn) -> Tensor:
    """Full of ties, up to all equal; of any float type; rows or columns first."""
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 30))
    levels = draw(st.integers(1, 9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    weight = torch.randint(1, levels + 1, (rows, columns), generator=generator)
    weight = weight.to(draw(st.sampled_from(DTYPES)))
    return weight.t().contiguous().t() if draw(st.booleans()) else weight


@st.composite
def banks(draw: st.DrawFn, columns: int) -> Banks:
    number = draw(st.integers(1, columns))
    return Banks(width=number) if draw(st.booleans()) else Banks(number)


def linear(weight: Tensor) -> nn.Linear:
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    # preserve_format: clone() alone would keep the strides of a dense tensor too.
    module.weight = nn.Parameter(weight.clone(memory_format=torch.preserve_format))
    assert module.weight.stride() == weight.stride()
    return module


@given(weights(), st.data(), st.floats(0, 1))
def test_exact_counts_or_a_named_error(weight: Tensor, data: st.DataObject, ratio: float) -> None:
    view, module = data.draw(banks(weight.shape[1])), linear(weight)
    layout = view.layout(*weight.shape)
    near = min(abs(layout.sparsity(k) - ratio) for k in range(1, layout.units + 1))
    if near > 0.05 + 1e-9:
        with pytest.raises(UnreachableError, match=r"weight: sparsity .* come no nearer than"):
            Pruner(module, {"weight": Goal(view, ratio)})
        assert not list(module.buffers())
        return
    assume(near < 0.05 - 1e-9)
    pruner = Pruner(module, {"weight": Goal(view, ratio)})
    assert pruner.report()[0].achieved == pytest.approx(layout.sparsity(pruner.keep["weight"]))
    assert pruner.sparsity() == pytest.approx(ratio, abs=0.05 + 1e-6)
    check_pattern(view, pruner.mask("weight"), pruner.keep["weight"])


@given(weights(), st.data(), st.floats(0, 1))
def test_increments_squash_to_the_largest_weights(
    weight: Tensor, data: st.DataObject, ratio: float
) -> None:
    view, module = data.draw(banks(weight.shape[1])), linear(weight)
    goal = Goal(view, ratio, tolerance=1.0)
    pruner = Pruner(module, {"weight": goal}, Increments(3, every=1, begin=1))
    masks = [pruner.mask("weight").clone()]
    for _ in range(3):
        pruner.step()
        masks.append(pruner.mask("weight").clone())
    assert masks[0].all()
    assert all(not (later & ~earlier).any() for earlier, later in pairwise(masks))
    mask, plain = masks[-1], pruner.squash()
    check_pattern(view, mask, pruner.targets["weight"])
    assert plain.weight.dtype == weight.dtype
    assert torch.equal(plain.weight, torch.where(mask, weight, 0))
    fresh = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
    fresh.load_state_dict(plain.state_dict(), strict=True)
    for row, kept in zip(view.group(weight, -1.0), view.group(mask.int(), 0), strict=True):
        values, inside = row[:, 0].tolist(), kept[:, 0].bool().tolist()
        best = sorted(range(len(values)), key=lambda at: (-values[at], at))
        assert sorted(best[: sum(inside)]) == [a for a, k in enumerate(inside) if k]


@settings(max_examples=30)
@given(
    st.integers(1, 20),
    st.integers(1, 12),
    st.booleans(),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.data(),
)
def test_lstms_of_any_size_train_sparse(
    inputs: int, hidden: int, both: bool, dtype: torch.dtype, data: st.DataObject
) -> None:
    torch.manual_seed(0)
    project = data.draw(st.integers(0, hidden - 1))
    module = nn.LSTM(inputs, hidden, bidirectional=both, proj_size=project, dtype=dtype)
    goals = {
        name: Goal(data.draw(banks(goal_columns)), 0.5, tolerance=1.0)
        for name, goal_columns in columns(module).items()
    }
    pruner = Pruner(module, goals)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    pruner.attach(optimizer)
    module(torch.ones(2, 1, inputs, dtype=dtype))[0].float().sum().backward()
    optimizer.step()
    pruner.step()
    for name, mask in pruner.masks().items():
        check_pattern(goals[name].view, mask, pruner.keep[name])
        assert not pruner.weight(name)[~mask].any()
    fresh = nn.LSTM(inputs, hidden, bidirectional=both, proj_size=project, dtype=dtype)
    fresh.load_state_dict(pruner.squash().state_dict(), strict=True)


def columns(module: nn.Module) -> dict[str, int]:
    goals = goals_for(module, Goal(Banks(1), 0.0))
    return {name: module.get_parameter(name).shape[1] for name in goals}


@given(weights(), st.sampled_from([float("nan"), float("inf"), -float("inf")]), st.data())
def test_a_weight_that_is_not_finite_is_named(
    weight: Tensor, bad: float, data: st.DataObject
) -> None:
    at = tuple(data.draw(st.integers(0, size - 1)) for size in weight.shape)
    module = linear(weight)
    with torch.no_grad():
        module.weight[at] = bad
    view = data.draw(banks(weight.shape[1]))
    assume(view.layout(*weight.shape).units > 1)
    with pytest.raises(ValueError, match=rf"weight: weight or score at \({at[0]}, {at[1]}\) is "):
        Pruner(module, {"weight": Goal(view, keep=1)})
    assert not list(module.buffers())


@pytest.mark.parametrize("make", [lambda: nn.LSTM(1, 1), lambda: nn.GRUCell(1, 1)])
def test_one_weight_per_row_stays(make: Any) -> None:
    module = make()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    plain = Pruner(module, goals_for(module, Goal(Banks(1), 1.0, tolerance=1.0))).squash()
    assert all(torch.equal(before[name], tensor) for name, tensor in plain.state_dict().items())


def test_another_architecture_is_refused_and_changes_nothing() -> None:
    ours, other = nn.LSTM(12, 16), nn.LSTM(12, 8)
    goals = goals_for(ours, Goal(Banks(2), 0.5))
    pruner, foreign = Pruner(ours, goals), Pruner(other, goals)
    before = {name: mask.clone() for name, mask in pruner.masks().items()}
    with pytest.raises(RuntimeError, match=r"size mismatch for weight_hh_l0_mask"):
        ours.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match=r"shape of weight_hh_l0: saved with \(32, 8\), this pru"):
        pruner.load_state_dict(foreign.state_dict())
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\).*"weight_ih_l0_mask"'):
        nn.LSTM(12, 16).load_state_dict(ours.state_dict())  # squash() is for that
    assert all(torch.equal(before[name], mask) for name, mask in pruner.masks().items())
