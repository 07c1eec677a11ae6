"""Fine-tuning in the integers of the hardware."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from csb_format.pooling import LAST

from ...cells import Recurrent
from ...integers.qat import Precision, QatClassifier
from ..data.datasets import SequenceData
from ..networks.sequence import Progress, Training, train

__all__ = ["finetune_quantised"]


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
    train(model, data, epochs, seed, progress, settings=settings or Training(learning_rate=2e-3))
    return model
