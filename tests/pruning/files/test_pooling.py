"""One way to feed a head: in torch, in integers, and in what the host computes of states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from boards.host.states import States, logits
from compiler.array.needs import check_supported
from csb_format.pooling import POOLS, pooled
from csb_format.scales import DesignError
from engine.reference import IntegerModel
from pruning.files.network import Classifier
from pruning.files.pooling import pooled as pooled_batch
from pruning.integers.qat import Precision, QatClassifier
from pruning.integers.self_check import self_check


def network(directions: int, projection: int = 0) -> tuple[nn.LSTM, nn.Linear]:
    torch.manual_seed(directions)
    both = directions == 2
    lstm = nn.LSTM(5, 8, batch_first=True, bidirectional=both, proj_size=projection)
    return lstm, nn.Linear(directions * (projection or 8), 3)


def sequences() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(size=(n, 5)).astype(np.float32) for n in (4, 1, 7)]


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("projection", [0, 4])
def test_classifier_is_what_a_user_would_write(directions: int, projection: int) -> None:
    lstm, head = network(directions, projection)
    frames = torch.randn(1, 6, 5)
    outputs, (final, _) = lstm(frames)
    wanted = {
        "last": head(outputs[:, -1]),
        "hn": head(torch.cat(list(final), -1)),
        "mean": head(outputs.mean(1)),
        "every": head(outputs),
    }
    assert set(wanted) == set(POOLS)
    # after padding, as a batch has it
    padded = torch.cat([frames, torch.full((1, 3, 5), 9.0)], 1)
    for pool, logit in wanted.items():
        found = Classifier(lstm, head, pool)(padded, torch.tensor([6]))
        found = found[:, :6] if pool == "every" else found
        torch.testing.assert_close(found, logit)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("directions", [1, 2])
def test_integers_of_training_and_of_the_host_are_the_same(pool: str, directions: int) -> None:
    lstm, head = network(directions)
    data = sequences()
    trained = QatClassifier(lstm, head, Precision(8, 8).formats(lstm, head, data), None, pool)
    names = [name for name, p in lstm.named_parameters() if p.ndim == 2]
    model = trained.to_model(dict.fromkeys(names, 1))
    assert model.pool == pool
    padded = nn.utils.rnn.pad_sequence([torch.from_numpy(s) for s in data], batch_first=True)
    found = trained(padded, torch.tensor([len(s) for s in data]))
    integers = IntegerModel(model)
    assert model.head is not None
    scale = model.head.weight_format.frac + model.head.input.frac
    for row, trace in zip(found, integers.run(integers.quantise(data)), strict=True):
        states = States(trace.hidden, trace.cell, trace.output)
        ours = logits(model, states)
        row = row[: len(trace.output)] if pool == "every" else row
        assert (row.detach().numpy() * 2.0**scale).tolist() == ours.tolist()
        assert ours.tolist() == model.head.logits(pooled(trace.output, pool, directions)).tolist()


def test_batch_and_sequence_agree_but_for_rounding() -> None:
    outputs = np.random.default_rng(1).integers(-50, 50, (5, 6))
    batch = torch.from_numpy(outputs).double()[None]
    for pool in POOLS:
        real = pooled_batch(batch, torch.tensor([5]), pool, 2)[0]
        assert torch.floor(real + 0.5).tolist() == pooled(outputs, pool, 2).tolist()


@pytest.mark.parametrize("pool", POOLS)
def test_self_check_judges_the_head_as_it_is_fed(pool: str) -> None:
    lstm, head = network(2)
    data = sequences()
    trained = QatClassifier(lstm, head, Precision(12, 12).formats(lstm, head, data), None, pool)
    names = [name for name, p in lstm.named_parameters() if p.ndim == 2]
    model = trained.to_model(dict.fromkeys(names, 1))
    rows = {(row.stage, row.output): row.relative for row in self_check(lstm, head, model, data)}
    assert rows["pruned", "head"] == 0
    assert 0 < rows["integer", "head"] < 0.05


def test_the_array_does_not_run_a_head_that_takes_the_mean() -> None:
    lstm, head = network(1)
    formats = Precision(8, 8).formats(lstm, head, sequences())
    model = QatClassifier(lstm, head, formats, None, "mean").to_model(
        {"weight_ih_l0": 1, "weight_hh_l0": 1}
    )
    with pytest.raises(DesignError, match=r"takes the mean over time .*leave it to the host"):
        check_supported(model, head=True)
    check_supported(model)
    check_supported(replace(model, pool="hn"), head=True)  # of one direction the last frame's
