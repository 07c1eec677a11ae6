"""Layers whose weights another tool computes: an error with the mend, never another tensor."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import sparseflow as sf
from pruning.doctor.comparison import compare
from pruning.importers.checkpoint import UnsupportedLayerError
from pruning.integers.packing import pack_matrices
from pruning.integers.quantise import quantise
from pruning.mask.goals import Goal, goals_for
from pruning.mask.layers import UnprunableError, matrices
from pruning.mask.pruner import Pruner
from pruning.mask.views import Banks

HALF = Goal(Banks(2), 0.5)
HH = "weight_hh_l0"


def torch_pruned() -> nn.Module:
    lstm = nn.LSTM(8, 16)
    prune.l1_unstructured(lstm, HH, 0.5)
    return lstm


def normalised() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        found: nn.Module = nn.utils.weight_norm(nn.LSTM(8, 16), HH)
        return found


def spectral() -> nn.Module:
    return nn.utils.spectral_norm(nn.LSTM(8, 16), HH)


class Dropped(nn.Module):
    """As fastai's: the raw weight lies in the wrapper."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.LSTM(8, 16)
        weight = self.module.get_parameter(HH)
        delattr(self.module, HH)
        self.register_parameter(f"{HH}_raw", nn.Parameter(weight.data))
        setattr(self.module, HH, weight.clone())


def raw() -> nn.Module:
    """As the AWD-LSTM's: the raw weight lies in the layer, the other is no parameter."""
    lstm = nn.LSTM(8, 16)
    weight = lstm._parameters.pop(HH)
    assert weight is not None
    lstm.register_parameter(f"{HH}_raw", nn.Parameter(weight.data))
    lstm._parameters[HH] = nn.functional.dropout(weight, 0.5)  # type: ignore[assignment]
    return lstm


def computed() -> nn.Module:
    lstm = nn.LSTM(8, 16)
    weight = lstm._parameters.pop(HH)
    assert weight is not None
    setattr(lstm, HH, weight * 1.0)
    return lstm


CASES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "torch.nn.utils.prune": (torch_pruned, "call prune.remove"),
    "weight norm, old": (normalised, "call remove_weight_norm"),
    "weight norm": (
        lambda: parametrizations.weight_norm(nn.LSTM(8, 16), HH),
        "call parametrize.remove_parametrizations",
    ),
    "spectral norm, old": (spectral, "call remove_spectral_norm"),
    "spectral norm": (
        lambda: parametrizations.spectral_norm(nn.LSTM(8, 16), HH),
        "call parametrize.remove_parametrizations",
    ),
    "weight drop": (Dropped, f"delete {HH}_raw, make {HH} a plain Parameter again"),
    "weight drop in the layer": (raw, f"delete {HH}_raw"),
    "anything else": (computed, "make it a plain torch.nn.Parameter again"),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, str]:
    make, mend = CASES[request.param]
    return make(), mend


def test_no_goals_for_a_module_of_which_a_matrix_is_computed(case: tuple[nn.Module, str]) -> None:
    module, mend = case
    before = list(module.state_dict())
    for wanted in (
        lambda: goals_for(module, HALF),
        lambda: goals_for(module, None, {HH[:9]: HALF}),
    ):
        with pytest.raises(UnprunableError, match=mend) as caught:
            wanted()
        assert HH in str(caught.value)
    with pytest.raises(UnprunableError, match=mend):
        sf.prune(nn.ModuleDict({"net": module}), banks=2, sparsity=0.5)
    assert list(module.state_dict()) == before
    assert not any(HH in name for name in matrices(module))


def test_the_matrix_beside_it_is_refused_too(case: tuple[nn.Module, str]) -> None:
    module, mend = case
    (beside,) = [name for name in matrices(module) if "weight_ih" in name]
    with pytest.raises(UnprunableError, match=f"{beside!r} lies beside .*{mend}"):
        Pruner(module, {beside: HALF})


def test_another_tensor_is_never_taken_for_it(case: tuple[nn.Module, str]) -> None:
    module, _ = case
    for name, _ in module.named_parameters():
        if HH in name:
            with pytest.raises(UnprunableError, match=HH):
                Pruner(module, {name: HALF})


def test_a_kind_that_is_left_dense_may_be_computed() -> None:
    module = nn.ModuleDict({"lstm": nn.LSTM(8, 16)})
    module["head"] = parametrizations.weight_norm(nn.Linear(16, 4))
    goals = goals_for(module, None, {"weight_ih": HALF, "weight_hh": HALF})
    assert list(goals) == ["lstm.weight_ih_l0", "lstm.weight_hh_l0"]
    assert Pruner(module, goals).squash() is not module


def test_a_layer_that_torch_cannot_copy_is_named() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(8, 16), nn.Linear(16, 4)

        def forward(self, frames: Tensor) -> Tensor:
            found: Tensor = self.head(self.lstm(frames)[0])
            return found

    net = Net()
    prune.l1_unstructured(net.head, "weight", 0.5)
    pruner = Pruner(net, {"lstm.weight_ih_l0": HALF})
    net(torch.ones(2, 8))
    with pytest.raises(UnprunableError, match=r"'head.weight' cannot be copied: it .*prune.remove"):
        pruner.squash()


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: nn.LazyLinear(4), "has no shape yet"),
        (lambda: nn.Linear(4, 4, device="meta"), "is on the meta device"),
        (lambda: nn.Embedding(4, 4, sparse=True), "is sparse or gets sparse gradients"),
    ],
)
def test_no_matrix_is_left_out_without_a_word(make: Callable[[], nn.Module], kind: str) -> None:
    module = nn.ModuleDict({"good": nn.Linear(4, 4), "bad": make()})
    with pytest.raises(UnprunableError, match=f"'bad.weight' {kind}.*or leave it dense"):
        goals_for(module, HALF)


def test_comparison_leaves_none_out_either() -> None:
    with pytest.raises(UnprunableError, match="call prune"):
        compare(torch_pruned(), {"b": Banks(2)}, 0.5, lambda *_: None, lambda _: 0.0)


def test_what_a_computed_layer_has_now_is_not_quantised() -> None:
    """Between two forward passes its attribute is older than what it is computed from."""
    lstm = torch_pruned()
    layout = {"weight_ih_l0": 2, HH: 2}
    with pytest.raises(UnsupportedLayerError, match=f"{HH} is pruned by torch.nn.utils.prune"):
        quantise(lstm, None, layout, [torch.ones(3, 8).numpy()])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"'{HH}' is pruned by torch.nn.utils.prune: call"):
        pack_matrices(lstm, {HH: 2})
