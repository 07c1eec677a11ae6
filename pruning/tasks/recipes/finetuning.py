"""Prune a trained classifier of any recurrent network in increments, fine-tuning after each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from csb_format.geometry import Geometry

from ...budget.arrays import goals_by
from ...files.network import Classifier
from ...mask.goals import Goal, MatrixState
from ...mask.pruner import Pruner
from ...mask.schedule import Increments
from ...mask.views import Banks
from ..data.datasets import SequenceData
from ..networks.sequence import biases_first, train
from ..training.record import Note
from .recipe import Recipe
from .watching import Best, Progress, Score, Told, noted_score

__all__ = ["Pruned", "prune_classifier"]

Watch = Callable[[int, int, float, Any], None]


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
        What the matrices are packed in; empty unless all are pruned in banks.
    report : tuple of MatrixState
        Requested and achieved sparsity.
    increments : tuple of (float, score)
        Sparsity and score after every increment, where there was something to score by; of the
        last one, what is kept.
    epoch, epochs : int
        Of the last increment, which epoch is kept, and how many there were.
    """

    classifier: Classifier
    masks: dict[str, Tensor]
    geometries: dict[str, Geometry]
    report: tuple[MatrixState, ...]
    increments: tuple[tuple[float, Any], ...] = ()
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
    note: Note | None = None,
    patience: int | None = None,
) -> Pruned:
    """Prune matrices of a classifier to banks (Algorithm 1 of Cao et al., FPGA'19).

    Parameters
    ----------
    classifier : Classifier
        Trained; left as it is.
    goals : Mapping[str, Goal]
        By parameter name. Views other than :class:`pruning.mask.views.Banks` are for measurements:
        such matrices are packed in nothing, and want a recipe whose budget is ``equal``.
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
        What a classifier is worth on data that is not trained on: a number, or a
        :class:`pruning.tasks.scores.score.Score`; the better is the greater. The best epoch of the
        last increment is kept, the later of equals; without it, the last epoch.
    watch : callable, optional
        Called after every increment with (its number from 1, increments, sparsity, score).
    note : callable, optional
        Told of every step, epoch and increment; see :mod:`pruning.tasks.training.record`.
    patience : int, optional
        The last increment ends after so many epochs without a better score, at least 1.

    Returns
    -------
    Pruned

    Raises
    ------
    ValueError
        For patience without ``score``.
    """
    if patience is not None and score is None:
        raise ValueError(
            f"patience = {patience}: there is no score to get better; give data to score on"
        )
    model = copy.deepcopy(classifier)
    goals = goals_by(recipe.budget, model, goals, fixed)
    schedule = Increments(recipe.increments, every=1, begin=1)
    pruner = Pruner(model, goals, schedule, mask_gradients=True)
    rungs = pruner.plan(recipe.increments)
    increments, last = [], len(rungs)
    best = Best(model, score, patience)
    for number, rung in enumerate(rungs, 1):
        pruner.prune(rung)
        epochs = recipe.final_epochs if number == last else recipe.step_epochs
        told = Told(f"prune {number}/{last}", progress, note, best if number == last else None)
        # Stages must not repeat each other's shuffling; seeds far apart do not collide.
        at, order = seed * 1000 + number, biases_first(model)
        train(
            model, data, epochs, at, told.epoch, pruner.attach, recipe.tuning, order,
            told.step if note is not None else None, told.enough,
        )  # fmt: skip
        found: dict[str, Any] = {"number": number, "of": last, "sparsity": pruner.sparsity()}
        if score is not None:
            best.restore()
            increments.append((pruner.sparsity(), score(model)))
            found |= noted_score(increments[-1][1])
            if watch is not None:
                watch(number, last, *increments[-1])
        if note is not None:
            note("increment", found)
    banks = all(isinstance(goal.view, Banks) for goal in goals.values())
    return Pruned(
        pruner.squash(), pruner.masks(), pruner.geometries() if banks else {}, pruner.report(),
        tuple(increments), best.epoch, best.epochs,
    )  # fmt: skip
