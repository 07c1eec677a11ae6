"""A recurrent module without a head: it is fine-tuned to what it gave before it was pruned.

What stands behind it runs elsewhere, and nobody here knows it. That must find, at every frame, what
it was trained on.
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
from torch import nn

from csb_format.pooling import EVERY

from ...files.network import Classifier, Network
from ..data.adapters.recordings import check_values
from ..data.datasets import SequenceData
from ..networks.sequence import answers

__all__ = ["bare", "with_own_outputs"]


def bare(network: Network, path: str | os.PathLike[str]) -> Classifier:
    """The trainable recurrent module alone, whose answers are its outputs at every frame.

    Parameters
    ----------
    network : Network
        Without a head.
    path : path
        Its file, for errors.

    Raises
    ------
    CheckpointError
        If a parameter is NaN or infinite.
    """
    network.check_finite(path)
    return Classifier(network.recurrent, nn.Identity(), EVERY)  # type: ignore[arg-type]


def with_own_outputs(model: Classifier, data: SequenceData) -> SequenceData:
    """Frames whose targets are what a network gives at each of them now.

    Parameters
    ----------
    model : Classifier
        Fed with every frame.
    data : SequenceData
        Its labels or targets are left out.

    Returns
    -------
    SequenceData
        Targets float64 (all frames, R).

    Raises
    ------
    DataSetError
        For more numbers than memory is meant for.
    """
    width = model.recurrent.proj_size or model.recurrent.hidden_size
    size = data.frames, width * (1 + model.recurrent.bidirectional)
    check_values(size[0] * size[1])
    labels = np.zeros(data.frames, np.int64)
    unknown = replace(data, labels=labels, targets=np.zeros(size), framewise=True)
    return replace(unknown, targets=answers(model, unknown).given.astype(np.float64))
