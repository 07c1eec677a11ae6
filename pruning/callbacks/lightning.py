"""A callback of Lightning's trainer; needs the extra ``lightning``."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from .loop import Loop

__all__ = ["LightningPruning"]

SPARSITY = "sparsity"


class LightningPruning(Loop, pl.Callback):
    """Prune a module to banks while Lightning trains it.

    Masks are made when ``fit`` begins, as buffers beside the weights, so that checkpoints hold
    them; they stay on through every step of the optimizer, and a run that goes on from a checkpoint
    goes on with the schedule too. The share of pruned weights is logged as ``sparsity``.

    Parameters
    ----------
    part : str
        Name of the submodule that is pruned, such as ``"lstm"``; by default all of the module.
    banks, sparsity, budget, by_kind, steps, every
        As for :func:`pruning.face.prune`; steps are those of the optimizer.

    Examples
    --------
    >>> pruning = sf.LightningPruning("lstm", banks=8, sparsity=0.875, steps=4, every=500)
    >>> Trainer(max_epochs=20, callbacks=[pruning]).fit(module, data)
    >>> quantised = sf.quantise(pruning.pruner, module.head, frames)
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Before a checkpoint is read: its masks need their buffers."""
        if stage == "fit":
            self.begin(pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The optimizers are there, as they were saved."""
        self.attach(trainer.optimizers)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the sparsity."""
        pl_module.log(SPARSITY, self.pruner.sparsity())

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return self.pruner.state_dict() if self.begun else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a checkpoint was written.

        Raises
        ------
        ResumeError
            If it was written with other goals, another schedule or other matrices.
        """
        if state_dict and self.begun:
            self.pruner.load_state_dict(state_dict)
