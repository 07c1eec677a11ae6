"""What may be chosen of a training by its name: optimizer, schedule of its rate, device."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn, optim
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler, OneCycleLR

__all__ = ["OPTIMIZERS", "SCHEDULES", "device_of", "optimizer_of", "schedule_of"]

MOMENTUM = 0.9  # of plain gradient descent, without which nobody trains an LSTM by it

#: Optimizers by name; each takes parameters, a learning rate and ``weight_decay``.
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": optim.AdamW,
    "adam": optim.Adam,
    "sgd": partial(optim.SGD, momentum=MOMENTUM),
    "rmsprop": optim.RMSprop,
}

#: Schedules by name; each takes the optimizer, the learning rate and the steps of the training.
SCHEDULES: dict[str, Callable[[Optimizer, float, int], LRScheduler]] = {
    "onecycle": lambda optimizer, rate, steps: OneCycleLR(optimizer, rate, steps),
    "cosine": lambda optimizer, rate, steps: CosineAnnealingLR(optimizer, steps),
    "constant": lambda optimizer, rate, steps: ConstantLR(optimizer, 1.0),
}


def optimizer_of(
    name: str, parameters: Sequence[nn.Parameter], rate: float, weight_decay: float
) -> Optimizer:
    """Make an optimizer.

    Parameters
    ----------
    name : str
        One of :data:`OPTIMIZERS`.
    parameters : sequence of nn.Parameter
    rate : float
        Learning rate.
    weight_decay : float
    """
    return OPTIMIZERS[name](parameters, rate, weight_decay=weight_decay)


def schedule_of(name: str, optimizer: Optimizer, rate: float, steps: int) -> LRScheduler:
    """Make the schedule of a learning rate.

    Parameters
    ----------
    name : str
        One of :data:`SCHEDULES`: ``onecycle`` rises to ``rate`` and falls to nothing, ``cosine``
        falls from it, ``constant`` stays.
    optimizer : Optimizer
    rate : float
        Its highest learning rate.
    steps : int
        Of the training.
    """
    return SCHEDULES[name](optimizer, rate, steps)


def device_of(name: str) -> torch.device:
    """A device that this machine has.

    Parameters
    ----------
    name : str
        As torch names it: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises
    ------
    ValueError
        If there is none; the message says what there is.
    """
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    there = _there()
    if device is None or str(device) not in there | {kind.partition(":")[0] for kind in there}:
        raise ValueError(
            f"device {name!r}: PyTorch {torch.__version__} sees {', '.join(sorted(there))} here"
        )
    if device.type == "cuda":  # deterministic products need it before the first of them
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return device


def _there() -> set[str]:
    """Devices of this machine, as torch names them."""
    found: dict[str, Any] = {"cpu": True, "mps": torch.backends.mps.is_available()}
    found |= {f"cuda:{n}": True for n in range(torch.cuda.device_count())}
    return {name for name, there in found.items() if there}
