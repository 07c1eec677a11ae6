"""A sequence classifier and its training, deterministic for a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from csb_format.arguments import number, one_of, whole

from ..data.datasets import SequenceData
from ..data.targets import check_outputs
from ..data.wrong_data import IGNORED
from ..scores.answers import Answers
from ..training.controls import OPTIMIZERS, SCHEDULES, device_of, optimizer_of, schedule_of
from ..training.numbers import reproducible
from ..training.record import Step

__all__ = [
    "Progress",
    "SequenceClassifier",
    "Training",
    "accuracy",
    "answers",
    "biases_first",
    "first_loss",
    "train",
]

#: Sequences whose frames are scored at a time.
TOGETHER = 64
NOISE = 0.6

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
    noise : float, optional
        Standard deviation of Gaussian noise added to the normalised frames; by default 0.6, and
        none where targets are numbers, which it would blur.
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
    noise: float | None = None
    smoothing: float = 0.1
    clip: float = 1.0
    threads: int = 1
    optimizer: str = "adamw"
    schedule: str = "onecycle"
    device: str = "cpu"

    def __post_init__(self) -> None:
        number("learning_rate", self.learning_rate, LEAST_RATE)
        number("clip", self.clip, LEAST_RATE)
        number("weight_decay", self.weight_decay, 0.0)
        if self.noise is not None:
            number("noise", self.noise, 0.0)
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
    """Train in place with cross entropy, or by the mean squared error of targets.

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
        self.wanted = _wanted(data)
        self.random = torch.Generator().manual_seed(seed)
        self.noise = NOISE if settings.noise is None and data.targets is None else settings.noise
        self.data, self.loss = data, _loss(data, settings.smoothing)
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
            order = torch.randperm(len(self.wanted), generator=self.random)
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
        if self.noise is not None:
            frames = frames + self.noise * torch.randn(frames.shape, generator=self.random)
        self.optimizer.zero_grad()
        logits = self.model(frames.to(self.device), lengths.to(self.device))
        _check_answers(logits, self.data)
        wanted = self.wanted[part].to(self.device)
        loss = self.loss(logits, wanted[:, : logits.shape[1]] if self.data.framewise else wanted)
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


def _loss(data: SequenceData, smoothing: float) -> Callable[[Tensor, Tensor], Tensor]:
    """What is made small: cross entropy of classes, the mean squared error of numbers."""
    if data.targets is not None:
        # In units of what a constant would have: whatever the targets' units, one learning rate.
        spread = float(data.targets.var(axis=0).mean()) ** 0.5 or 1.0
        return partial(_squares, spread)
    if not data.framewise:
        return nn.CrossEntropyLoss(label_smoothing=smoothing)
    total = nn.CrossEntropyLoss(label_smoothing=smoothing, ignore_index=IGNORED, reduction="sum")
    return partial(_of_frames, total)


def _squares(spread: float, given: Tensor, targets: Tensor) -> Tensor:
    counts = ~targets.isnan()
    # Divided before they are squared: float32 holds the square of no number beyond 1e19.
    off = (given[counts] - targets[counts].to(given.dtype)) / spread
    return off.square().mean()


def _of_frames(total: nn.Module, logits: Tensor, labels: Tensor) -> Tensor:
    # A batch in which no frame counts has no mean; it moves nothing.
    count = (labels != IGNORED).sum().clamp(min=1)
    loss: Tensor = total(logits.flatten(0, 1), labels.flatten()) / count
    return loss


def biases_first(model: nn.Module) -> list[nn.Parameter]:
    """List parameters, those called ``bias_...`` (of recurrent layers) before all others.

    For ``train(..., parameters=)``: the figures in ``bench/results/`` were made with gradient
    norms summed in this order, and a last bit decides a whole run.
    """
    named = sorted(model.named_parameters(), key=lambda item: "bias_" not in item[0])
    return [parameter for _, parameter in named]


def accuracy(model: nn.Module, data: SequenceData) -> float:
    """Share of sequences whose largest logit is their label, 0..1; or of the frames that count."""
    found = answers(model, data).score().accuracy
    if found is None:
        raise ValueError("targets are numbers, which are not right or wrong: see answers().score()")
    return found


def answers(model: nn.Module, data: SequenceData) -> Answers:
    """What a float network answers to all of the data.

    Parameters
    ----------
    model : nn.Module
        Called as :meth:`SequenceClassifier.forward`; (B, T, O) where the head is fed at every
        frame.
    data : SequenceData
        Normalised.
    """
    model.eval()
    return Answers.of(data, _logits(model, data))


def first_loss(model: nn.Module, data: SequenceData, most: int = 64) -> float:
    """Mean loss of the first sequences, as :func:`train` sees it without noise or smoothing.

    Parameters
    ----------
    model : nn.Module
        Called as :meth:`SequenceClassifier.forward`.
    data : SequenceData
        Normalised, with labels or targets.
    most : int
        Sequences, at least 1.
    """
    part, device = data.chosen(range(min(most, len(data)))), _place_of(model)
    frames, lengths = _padded(part)
    model.eval()
    with torch.no_grad(), reproducible():
        logits = model(frames.to(device), lengths.to(device)).cpu()
    _check_answers(logits, part)
    return float(_loss(part, 0.0)(logits, _wanted(part)))


def _logits(model: nn.Module, data: SequenceData) -> Iterator[npt.NDArray[Any]]:
    """What a model says, on the CPU; it runs where it is.

    Of frames some sequences at a time: logits of all of them are many.
    """
    device = _place_of(model)
    size = TOGETHER if data.framewise else len(data)
    for first in range(0, len(data), size):
        frames, lengths = _padded(part := data.chosen(range(first, min(first + size, len(data)))))
        with torch.no_grad(), reproducible():
            logits = model(frames.to(device), lengths.to(device)).cpu()
        _check_answers(logits, part)
        if data.framewise:
            logits = logits[torch.arange(logits.shape[1]) < lengths[:, None]]
        yield logits.numpy()


def _place_of(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _check_answers(logits: Tensor, data: SequenceData) -> None:
    """Refuse one answer a sequence where frames have labels, and the other way round."""
    kind = "label" if data.targets is None else "target"
    if (logits.ndim == 3) != data.framewise:
        given, wanted = "each sequence", "each frame"
        if not data.framewise:
            given, wanted = wanted, given
        raise ValueError(
            f"the network gives an answer for {given} (logits {tuple(logits.shape)}), the data "
            f"has a {kind} for {wanted}: feed the head otherwise (pool='every' is at every "
            f"frame), or give other {kind}s"
        )
    if data.targets is not None:
        check_outputs(data.targets.shape[1], logits.shape[-1], "the network", data.file)


def _wanted(data: SequenceData) -> Tensor:
    """Labels or targets (sequences, ...), or (sequences, T, ...), padded by ones not to count."""
    wanted: npt.NDArray[Any] = data.labels
    if data.targets is not None:
        wanted = data.targets.astype(np.float32)
    if not data.framewise:
        return torch.from_numpy(wanted)
    each = [torch.from_numpy(some) for some in data.split(wanted)]
    nothing = IGNORED if data.targets is None else torch.nan
    return nn.utils.rnn.pad_sequence(each, batch_first=True, padding_value=nothing)


def _padded(data: SequenceData) -> tuple[Tensor, Tensor]:
    frames = [torch.from_numpy(sequence) for sequence in data.sequences]
    lengths = torch.tensor([len(sequence) for sequence in data.sequences])
    return nn.utils.rnn.pad_sequence(frames, batch_first=True), lengths
