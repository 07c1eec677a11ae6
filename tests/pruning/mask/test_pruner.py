"""Every layer that torch has for sequences: masks, gradients, forward pass, squash."""

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from pruning.mask.goals import Goal, goals_for, n_of_m
from pruning.mask.layers import matrices
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Increments, Linear
from pruning.mask.views import Banks, Blocks, Rows, Unstructured, View, check_pattern, row_balanced

HALF = Goal(Banks(2), 0.5)
BATCH, STEPS, WIDTH = 3, 5, 12


class Cells(nn.Module):
    def __init__(self, cell: nn.LSTMCell | nn.GRUCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, frames: Tensor) -> Tensor:
        state: Any = None
        for frame in frames:
            state = self.cell(frame, state)
        last: Tensor = state[0] if isinstance(state, tuple) else state
        return last


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.lstm = nn.LSTM(8, 8)
        self.decode = nn.Linear(8, 20, bias=False)
        self.decode.weight = self.embed.weight

    def forward(self, frames: Tensor) -> Tensor:
        tokens = (frames[..., 0].abs() * 7).long() % 20
        logits: Tensor = self.decode(self.lstm(self.embed(tokens))[0])
        return logits


class Packed(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.lstm = nn.LSTM(WIDTH, 16, **options)

    def forward(self, frames: Tensor) -> Tensor:
        lengths = torch.tensor([STEPS, 3, 1])
        packed: PackedSequence = self.lstm(pack_padded_sequence(frames, lengths))[0]
        return packed.data


class First(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, frames: Tensor) -> Tensor:
        made = self.layer(frames)
        hidden: Tensor = made[0] if isinstance(made, tuple) else made
        return hidden


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: First(nn.LSTM(WIDTH, 16)),
    "stacked": lambda: First(nn.LSTM(WIDTH, 16, num_layers=3, dropout=0.5)),
    "bidirectional": lambda: First(nn.LSTM(WIDTH, 16, num_layers=2, bidirectional=True)),
    "projected": lambda: First(nn.LSTM(WIDTH, 16, 2, proj_size=8, bidirectional=True)),
    "no bias": lambda: First(nn.LSTM(WIDTH, 16, bias=False, batch_first=True)),
    "packed": lambda: Packed(num_layers=2, bidirectional=True, proj_size=8),
    "packed, no bias": lambda: Packed(bias=False),
    "gru": lambda: First(nn.GRU(WIDTH, 16, 2, bidirectional=True)),
    "rnn": lambda: First(nn.RNN(WIDTH, 16)),
    "lstm cell": lambda: Cells(nn.LSTMCell(WIDTH, 16)),
    "gru cell": lambda: Cells(nn.GRUCell(WIDTH, 16, bias=False)),
    "linear": lambda: nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh(), nn.Linear(8, 6)),
    "tied": Tied,
}
VIEWS: dict[str, View] = {
    "banks": Banks(4),
    "bank width": Banks(width=5),
    "rows of blocks": Blocks(2, 2, balanced=True),
    "blocks": Blocks(3, 4),
    "row-balanced": row_balanced(),
    "rows": Rows(),
    "unstructured": Unstructured(),
}


def made(kind: str, seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(seed)
    return LAYERS[kind]().to(dtype)


def frames(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(STEPS, BATCH, WIDTH, generator=torch.Generator().manual_seed(1)).to(dtype)


def trained(
    module: nn.Module, pruner: Pruner[nn.Module], optimizer: torch.optim.Optimizer, steps: int = 3
) -> None:
    dtype = next(module.parameters()).dtype
    for _ in range(steps):
        optimizer.zero_grad()
        module(frames(dtype)).float().square().sum().backward()
        optimizer.step()
        pruner.step()


def output(module: nn.Module) -> Tensor:
    module.eval()
    with torch.no_grad():
        made: Tensor = module(frames(next(module.parameters()).dtype))
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", LAYERS)
def test_every_layer_trains_sparse_and_squashes_plain(kind: str, dtype: torch.dtype) -> None:
    module, fresh = made(kind, dtype=dtype), made(kind, 5, dtype)
    names = list(module.state_dict())
    pruner = Pruner(module, goals_for(module, HALF), Increments(2, 2), mask_gradients=True)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01, weight_decay=0.1)
    pruner.attach(optimizer)
    trained(module, pruner, optimizer)
    for name in pruner.matrices:
        weight, mask = pruner.weight(name), pruner.mask(name)
        check_pattern(Banks(2), mask, pruner.targets[name])
        assert pruner.keep[name] < pruner.goals[name].view.layout(*weight.shape).units
        assert not weight[~mask].any()
        assert weight[mask].all()
        assert weight.grad is not None
        assert not weight.grad[~mask].any()
    plain = pruner.squash()
    assert type(plain) is type(fresh)
    assert list(plain.state_dict()) == names
    fresh.load_state_dict(plain.state_dict(), strict=True)
    assert torch.equal(output(fresh), output(module))
    assert torch.equal(output(plain), output(module))


@pytest.mark.parametrize("kind", LAYERS)
def test_forward_is_that_of_a_dense_module_with_masked_weights(kind: str) -> None:
    module, plain = made(kind), made(kind)
    output(module)  # anything that caches weights has now seen the dense ones
    pruner = Pruner(module, goals_for(module, HALF))
    with torch.no_grad():
        for name in pruner.matrices:
            plain.get_parameter(name).mul_(pruner.mask(name))
    assert torch.equal(output(module), output(plain))
    assert not torch.equal(output(module), output(made(kind)))


@pytest.mark.parametrize("kind", ["projected", "packed", "gru"])
def test_flattened_weights_are_the_parameters(kind: str) -> None:
    # pytorch#33618: after prune.remove the list that the kernels read is another.
    pruner = Pruner(module := made(kind), goals_for(module, HALF))
    for net in (module, pruner.squash(), copy.deepcopy(module)):
        for layer in net.modules():
            if isinstance(layer, nn.RNNBase):
                named = [getattr(layer, name) for name in layer._flat_weights_names]
                assert [id(p) for p in layer._flat_weights] == [id(p) for p in named]


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_trains(view: str) -> None:
    module = made("projected")
    goal = Goal(VIEWS[view], 0.5, tolerance=0.3)
    pruner = Pruner(module, goals_for(module, goal), Linear(0, 3))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    trained(module, pruner, optimizer)
    for state in pruner.report():
        assert state.keep == state.target
        check_pattern(VIEWS[view], pruner.mask(state.matrix.name), state.keep)


def test_tied_weights_are_masked_once_and_stay_tied() -> None:
    module = made("tied")
    assert matrices(module)["embed.weight"].tied == ("decode.weight",)
    assert matrices(module)["embed.weight"].kind == "linear"
    pruner = Pruner(module, {"decode.weight": HALF})
    assert [n for n in module.state_dict() if n.endswith("_mask")] == ["embed.weight_mask"]
    assert pruner.mask("decode.weight") is pruner.mask("embed.weight")
    plain = pruner.squash()
    assert plain.get_parameter("decode.weight") is plain.get_parameter("embed.weight")
    assert int((plain.get_parameter("embed.weight") == 0).sum()) == 80


def test_one_shared_matrix_has_one_goal() -> None:
    goals = {"embed.weight": HALF, "decode.weight": Goal(Banks(2), 0.25)}
    with pytest.raises(ValueError, match=r"decode.weight shares its weights with embed"):
        Pruner(made("tied"), goals)


def test_matrices_of_one_lstm_have_goals_of_their_own() -> None:
    module = made("projected")
    by_kind = {"weight_ih": n_of_m(1, 4), "weight_hr": Goal(Banks(width=3), keep=1)}
    pruner = Pruner(module, goals_for(module, Goal(Banks(4), 0.5), by_kind))
    achieved = {s.matrix.name.removeprefix("layer."): s.achieved for s in pruner.report()}
    assert achieved["weight_ih_l0"] == achieved["weight_ih_l1_reverse"] == 0.75
    assert achieved["weight_hh_l0"] == achieved["weight_hh_l1_reverse"] == 0.5
    assert achieved["weight_hr_l0"] == 1 - 6 / 16  # 16 columns in banks of 3: 6 banks
    assert pruner.sparsity() == pytest.approx(
        sum(s.achieved * s.matrix.shape[0] * s.matrix.shape[1] for s in pruner.report())
        / sum(s.matrix.shape[0] * s.matrix.shape[1] for s in pruner.report())
    )


def test_ragged_width_153_keeps_exact_counts() -> None:
    module = nn.LSTM(153, 32)
    pruner = Pruner(module, {"weight_ih_l0": Goal(Banks(16), 0.875)})
    counts = pruner.mask("weight_ih_l0").split(10, dim=1)  # 15 banks of 10, one of 3
    assert [set(bank.sum(1).tolist()) for bank in counts] == [{1}] * 16
    geometry = Banks(16).geometry(128, 153, pruner.keep["weight_ih_l0"])
    assert pruner.report()[0].achieved == pytest.approx(geometry.sparsity)


def test_sparsity_grows_and_never_revives() -> None:
    module = made("lstm")
    pruner = Pruner(module, goals_for(module, Goal(Banks(4), 0.75, tolerance=0.1)), Linear(0, 4))
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    seen = [pruner.mask("layer.weight_hh_l0").clone()]
    for _ in range(4):
        trained(module, pruner, optimizer, 1)
        seen.append(pruner.mask("layer.weight_hh_l0").clone())
    assert all(not (later & ~earlier).any() for earlier, later in pairwise(seen))
    assert [int(mask.sum()) for mask in seen] == [1024, 768, 768, 512, 256]


def test_state_dict_keeps_masks() -> None:
    module, other = made("lstm"), made("lstm", 5)
    pruner = Pruner(module, goals_for(module, HALF))
    loaded = Pruner(other, goals_for(other, HALF))
    other.load_state_dict(module.state_dict(), strict=True)
    for name in pruner.matrices:
        assert torch.equal(loaded.mask(name), pruner.mask(name))
    trained(other, loaded, torch.optim.SGD(other.parameters(), lr=0.1), 1)
    assert not loaded.weight("layer.weight_hh_l0")[~pruner.mask("layer.weight_hh_l0")].any()


def test_squashing_leaves_the_pruned_module_as_it_was() -> None:
    module = made("lstm")
    pruner = Pruner(module, goals_for(module, HALF))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    first = pruner.squash()
    trained(module, pruner, optimizer, 2)
    assert not torch.equal(output(first), output(module))
    assert torch.equal(output(pruner.squash()), output(module))
    Pruner(first, goals_for(first, HALF))  # a plain module can be pruned again


def test_prune_runs_ahead_of_the_schedule_and_is_not_undone() -> None:
    module = made("lstm")
    pruner = Pruner(module, goals_for(module, Goal(Banks(4), 0.75, tolerance=0.1)), Linear(0, 100))
    pruner.prune({"layer.weight_hh_l0": 2})
    pruner.step()
    assert pruner.keep == {"layer.weight_ih_l0": 3, "layer.weight_hh_l0": 2}
    pruner.prune()
    assert pruner.keep == pruner.targets
    with pytest.raises(ValueError, match=r"layer.weight_hh_l0: keep 3: must be 1 to 1 units"):
        pruner.prune({"layer.weight_hh_l0": 3})
    with pytest.raises(ValueError, match=r"bias is not pruned: choose from layer.weight_ih"):
        pruner.prune({"bias": 1})
