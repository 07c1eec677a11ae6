"""A sequence classifier and its training, deterministic for a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from csb_format.arguments import number, one_of, whole

from ..data.datasets import SequenceData
from ..data.wrong_data import IGNORED
from ..training.controls import OPTIMIZERS, SCHEDULES, device_of, optimizer_of, schedule_of
from ..training.numbers import reproducible
from ..training.record import Step

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

LEAST_RATE = 1e-12  # a rate of 0 trains nothing

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
        Its peak, above 0.
    weight_decay : float
        Of the optimizer.
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
    optimizer : {"adamw", "adam", "sgd", "rmsprop"}
    schedule : {"onecycle", "cosine", "constant"}
        Of the learning rate, over all steps of a training.
    device : str
        As torch names it. Shuffling and noise are drawn on the CPU, so that a seed means the same
        everywhere; sums differ in their last bits.

    Raises
    ------
    TypeError, ValueError
        For a number out of range, another optimizer or schedule, or a device that is not there.
    """

    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    batch: int = 32
    noise: float = 0.6
    smoothing: float = 0.1
    clip: float = 1.0
    threads: int = 1
    optimizer: str = "adamw"
    schedule: str = "onecycle"
    device: str = "cpu"

    def __post_init__(self) -> None:
        number("learning_rate", self.learning_rate, LEAST_RATE)
        number("clip", self.clip, LEAST_RATE)
        for name in ("weight_decay", "noise"):
            number(name, getattr(self, name), 0.0)
        number("smoothing", self.smoothing, 0.0, 1.0)
        whole("batch", self.batch, 1)
        whole("threads", self.threads, 1)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("schedule", self.schedule, SCHEDULES)
        device_of(self.device)


def train(
    model: nn.Module,
    data: SequenceData,
    epochs: int,
    seed: int,
    progress: Progress | None = None,
    on_optimizer: Callable[[Optimizer], None] | None = None,
    settings: Training | None = None,
    parameters: Sequence[nn.Parameter] | None = None,
    on_step: Callable[[Step], None] | None = None,
    enough: Callable[[], bool] | None = None,
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
    on_step : callable, optional
        Called after every step of the optimizer.
    enough : callable, optional
        Asked after every epoch, when ``progress`` has been told: true ends the training.

    Returns
    -------
    float
        Mean loss of the last epoch.

    Notes
    -----
    The model is trained on the device of the settings, and comes back to where it was.
    """
    if epochs < 1:
        raise ValueError(f"{epochs} epochs: must be at least 1")
    chosen = settings or Training()
    home, device = _place_of(model), device_of(chosen.device)
    with reproducible(chosen.threads):
        try:
            model.to(device)
            run = _Run(model, data, epochs, seed, chosen, on_optimizer, parameters, on_step)
            return run.run(progress, enough)
        finally:
            model.to(home)


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
        on_step: Callable[[Step], None] | None = None,
    ) -> None:
        self.model, self.epochs, self.settings = model, epochs, settings
        self.device, self.on_step = torch.device(settings.device), on_step
        self.frames, self.lengths = _padded(data)
        self.labels = _labels(data)
        self.random = torch.Generator().manual_seed(seed)
        self.framewise = data.framewise
        self.loss = nn.CrossEntropyLoss(label_smoothing=settings.smoothing)
        self.total = nn.CrossEntropyLoss(
            label_smoothing=settings.smoothing, ignore_index=IGNORED, reduction="sum"
        )
        self.parameters = list(model.parameters() if parameters is None else parameters)
        rate = settings.learning_rate
        self.optimizer = optimizer_of(
            settings.optimizer, self.parameters, rate, settings.weight_decay
        )
        if on_optimizer is not None:
            on_optimizer(self.optimizer)
        steps = epochs * -(-len(data) // settings.batch)
        self.schedule = schedule_of(settings.schedule, self.optimizer, rate, steps)
        self.epoch = self.steps = 0

    def run(self, progress: Progress | None, enough: Callable[[], bool] | None) -> float:
        self.model.train()
        mean = 0.0
        for epoch in range(1, self.epochs + 1):
            self.epoch = epoch
            order = torch.randperm(len(self.labels), generator=self.random)
            parts = torch.split(order, self.settings.batch)
            mean = sum([self.step(part) * len(part) for part in parts], 0.0) / len(order)
            if progress is not None:
                progress(epoch, self.epochs, mean)
            if enough is not None and enough():
                break
        self.model.eval()
        return mean

    def step(self, part: Tensor) -> float:
        lengths = self.lengths[part]
        frames = self.frames[part, : int(lengths.max())]
        frames = frames + self.settings.noise * torch.randn(frames.shape, generator=self.random)
        self.optimizer.zero_grad()
        logits = self.model(frames.to(self.device), lengths.to(self.device))
        loss = self.judged(logits, self.labels[part].to(self.device))
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        self.optimizer.step()
        self._tell(float(loss.detach()), norm)
        self.schedule.step()
        return float(loss.detach())

    def _tell(self, loss: float, norm: Tensor) -> None:
        self.steps += 1
        if self.on_step is not None:
            rate = float(self.optimizer.param_groups[0]["lr"])
            self.on_step(Step(self.epoch, self.steps, loss, rate, float(norm)))

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
    logits = _logits(model, data)
    best = logits.argmax(dim=1)
    return float((best == torch.from_numpy(data.labels)).double().mean())


def _frames_right(model: nn.Module, data: SequenceData) -> int:
    """Some sequences at a time: logits of all frames are many."""
    right = 0
    for first in range(0, len(data), TOGETHER):
        part = data.chosen(range(first, min(first + TOGETHER, len(data))))
        best = _logits(model, part).argmax(dim=-1)
        # of frames that do not count, padding too, no class is the label
        right += int((best == _labels(part)).sum())
    return right


def _logits(model: nn.Module, data: SequenceData) -> Tensor:
    """What a model says, on the CPU; it runs where it is."""
    device = _place_of(model)
    frames, lengths = (tensor.to(device) for tensor in _padded(data))
    with torch.no_grad(), reproducible():
        logits: Tensor = model(frames, lengths).cpu()
    _check_answers(logits, data.framewise)
    return logits


def _place_of(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


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
