"""A GRU of torch in integers: near torch, and equal in torch, NumPy and training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from engine.reference import IntegerModel
from pruning.cells import cell_of
from pruning.integers.calibrate import calibrate, padded
from pruning.integers.qat import Precision, QatClassifier
from pruning.integers.quantise import quantise
from pruning.integers.self_check import dequantised, self_check
from pruning.integers.tensors import apart_biases, joined_bias

FRAMES = [np.random.default_rng(n).standard_normal((6, 10)) for n in range(3)]


def network(**options: Any) -> tuple[nn.GRU, nn.Linear, dict[str, int]]:
    torch.manual_seed(1)
    gru = nn.GRU(10, 12, **options)
    layout = {name: 2 for name, p in gru.named_parameters() if p.ndim == 2}
    return gru, nn.Linear(12 * (1 + gru.bidirectional), 4), layout


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ({}, {}),
        ({"num_layers": 2, "bidirectional": True}, {"per_gate": True, "act_bits": 12}),
        ({"bias": False}, {"value_bits": 8, "act_bits": 8, "per_gate": True}),
    ],
    ids=["plain", "deep", "narrow"],
)
def test_integers_are_near_torch_and_the_same_everywhere(
    options: dict[str, Any], how: dict[str, Any]
) -> None:
    gru, head, layout = network(**options)
    found = quantise(gru, head, layout, FRAMES, **how)
    model = found.model
    assert (model.cell, model.layers[0].bias.shape) == ("gru", (48,))
    bound = 0.05 if how.get("act_bits") == 8 else 0.005
    rows = self_check(gru, head, model, FRAMES, bound)
    assert {row.stage for row in rows} == {"pruned", "weights", "integer"}

    precision = Precision(**{"act_bits": 16} | how)
    formats = precision.formats(gru, head, FRAMES)
    qat = QatClassifier(gru, head, formats)
    frames, lengths = padded(FRAMES)
    with torch.no_grad():
        outputs = qat.lstm(frames, lengths).numpy()
    integer = IntegerModel(model)
    for n, trace in enumerate(integer.run(integer.quantise(FRAMES))):
        fixed = model.layers[-1].output
        np.testing.assert_array_equal(outputs[n, : len(FRAMES[n])], fixed.dequantise(trace.output))
    assert qat.to_model(layout).layers[0].equals(model.layers[0])


def test_biases_of_both_matrices() -> None:
    """Those of n stay apart; torch computes the same of what is made of them."""
    gru, _, layout = network()
    cell = cell_of(gru)
    ih, hh = np.arange(6.0), 10 * np.arange(6.0)
    joined = np.concatenate(joined_bias(cell, np.split(ih, 3), np.split(hh, 3)))
    assert joined.tolist() == [0, 11, 22, 33, 4, 5, 40, 50]
    back = apart_biases(cell, joined)
    assert [part.tolist() for part in back] == [[0, 11, 22, 33, 4, 5], [0, 0, 0, 0, 40, 50]]
    model = quantise(gru, None, layout, FRAMES).model
    real = dequantised(model)
    frames = torch.from_numpy(FRAMES[0])[None]
    with torch.no_grad():
        assert torch.allclose(real(frames)[0], gru.double()(frames[0])[0][None], atol=1e-3)


def test_gradients_reach_all_weights_and_train() -> None:
    gru, head, _ = network(num_layers=2)
    formats = Precision(act_bits=8, value_bits=8).formats(gru, head, FRAMES)
    qat = QatClassifier(gru, head, formats)
    frames, lengths = padded(FRAMES)
    optimizer = torch.optim.Adam(qat.parameters(), lr=0.02)
    losses = []
    for _ in range(25):
        loss = nn.functional.cross_entropy(qat(frames, lengths), torch.tensor([0, 1, 2]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert all(p.grad is not None and p.grad.any() for p in gru.parameters())
    assert losses[-1] < losses[0] / 2


def test_saturations_are_counted_by_sum() -> None:
    gru, _, _ = network()
    with torch.no_grad():
        gru.get_parameter("weight_ih_l0").mul_(40)
    found = calibrate(gru, FRAMES).saturations
    assert {f"pre_l0.{name}" for name in ("r", "z", "nx", "nh", "n")} <= set(found)
    assert found["pre_l0.nx"].clipped
    assert not found["pre_l0.nh"].clipped
