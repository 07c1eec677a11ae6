"""Labels of frames: their loss, their score, and who must answer for each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pruning.files.network import Classifier
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.networks import sequence
from pruning.tasks.networks.sequence import Training, accuracy, answers, train

LENGTHS = (4, 1, 6, 2)
LABELS = np.array([0, -1, 2, 1, -1, 0, 0, 1, 2, -1, 1, 2, 2])


def data() -> SequenceData:
    random = np.random.default_rng(0)
    frames = tuple(random.normal(size=(n, 3)).astype(np.float32) for n in LENGTHS)
    return SequenceData(frames, LABELS, framewise=True)


def network(directions: int = 1, pool: str = "every") -> Classifier:
    torch.manual_seed(1)
    lstm = nn.LSTM(3, 4, bidirectional=directions == 2)
    return Classifier(lstm, nn.Linear(4 * directions, 3), pool)


def logits(model: Classifier) -> torch.Tensor:
    """Of every frame, one sequence at a time: nothing is padded."""
    each = [
        model.head(model.recurrent(torch.from_numpy(frames)[None])[0][0])
        for frames in data().sequences
    ]
    return torch.cat(each)


@pytest.mark.parametrize("directions", [1, 2])
def test_the_loss_is_the_mean_of_the_frames_that_count(directions: int) -> None:
    model = network(directions)
    wanted = cross_entropy(logits(model), torch.from_numpy(LABELS), ignore_index=-1).detach()
    settings = Training(noise=0.0, smoothing=0.0, batch=9)
    found = train(model, data(), 1, 0, settings=settings)
    assert found == pytest.approx(float(wanted), rel=1e-5)


def test_a_batch_in_which_no_frame_counts_moves_nothing() -> None:
    silent = SequenceData(data().sequences[:2], np.full(5, -1), framewise=True)
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert train(model, silent, 2, 0, settings=Training(weight_decay=0.0)) == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("directions", [1, 2])
def test_the_score_is_of_the_frames_that_count(
    directions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(directions)
    best, counts = logits(model).argmax(1).numpy(), LABELS != -1
    monkeypatch.setattr(sequence, "TOGETHER", 3)
    assert accuracy(model, data()) == pytest.approx((best == LABELS)[counts].mean())


@pytest.mark.parametrize(("directions", "spread"), [(1, 1e30), (2, 1e-25)])
def test_the_loss_of_numbers_is_their_mean_square_in_units_of_their_spread(
    directions: int, spread: float
) -> None:
    model = network(directions)
    assert isinstance(model.head, nn.Linear)
    with torch.no_grad():  # a network that says numbers of that size
        model.head.weight.mul_(spread)
        model.head.bias.mul_(spread)
    targets = np.random.default_rng(1).normal(0, spread, (len(LABELS), 3))
    numbers = SequenceData(data().sequences, np.zeros(len(LABELS), int), "", True, targets)
    squares = (logits(model).detach().double().numpy() - targets) ** 2
    assert answers(model, numbers).score().figures["mse"] == pytest.approx(squares.mean())
    found = train(model, numbers, 1, 0, settings=Training(batch=9))
    assert found == pytest.approx(squares.mean() / targets.var(axis=0).mean(), rel=1e-5)


def test_training_brings_numbers_nearer() -> None:
    sequences = data().sequences
    targets = np.array([[frames.sum() * 100] * 3 for frames in sequences]).astype(np.float64)
    numbers = SequenceData(sequences, np.zeros(len(sequences), int), targets=targets)
    model = network(pool="last")
    before = answers(model, numbers).score().worth
    train(model, numbers, 20, 0, settings=Training(0.1, weight_decay=0.0))
    assert answers(model, numbers).score().worth > before
    with pytest.raises(ValueError, match=r"targets are numbers, which are not right or wrong"):
        accuracy(model, numbers)


def test_the_network_must_answer_for_what_has_labels() -> None:
    of_sequences = SequenceData(data().sequences, np.array([0, 1, 2, 0]))
    with pytest.raises(ValueError, match=r"answer for each sequence .* a label for each frame"):
        accuracy(network(pool="last"), data())
    with pytest.raises(ValueError, match=r"answer for each sequence .* a label for each frame"):
        train(network(pool="last"), data(), 1, 0)
    with pytest.raises(ValueError, match=r"answer for each frame .* a label for each sequence"):
        accuracy(network(), of_sequences)
