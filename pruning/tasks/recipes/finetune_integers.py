"""Fine-tuning in the integers of the hardware."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from csb_format.pooling import LAST

from ...cells import Recurrent
from ...integers.qat import Precision, QatClassifier
from ..data.datasets import SequenceData
from ..networks.sequence import Progress, Training, train
from ..training.record import Note
from .watching import Best, Score, Told
from .watching import Progress as StageProgress

__all__ = ["TUNING", "Tuned", "finetune_quantised", "tune_quantised"]

#: By default the learning rate is lower than that of pruning.
TUNING = Training(learning_rate=2e-3)


@dataclass(frozen=True, eq=False)
class Tuned:
    """What :func:`tune_quantised` made.

    Parameters
    ----------
    model : QatClassifier
        In evaluation mode; ``to_model`` gives the integers.
    epoch, epochs : int
        Which epoch is kept, and how many there were.
    score : object
        Of what is kept; None without anything to score by.
    """

    model: QatClassifier
    epoch: int
    epochs: int
    score: Any = None


def finetune_quantised(
    lstm: Recurrent,
    head: nn.Linear,
    data: SequenceData,
    epochs: int,
    seed: int = 0,
    *,
    precision: Precision | None = None,
    masks: Mapping[str, Tensor] | None = None,
    pool: str = LAST,
    settings: Training | None = None,
    progress: Progress | None = None,
) -> QatClassifier:
    """Fine-tune a pruned classifier in the arithmetic of the accelerator.

    Parameters
    ----------
    lstm, head : nn.LSTM or nn.GRU, nn.Linear
        Left as they are; copies are trained.
    data : SequenceData
        Normalised training data; the formats are chosen on it, once, before training.
    epochs : int
        At least 1.
    seed : int
        Of shuffling and noise.
    precision : Precision, optional
    masks : Mapping[str, bool Tensor], optional
    pool : {"last", "hn", "mean", "every"}
        How the head is fed.
    settings : Training, optional
        By default a learning rate of 2e-3.
    progress : callable, optional
        As in :func:`pruning.tasks.networks.sequence.train`.

    Returns
    -------
    QatClassifier
        In evaluation mode; ``to_model`` gives the integers.
    """
    formats = (precision or Precision()).formats(lstm, head, data.sequences)
    model = QatClassifier(copy.deepcopy(lstm), copy.deepcopy(head), formats, masks, pool)
    train(model, data, epochs, seed, progress, settings=settings or TUNING)
    return model


def tune_quantised(
    model: QatClassifier,
    data: SequenceData,
    epochs: int,
    seed: int = 0,
    *,
    settings: Training | None = None,
    progress: StageProgress | None = None,
    score: Score | None = None,
    note: Note | None = None,
    patience: int | None = None,
) -> Tuned:
    """Fine-tune in the accelerator's arithmetic, told and ended as pruning is.

    Parameters
    ----------
    model : QatClassifier
        Trained in place.
    data, epochs, seed, settings
        As for :func:`finetune_quantised`.
    progress, score, note, patience
        As for :func:`pruning.tasks.recipes.finetuning.prune_classifier`: with ``score`` the best
        epoch is kept.

    Raises
    ------
    ValueError
        For patience without ``score``.
    """
    if patience is not None and score is None:
        raise ValueError(
            f"patience = {patience}: there is no score to get better; give data to score on"
        )
    best = Best(model, score, patience)
    told = Told("fine-tune", progress, note, best)
    train(
        model, data, epochs, seed, told.epoch, settings=settings or TUNING,
        on_step=None if note is None else told.step, enough=told.enough,
    )  # fmt: skip
    best.restore()
    model.eval()
    return Tuned(model, best.epoch or best.epochs, best.epochs, best.found)
