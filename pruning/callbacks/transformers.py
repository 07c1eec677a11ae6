"""A callback of the Trainer of Hugging Face's transformers; needs the extra ``transformers``."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .loop import Loop

__all__ = ["TransformersPruning"]

#: Under which the trainer's state, a file of JSON in every checkpoint, keeps the schedule's.
KEPT = "sparseflow.pruner"


class TransformersPruning(Loop, TrainerCallback):
    """Prune a model to banks while the Trainer trains it.

    Masks are made with the Trainer, as buffers beside the weights, so that checkpoints hold them;
    they stay on through every step of the optimizer, and a run that goes on from a checkpoint goes
    on with the schedule too. The share of pruned weights is logged as ``sparsity``.

    Parameters
    ----------
    part : str
        Name of the submodule that is pruned, such as ``"lstm"``; by default all of the model.
    banks, sparsity, budget, by_kind, steps, every
        As for :func:`pruning.face.prune`; steps are those of the optimizer.

    Examples
    --------
    >>> pruning = sf.TransformersPruning("lstm", banks=8, sparsity=0.875, steps=4, every=500)
    >>> Trainer(model, arguments, train_dataset=data, callbacks=[pruning]).train()
    >>> quantised = sf.quantise(pruning.pruner, model.head, frames)
    """

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **there: Any
    ) -> None:
        """Before a checkpoint is read: its masks need their buffers."""
        self.begin(there["model"])

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **there: Any
    ) -> None:
        """The optimizer is there; weights and masks are those of the checkpoint, if there is one.

        Raises
        ------
        ResumeError
            If the checkpoint was written with other goals, another schedule or other matrices.
        RuntimeError
            If the checkpoint's masks were read before this callback was there.
        """
        kept = _kept(state).get(KEPT)
        if kept is not None and not self.begun:
            raise RuntimeError(
                "the checkpoint has masks that nobody has read: give this callback to "
                "Trainer(callbacks=[...]), not to add_callback"
            )
        model: nn.Module = there["model"]
        self.begin(model)
        if kept is not None:
            self.pruner.load_state_dict(self.pruner.state_dict() | kept)
        self.attach([_plain(there["optimizer"])])

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **there: Any
    ) -> None:
        """Keep the state for a checkpoint; the masks are in the model."""
        made = self.pruner.state_dict()
        _kept(state)[KEPT] = {n: made[n] for n in ("made", "position", "keep")}

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **there: Any
    ) -> None:
        """Add the sparsity to what is logged."""
        logs = there.get("logs")
        if logs is not None and state.log_history:
            logs["sparsity"] = state.log_history[-1]["sparsity"] = self.pruner.sparsity()


def _kept(state: TrainerState) -> dict[str, Any]:
    """What goes into the file of JSON besides; a list in the annotation, a dict when it is made."""
    found: Any = state.stateful_callbacks
    if not isinstance(found, dict):
        raise TypeError(f"this release of transformers keeps callbacks in {type(found).__name__}")
    return found


def _plain(optimizer: Any) -> Optimizer:
    """The optimizer within the one of accelerate, whose own hooks nobody calls."""
    while isinstance(getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = optimizer.optimizer
    found: Optimizer = optimizer
    return found
