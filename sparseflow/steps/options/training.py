"""How a fine-tuning runs: of ``prune``, and of the integers of ``pack``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated

from ..tuning.controls import Controls, OptimizerName, ScheduleName
from .said import Said

__all__ = ["TrainingOptions"]

_of = partial(Said, panel="Fine-tuning")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Of both."""

    val: Annotated[
        Path | None,
        _of(
            "Labelled sequences (.npz) that are not trained on: scores, before and after every "
            "increment; the best epoch of the last one is kept."
        ),
    ] = None
    lr: Annotated[
        float,
        _of(
            "Highest learning rate; of pack a lower one by default.",
            least=1e-9,
            most=100,
        ),
    ] = Controls.lr
    batch: Annotated[int, _of("Sequences a step.", least=1)] = Controls.batch
    optimizer: Annotated[OptimizerName, _of("Who takes the steps.")] = OptimizerName.adamw
    schedule: Annotated[
        ScheduleName,
        _of("Of the learning rate in each increment: up and down, down, or none."),
    ] = ScheduleName.onecycle
    weight_decay: Annotated[float, _of("Of the optimizer.", least=0)] = Controls.weight_decay
    noise: Annotated[
        float | None,
        _of(
            "Standard deviation of noise on the frames of a step, in their own units; by default "
            "0.6, and none where targets are numbers.",
            least=0,
        ),
    ] = Controls.noise
    device: Annotated[str, _of("Where it trains, as PyTorch names it: cpu, cuda, mps.")] = (
        Controls.device
    )
    patience: Annotated[
        int | None,
        _of(
            "Ends the last increment after so many epochs without a better score; needs --val.",
            least=1,
        ),
    ] = None
    log: Annotated[
        Path | None, _of("Where every step goes as a line of JSON (.jsonl); written anew.")
    ] = None
    tensorboard: Annotated[Path | None, _of("Folder for TensorBoard.")] = None

    @property
    def controls(self) -> Controls:
        """What the steps take."""
        return Controls(**{each.name: getattr(self, each.name) for each in fields(Controls)})
