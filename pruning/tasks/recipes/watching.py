"""What is told of a fine-tuning while it runs, and which of its epochs is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..training.record import Note, Step

__all__ = ["Best", "Progress", "Score", "Told", "noted_score"]

#: Told of (stage, epoch, epochs of the stage, mean loss).
Progress = Callable[[str, int, int, float], None]
#: What a network is worth; the better is the greater.
Score = Callable[[Any], Any]


def noted_score(score: Any) -> dict[str, Any]:
    """``score``, of which more is better, and the figures that it has besides."""
    worth = getattr(score, "worth", score)
    return {"score": worth, **getattr(score, "figures", {})}


class Told:
    """What a stage tells, and whom.

    Parameters
    ----------
    stage : str
        Its name.
    progress : callable, optional
    note : callable, optional
        Told of every step and epoch; see :mod:`pruning.tasks.training.record`.
    best : Best, optional
        Shown every epoch.
    """

    def __init__(
        self, stage: str, progress: Progress | None, note: Note | None, best: Best | None
    ) -> None:
        self._stage, self._progress, self._note, self._best = stage, progress, note, best

    def step(self, step: Step) -> None:
        """Note a step."""
        if self._note is not None:
            self._note("step", step.figures(self._stage))

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        """Tell an epoch, and let it be scored."""
        if self._progress is not None:
            self._progress(self._stage, epoch, epochs, loss)
        figures: dict[str, Any] = {
            "stage": self._stage,
            "epoch": epoch,
            "epochs": epochs,
            "loss": loss,
        }
        if self._best is not None and (found := self._best.look(epoch)) is not None:
            figures |= noted_score(found)
        if self._note is not None:
            self._note("epoch", figures)

    def enough(self) -> bool:
        """Whether the stage may end here."""
        return self._best is not None and self._best.enough()


class Best:
    """The best epoch of a training, put back at its end.

    Parameters
    ----------
    model : nn.Module
        That is trained.
    score : callable, optional
        Without it the last epoch is kept.
    patience : int, optional
        Epochs without a better score that are enough.
    """

    def __init__(self, model: nn.Module, score: Score | None, patience: int | None) -> None:
        self.model, self.score, self.patience = model, score, patience
        self.epoch, self.epochs = 0, 0
        self.found: Any = None
        self._risen = 0  # the first epoch of the best score
        self._state: dict[str, Tensor] = {}

    def look(self, epoch: int) -> Any:
        """Score an epoch; the later of equals is kept, but only a better one is progress."""
        self.epochs = epoch
        if self.score is None:
            return None
        found = self.score(self.model)
        self.model.train()
        if self.found is None or found > self.found:
            self._risen = epoch
        if self.found is None or found >= self.found:
            self.found, self.epoch = found, epoch
            self._state = {n: tensor.clone() for n, tensor in self.model.state_dict().items()}
        return found

    def enough(self) -> bool:
        """Whether nothing has got better for too long."""
        return self.patience is not None and self.epochs - self._risen >= self.patience

    def restore(self) -> None:
        """Put it back, if there is one."""
        if self._state:
            self.model.load_state_dict(self._state)
