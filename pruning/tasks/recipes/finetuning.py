"""Prune a trained classifier of any recurrent network in increments, fine-tuning after each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from csb_format.geometry import Geometry

from ...budget.arrays import free_goals
from ...files.network import Classifier
from ...mask.goals import Goal, MatrixState
from ...mask.pruner import Pruner
from ...mask.schedule import Increments
from ..data.datasets import SequenceData
from ..networks.sequence import biases_first, train
from .recipe import Recipe

__all__ = ["Pruned", "prune_classifier"]

Progress = Callable[[str, int, int, float], None]


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
    """

    classifier: Classifier
    masks: dict[str, Tensor]
    geometries: dict[str, Geometry]
    report: tuple[MatrixState, ...]


def prune_classifier(
    classifier: Classifier,
    goals: Mapping[str, Goal],
    data: SequenceData,
    recipe: Recipe,
    seed: int = 0,
    progress: Progress | None = None,
    fixed: Collection[str] = (),
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

    Returns
    -------
    Pruned
    """
    model = copy.deepcopy(classifier)
    if recipe.budget == "global":
        goals = free_goals(model, goals, fixed)
    schedule = Increments(recipe.increments, every=1, begin=1)
    pruner = Pruner(model, goals, schedule, mask_gradients=True)
    rungs = pruner.plan(recipe.increments)
    for number, rung in enumerate(rungs, 1):
        pruner.prune(rung)
        epochs = recipe.final_epochs if number == len(rungs) else recipe.step_epochs
        tell = None if progress is None else partial(progress, f"prune {number}/{len(rungs)}")
        # Stages must not repeat each other's shuffling; seeds far apart do not collide.
        at, order = seed * 1000 + number, biases_first(model)
        train(model, data, epochs, at, tell, pruner.attach, recipe.tuning, order)
    return Pruned(pruner.squash(), pruner.masks(), pruner.geometries(), pruner.report())
