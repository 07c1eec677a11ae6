"""A sequence classifier and its training, deterministic for a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from ..data.datasets import SequenceData
from ..data.wrong_data import IGNORED
from ..training.numbers import reproducible

__all__ = [
    "Progress",
    "SequenceClassifier",
    "Training",
    "accuracy",
    "biases_first",
    "train",
]

#: Sequences whose frames are scored at a time.
TOGETHER = 64

Progress = Callable[[int, int, float], None]


class SequenceClassifier(nn.Module):
    """One LSTM layer and a linear head on the hidden state of the last frame.

    Parameters
    ----------
    input_size, hidden_size, classes : int
    seed : int
        Of the initial weights; the global generator is left alone.
    """

    def __init__(
        self, input_size: int = 12, hidden_size: int = 128, classes: int = 9, seed: int = 0
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
            self.head = nn.Linear(hidden_size, classes)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Logits of a padded batch.

        Parameters
        ----------
        frames : Tensor
            float32 (B, T, X); frames at and after ``lengths`` are ignored.
        lengths : Tensor
            int64 (B,), 1..T.

        Returns
        -------
        Tensor
            float32 (B, classes).
        """
        hidden, _ = self.lstm(frames)
        # The layer is causal: padding after the last frame cannot change that frame's state.
        last: Tensor = hidden[torch.arange(len(lengths)), lengths - 1]
        logits: Tensor = self.head(last)
        return logits


@dataclass(frozen=True)
class Training:
    """How to train; the defaults were chosen by cross-validation on training data.

    Parameters
    ----------
    learning_rate : float
        Peak of a one-cycle schedule of AdamW.
    weight_decay : float
        Of AdamW.
    batch : int
        Sequences per step.
    noise : float
        Standard deviation of Gaussian noise added to the normalised frames.
    smoothing : float
        Label smoothing, 0..1.
    clip : float
        Largest gradient norm.
    threads : int
        Threads of torch during training. One is fastest for layers this small, and leaves
        nothing to an order of summation.
    """

    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    batch: int = 32
    noise: float = 0.6
    smoothing: float = 0.1
    clip: float = 1.0
    threads: int = 1


def train(
    model: nn.Module,
    data: SequenceData,
    epochs: int,
    seed: int,
    progress: Progress | None = None,
    on_optimizer: Callable[[Optimizer], None] | None = None,
    settings: Training | None = None,
    parameters: Sequence[nn.Parameter] | None = None,
) -> float:
    """Train in place with cross entropy.

    Parameters
    ----------
    model : nn.Module
        Called as :meth:`SequenceClassifier.forward`.
    data : SequenceData
        Normalised.
    epochs : int
        At least 1.
    seed : int
        Of the shuffling and the noise. Same seed, same machine, same weights.
    progress : callable, optional
        Called after every epoch with (epoch from 1, epochs, mean loss).
    on_optimizer : callable, optional
        Called with the new optimizer, e.g. ``Pruner.attach``.
    settings : Training, optional
    parameters : sequence of nn.Parameter, optional
        What to train, by default all. Their order is that in which squares are added to the
        norm of the gradient: another one changes the last bit.

    Returns
    -------
    float
        Mean loss of the last epoch.
    """
    if epochs < 1:
        raise ValueError(f"{epochs} epochs: must be at least 1")
    chosen = settings or Training()
    with reproducible(chosen.threads):
        run = _Run(model, data, epochs, seed, chosen, on_optimizer, parameters)
        return run.run(progress)


class _Run:
    def __init__(
        self,
        model: nn.Module,
        data: SequenceData,
        epochs: int,
        seed: int,
        settings: Training,
        on_optimizer: Callable[[Optimizer], None] | None,
        parameters: Sequence[nn.Parameter] | None,
    ) -> None:
        self.model, self.epochs, self.settings = model, epochs, settings
        self.frames, self.lengths = _padded(data)
        self.labels = _labels(data)
        self.random = torch.Generator().manual_seed(seed)
        self.framewise = data.framewise
        self.loss = nn.CrossEntropyLoss(label_smoothing=settings.smoothing)
        self.total = nn.CrossEntropyLoss(
            label_smoothing=settings.smoothing, ignore_index=IGNORED, reduction="sum"
        )
        self.parameters = list(model.parameters() if parameters is None else parameters)
        self.optimizer = AdamW(
            self.parameters, settings.learning_rate, weight_decay=settings.weight_decay
        )
        if on_optimizer is not None:
            on_optimizer(self.optimizer)
        steps = epochs * -(-len(data) // settings.batch)
        self.schedule = OneCycleLR(self.optimizer, settings.learning_rate, steps)

    def run(self, progress: Progress | None) -> float:
        self.model.train()
        mean = 0.0
        for epoch in range(1, self.epochs + 1):
            order = torch.randperm(len(self.labels), generator=self.random)
            parts = torch.split(order, self.settings.batch)
            mean = sum([self.step(part) * len(part) for part in parts], 0.0) / len(order)
            if progress is not None:
                progress(epoch, self.epochs, mean)
        self.model.eval()
        return mean

    def step(self, part: Tensor) -> float:
        lengths = self.lengths[part]
        frames = self.frames[part, : int(lengths.max())]
        frames = frames + self.settings.noise * torch.randn(frames.shape, generator=self.random)
        self.optimizer.zero_grad()
        loss = self.judged(self.model(frames, lengths), self.labels[part])
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        self.optimizer.step()
        self.schedule.step()
        return float(loss.detach())

    def judged(self, logits: Tensor, labels: Tensor) -> Tensor:
        _check_answers(logits, self.framewise)
        if not self.framewise:
            loss: Tensor = self.loss(logits, labels)
            return loss
        labels = labels[:, : logits.shape[1]]
        # A batch in which no frame counts has no mean; it moves nothing.
        count = (labels != IGNORED).sum().clamp(min=1)
        total: Tensor = self.total(logits.flatten(0, 1), labels.flatten()) / count
        return total


def biases_first(model: nn.Module) -> list[nn.Parameter]:
    """List parameters, those called ``bias_...`` (of recurrent layers) before all others.

    For ``train(..., parameters=)``: the figures in ``bench/results/`` were made with gradient
    norms summed in this order, and a last bit decides a whole run.
    """
    named = sorted(model.named_parameters(), key=lambda item: "bias_" not in item[0])
    return [parameter for _, parameter in named]


def accuracy(model: nn.Module, data: SequenceData) -> float:
    """Share of sequences whose largest logit is their label, 0..1; or of the frames that count."""
    model.eval()
    if data.framewise:
        return _frames_right(model, data) / data.counted
    frames, lengths = _padded(data)
    with torch.no_grad(), reproducible():
        logits = model(frames, lengths)
    _check_answers(logits, data.framewise)
    best = logits.argmax(dim=1)
    return float((best == torch.from_numpy(data.labels)).double().mean())


def _frames_right(model: nn.Module, data: SequenceData) -> int:
    """Some sequences at a time: logits of all frames are many."""
    right = 0
    for first in range(0, len(data), TOGETHER):
        part = data.chosen(range(first, min(first + TOGETHER, len(data))))
        frames, lengths = _padded(part)
        with torch.no_grad(), reproducible():
            logits = model(frames, lengths)
        _check_answers(logits, data.framewise)
        best = logits.argmax(dim=-1)
        # of frames that do not count, padding too, no class is the label
        right += int((best == _labels(part)).sum())
    return right


def _check_answers(logits: Tensor, framewise: bool) -> None:
    """Refuse one answer a sequence where frames have labels, and the other way round."""
    if (logits.ndim == 3) != framewise:
        answers, labels = "each sequence", "each frame"
        if not framewise:
            answers, labels = labels, answers
        raise ValueError(
            f"the network gives an answer for {answers} (logits {tuple(logits.shape)}), the data "
            f"has a label for {labels}: feed the head otherwise (pool='every' is at every "
            "frame), or give other labels"
        )


def _labels(data: SequenceData) -> Tensor:
    """Labels (sequences,), or (sequences, T) with what does not count behind the last frame."""
    if not data.framewise:
        return torch.from_numpy(data.labels)
    each = [torch.from_numpy(labels) for labels in data.by_sequence]
    return nn.utils.rnn.pad_sequence(each, batch_first=True, padding_value=IGNORED)


def _padded(data: SequenceData) -> tuple[Tensor, Tensor]:
    frames = [torch.from_numpy(sequence) for sequence in data.sequences]
    lengths = torch.tensor([len(sequence) for sequence in data.sequences])
    return nn.utils.rnn.pad_sequence(frames, batch_first=True), lengths
