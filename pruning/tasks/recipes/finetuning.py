"""Prune a trained classifier of any recurrent network in increments, fine-tuning after each."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from csb_format.geometry import Geometry

from ...budget.arrays import goals_by
from ...files.network import Classifier
from ...mask.goals import Goal, MatrixState
from ...mask.pruner import Pruner
from ...mask.schedule import Increments
from ..data.datasets import SequenceData
from ..networks.sequence import biases_first, train
from .recipe import Recipe

__all__ = ["Pruned", "prune_classifier"]

Progress = Callable[[str, int, int, float], None]
Told = Callable[[int, int, float], None]
Score = Callable[[Classifier], float]
Watch = Callable[[int, int, float, float], None]


@dataclass(frozen=True, eq=False)
class Pruned:
    """What :func:`prune_classifier` made.

    Parameters
    ----------
    classifier : Classifier
        Plain; pruned weights are zero.
    masks : dict of str to bool Tensor
        Kept weights by parameter name of the classifier.
    geometries : dict of str to Geometry
        What the matrices are packed in.
    report : tuple of MatrixState
        Requested and achieved sparsity.
    increments : tuple of (float, float)
        Sparsity and score after every increment, where there was something to score by; of the
        last one, what is kept.
    epoch, epochs : int
        Of the last increment, which epoch is kept.
    """

    classifier: Classifier
    masks: dict[str, Tensor]
    geometries: dict[str, Geometry]
    report: tuple[MatrixState, ...]
    increments: tuple[tuple[float, float], ...] = ()
    epoch: int = 0
    epochs: int = 0


def prune_classifier(
    classifier: Classifier,
    goals: Mapping[str, Goal],
    data: SequenceData,
    recipe: Recipe,
    seed: int = 0,
    progress: Progress | None = None,
    fixed: Collection[str] = (),
    score: Score | None = None,
    watch: Watch | None = None,
) -> Pruned:
    """Prune matrices of a classifier to banks (Algorithm 1 of Cao et al., FPGA'19).

    Parameters
    ----------
    classifier : Classifier
        Trained; left as it is.
    goals : Mapping[str, Goal]
        By parameter name; views are :class:`pruning.mask.views.Banks`.
    data : SequenceData
        Training data as the network takes it.
    recipe : Recipe
        Its ``budget``, ``increments``, ``step_epochs``, ``final_epochs`` and ``tuning`` count.
    seed : int
        Of shuffling and noise. A one-layer LSTM gets the weights that
        :func:`pruning.tasks.recipes.recipe.prune_and_finetune` gives it.
    progress : callable, optional
        Called with (stage, epoch, epochs of the stage, mean loss).
    fixed : collection of str
        Matrices that share no weights with others, whatever the recipe's budget.
    score : callable, optional
        What a classifier is worth, more is better; on data that is not trained on. The best epoch
        of the last increment is kept, the later of equals; without it, the last epoch.
    watch : callable, optional
        Called after every increment with (its number from 1, increments, sparsity, score).

    Returns
    -------
    Pruned
    """
    model = copy.deepcopy(classifier)
    goals = goals_by(recipe.budget, model, goals, fixed)
    schedule = Increments(recipe.increments, every=1, begin=1)
    pruner = Pruner(model, goals, schedule, mask_gradients=True)
    rungs = pruner.plan(recipe.increments)
    increments, last = [], len(rungs)
    best = _Best(model, score)
    for number, rung in enumerate(rungs, 1):
        pruner.prune(rung)
        epochs = recipe.final_epochs if number == last else recipe.step_epochs
        tell = None if progress is None else partial(progress, f"prune {number}/{last}")
        # Stages must not repeat each other's shuffling; seeds far apart do not collide.
        at, order = seed * 1000 + number, biases_first(model)
        told = best.watching(tell) if number == last else tell
        train(model, data, epochs, at, told, pruner.attach, recipe.tuning, order)
        if score is not None:
            best.restore()
            increments.append((pruner.sparsity(), score(model)))
            if watch is not None:
                watch(number, last, *increments[-1])
    return Pruned(
        pruner.squash(), pruner.masks(), pruner.geometries(), pruner.report(),
        tuple(increments), best.epoch, recipe.final_epochs,
    )  # fmt: skip


class _Best:
    """The best epoch of a training, put back at its end."""

    def __init__(self, model: Classifier, score: Score | None) -> None:
        self.model, self.score = model, score
        self.epoch, self.found = 0, -math.inf
        self._state: dict[str, Tensor] = {}

    def watching(self, tell: Told | None) -> Told | None:
        """What is to be told of every epoch, and tells it on."""
        if self.score is None:
            return tell
        return partial(self._after, self.score, tell)

    def _after(self, score: Score, tell: Told | None, epoch: int, epochs: int, loss: float) -> None:
        if tell is not None:
            tell(epoch, epochs, loss)
        found = score(self.model)
        self.model.train()
        if found >= self.found:
            self.found, self.epoch = found, epoch
            self._state = {n: tensor.clone() for n, tensor in self.model.state_dict().items()}

    def restore(self) -> None:
        """Put it back, if there is one."""
        if self._state:
            self.model.load_state_dict(self._state)
