"""How a fine-tuning of `prune` or `pack` runs, and where it is noted; it loads no PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csb_format.files.ownership import check_file, check_folder

if TYPE_CHECKING:
    from pruning.tasks.networks.sequence import Training
    from pruning.tasks.training.record import Note

__all__ = ["QAT", "Controls", "OptimizerName", "ScheduleName", "patience_needs_val"]


class OptimizerName(StrEnum):
    """Optimizers; the words of :data:`pruning.tasks.training.controls.OPTIMIZERS`."""

    adamw = "adamw"
    adam = "adam"
    sgd = "sgd"
    rmsprop = "rmsprop"


class ScheduleName(StrEnum):
    """Schedules of the rate; the words of :data:`pruning.tasks.training.controls.SCHEDULES`."""

    onecycle = "onecycle"
    cosine = "cosine"
    constant = "constant"


@dataclass(frozen=True)
class Controls:
    """How a fine-tuning runs.

    Parameters
    ----------
    lr : float
        Highest learning rate.
    batch : int
        Sequences a step.
    optimizer, schedule : str
        See :class:`OptimizerName`, :class:`ScheduleName`.
    weight_decay, noise : float
        See :class:`pruning.tasks.networks.sequence.Training`.
    device : str
        As torch names it.
    patience : int, optional
        The last increment ends after so many epochs without a better score.
    log : Path, optional
        Where every step goes as a line of JSON.
    tensorboard : Path, optional
        Folder for TensorBoard.
    """

    lr: float = 3e-3
    batch: int = 32
    optimizer: str = OptimizerName.adamw
    schedule: str = ScheduleName.onecycle
    weight_decay: float = 1e-2
    noise: float | None = None
    device: str = "cpu"
    patience: int | None = None
    log: Path | None = None
    tensorboard: Path | None = None

    def training(self) -> Training:
        """As the training loop takes it.

        Raises
        ------
        ValueError
            For a device that is not there, or a number out of range.
        """
        from pruning.tasks.networks.sequence import Training

        return Training(
            learning_rate=self.lr,
            weight_decay=self.weight_decay,
            batch=self.batch,
            noise=self.noise,
            optimizer=str(self.optimizer),
            schedule=str(self.schedule),
            device=self.device,
        )

    def check(self, *inputs: Path | None) -> None:
        """Refuse places that cannot be written; nothing is made.

        Parameters
        ----------
        *inputs : Path
            What the same command reads or writes.

        Raises
        ------
        PlaceError, OSError
            Naming the place.
        """
        if self.log is not None:
            check_file(self.log, *inputs)
        if self.tensorboard is not None:
            check_folder(self.tensorboard)

    def options(self, plain: Controls | None = None) -> dict[str, Any]:
        """What is other than by default, by the name of its option.

        Parameters
        ----------
        plain : Controls, optional
            The default, if it is another: :data:`QAT`.
        """
        plain = plain or Controls()
        own = {
            "lr": self.lr,
            "batch": self.batch,
            "optimizer": str(self.optimizer),
            "schedule": str(self.schedule),
            "weight-decay": self.weight_decay,
            "noise": self.noise,
            "device": self.device,
            "patience": self.patience,
        }
        return {n: v for n, v in own.items() if v != getattr(plain, n.replace("-", "_"))}

    @contextmanager
    def noting(self) -> Iterator[Note | None]:
        """Write down what happens until the end of the block."""
        from pruning.tasks.training.record import noted

        with noted(self.log, self.tensorboard) as note:
            yield note


QAT = Controls(lr=2e-3)
"""The default of a fine-tuning in integers."""


def patience_needs_val(patience: int) -> str:
    """What is wrong with patience that waits for no score."""
    return (
        f"patience {patience} waits for a better score: give --val, labelled sequences that are "
        "not trained on"
    )
