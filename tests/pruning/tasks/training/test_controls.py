"""What may be chosen of a training does what its name says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.networks.sequence import SequenceClassifier, Training, train
from pruning.tasks.training.controls import OPTIMIZERS, SCHEDULES, device_of
from pruning.tasks.training.record import Step


def data() -> SequenceData:
    random = np.random.default_rng(1)
    frames = [random.normal(size=(n % 3 + 2, 4)).astype(np.float32) for n in range(8)]
    return SequenceData(tuple(frames), np.arange(8, dtype=np.int64) % 3)


def steps(epochs: int = 3, **settings: Any) -> tuple[list[Step], SequenceClassifier]:
    seen: list[Step] = []
    model = SequenceClassifier(4, 4, 3, seed=0)
    train(
        model, data(), epochs, 0, settings=Training(batch=4, noise=0.0, **settings),
        on_step=seen.append,
    )  # fmt: skip
    return seen, model


def test_every_optimizer_trains_in_its_own_way() -> None:
    found = {}
    for name in OPTIMIZERS:
        seen, model = steps(optimizer=name, schedule="constant", learning_rate=0.01)
        assert [(s.epoch, s.step) for s in seen] == [
            (1, 1), (1, 2), (2, 3), (2, 4), (3, 5), (3, 6),
        ]  # fmt: skip
        assert min(s.gradient_norm for s in seen) > 0
        found[name] = model.head.weight.detach()
    first, *others = found.values()
    assert all(not torch.equal(first, other) for other in others)


def test_every_schedule_has_its_shape() -> None:
    rates = {
        name: [s.learning_rate for s in steps(schedule=name, learning_rate=0.5)[0]]
        for name in SCHEDULES
    }
    assert rates["constant"] == [0.5] * 6
    assert rates["cosine"][0] == 0.5
    assert rates["cosine"] == sorted(rates["cosine"], reverse=True)
    assert rates["onecycle"].index(max(rates["onecycle"])) not in (0, 5)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"optimizer": "lion"}, "optimizer = 'lion': must be one of adamw"),
        ({"schedule": "step"}, "schedule = 'step': must be one of onecycle"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0: must be a number, at least"),
        ({"batch": 0}, "batch = 0: must be at least 1"),
        ({"device": "abacus"}, "device 'abacus': PyTorch .* sees cpu"),
        ({"device": "cpu:7"}, "device 'cpu:7': PyTorch"),
    ],
)
def test_what_is_not_there_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Training(**settings)


def test_the_cpu_is_there() -> None:
    assert device_of("cpu") == torch.device("cpu")
