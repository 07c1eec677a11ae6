"""Real numbers by name: read once, or made on demand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sparseflow as sf
from csb_format.fixed import Fixed, ends
from csb_format.model import GateFormats
from pruning.integers import hardware_exact
from pruning.integers.tensors import OnDemand, RealTensors, real_tensors


def test_ends_have_zero_among_them() -> None:
    assert ends(np.array([[2.0, 3.0], [1.0, 5.0]])) == (0.0, 5.0)
    assert ends(np.arange(-6.0, 0.0).reshape(2, 3).T) == (-6.0, 0.0)
    assert ends(np.zeros((0, 3))) == (0.0, 0.0)
    assert np.isnan(ends(np.array([1.0, np.nan, -1.0]))).all()


def test_what_is_clipped_is_counted_by_quarters() -> None:
    tensors = RealTensors()
    tensors.put("weight", np.array([[1.0], [-3.0], [0.25], [2.0]]))
    assert tensors.magnitude("weight") == 3.0
    assert tensors.clipped("weight", Fixed(8, 5)) == 0
    assert tensors.clipped("weight", Fixed(8, 6)) == 2
    assert tensors.clipped("weight", (Fixed(8, 6), Fixed(8, 5), Fixed(8, 6), Fixed(8, 6))) == 1


def test_weights_share_the_memory_of_the_module() -> None:
    lstm = nn.LSTM(4, 8)
    real = real_tensors(lstm, None)
    assert np.shares_memory(
        real["weight_ih_l0"], lstm.get_parameter("weight_ih_l0").detach().numpy()
    )


def test_tensors_on_demand_are_not_kept() -> None:
    made: list[str] = []

    def make(name: str) -> Tensor:
        made.append(name)
        return torch.zeros(1)

    tensors = OnDemand(["a", "b"], make)
    assert list(tensors) == ["a", "b"]
    assert len(tensors) == 2
    assert tensors["a"] is not tensors["a"]
    assert made == ["a", "a"]


@pytest.mark.parametrize(
    "formats", [Fixed(8, 6), (Fixed(8, 6), Fixed(8, 5), Fixed(8, 7), Fixed(8, 4))]
)
def test_rounding_some_rows_at_a_time_is_rounding_all(
    formats: GateFormats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware_exact, "_ROWS", 3)
    real = torch.randn(32, 5)
    at_once = hardware_exact.quantise_exact(real.double(), formats)
    assert torch.equal(hardware_exact._matrix(real, formats), at_once)
    assert torch.equal(hardware_exact._matrix(real.requires_grad_(), formats), at_once)


@pytest.mark.parametrize("shared", [False, True])
def test_a_squashed_module_shares_weights_only_when_asked(shared: bool) -> None:
    lstm = nn.LSTM(8, 8)
    pruner = sf.prune(lstm, banks=4, sparsity=0.5)
    plain = pruner.squash(shared=shared)
    same = (
        plain.get_parameter("weight_ih_l0").data_ptr()
        == lstm.get_parameter("weight_ih_l0").data_ptr()
    )
    assert same == shared
    assert not dict(plain.named_buffers())
    assert len(pruner.masks()) == 2  # the pruned module still has them
