"""The cross entropy of many classes, a few rows at a time, against torch's of all."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from pruning.tasks.networks.entropy import mean_cross_entropy


@pytest.mark.parametrize("rows", [1, 32, 75])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-8)])
def test_loss_and_gradient_are_torchs(rows: int, dtype: torch.dtype, near: float) -> None:
    dice = torch.Generator().manual_seed(1)
    logits = (30 * torch.randn(rows, 50, generator=dice)).to(dtype).requires_grad_()
    targets = torch.randint(0, 50, (rows,), generator=dice)
    wanted = cross_entropy(logits.double(), targets)
    found = mean_cross_entropy(logits, targets)
    assert found.dtype == torch.float32
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    for times in (1, 3):
        (right,) = torch.autograd.grad(times * wanted, logits, retain_graph=True)
        (ours,) = torch.autograd.grad(times * found, logits, retain_graph=True)
        assert ours.dtype == dtype
        torch.testing.assert_close(ours, right, rtol=2 * near, atol=near / rows)


def test_without_a_gradient_it_is_torchs_own() -> None:
    logits, targets = torch.randn(3, 5), torch.tensor([0, 4, 2])
    assert mean_cross_entropy(logits, targets) == cross_entropy(logits, targets)
