"""From training data to a pruned classifier: train, then prune and fine-tune in turns."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor
from torch.optim import Optimizer

from csb_format.arguments import one_of
from csb_format.geometry import Geometry
from csb_format.precision import Balance, Precision

from ...budget.arrays import goals_by
from ...mask.goals import Goal, MatrixState
from ...mask.pruner import Pruner
from ...mask.schedule import Increments
from ...mask.views import Banks
from ..data.datasets import Normaliser, SequenceData
from ..networks.sequence import SequenceClassifier, Training, biases_first, train

__all__ = ["Outcome", "Recipe", "prune_and_finetune"]


MATRICES = ("lstm.weight_ih_l0", "lstm.weight_hh_l0")
StageProgress = Callable[[str, int, int, float], None]
Watch = Callable[[float, SequenceClassifier], None]


@dataclass(frozen=True)
class Recipe:
    """Numbers of the demo; none of them was chosen with test data.

    Parameters
    ----------
    hidden_size : int
        Units of the LSTM.
    banks : int
        Banks of both matrices.
    sparsity : float
        Asked of both matrices, 0..1.
    budget : {"global", "gate", "equal"}
        Whether they share their weights, as :func:`pruning.face.prune` has it; another is a
        ValueError.
    dense_epochs : int
        Epochs before the first weight is pruned.
    increments : int
        Steps of sparsity (Algorithm 1).
    step_epochs : int
        Epochs of fine-tuning after every step but the last.
    final_epochs : int
        Epochs of fine-tuning at the full sparsity.
    value_bits : int
        Width of stored weights, for the sizes in reports.
    training : Training
        Of the dense model.
    tuning : Training
        Of every fine-tuning.
    """

    hidden_size: int = 128
    banks: int = Balance.banks
    sparsity: float = Balance.sparsity
    budget: str = Balance.budget
    dense_epochs: int = 60
    increments: int = 4
    step_epochs: int = 10
    final_epochs: int = 40
    value_bits: int = Precision.value_bits
    training: Training = field(default_factory=Training)
    tuning: Training = field(default_factory=lambda: Training(learning_rate=3e-3))

    def __post_init__(self) -> None:
        one_of("budget", self.budget, Balance.budgets)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What :func:`prune_and_finetune` made.

    Parameters
    ----------
    dense, pruned : SequenceClassifier
        Before and after; both plain, for normalised frames.
    normaliser : Normaliser
        Of the training set: apply it to whatever the classifiers, or the accelerator, get.
    report : tuple of MatrixState
        Requested and achieved sparsity.
    geometries : dict of str to Geometry
        What the matrices are packed in.
    masks : dict of str to bool Tensor
        Kept weights by parameter name.
    """

    dense: SequenceClassifier
    pruned: SequenceClassifier
    normaliser: Normaliser
    report: tuple[MatrixState, ...]
    geometries: dict[str, Geometry]
    masks: dict[str, Tensor]


def prune_and_finetune(
    data: SequenceData,
    recipe: Recipe | None = None,
    seed: int = 0,
    progress: StageProgress | None = None,
    start: SequenceClassifier | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Train a dense classifier, prune both LSTM matrices step by step, fine-tune each step.

    Algorithm 1 of Cao et al. (FPGA'19).

    Parameters
    ----------
    data : SequenceData
        Training data, not normalised. Nothing else is looked at.
    recipe : Recipe, optional
    seed : int
        Of initial weights, shuffling and noise.
    progress : callable, optional
        Called with (stage, epoch, epochs of the stage, mean loss).
    start : SequenceClassifier, optional
        A trained classifier to go on from, for these very data: no dense training then,
        and no normalisation. It is left as it is.
    watch : callable, optional
        Called after each increment's fine-tuning with (sparsity of both matrices together,
        plain classifier).

    Returns
    -------
    Outcome
    """
    chosen = recipe or Recipe()
    if start is not None:
        identity = Normaliser.identity(data.width)
        return _Stages(data, chosen, seed, progress, start).run(identity, watch)
    normaliser = Normaliser.fit(data)
    return _Stages(normaliser.apply(data), chosen, seed, progress).run(normaliser, watch)


class _Stages:
    def __init__(
        self,
        data: SequenceData,
        recipe: Recipe,
        seed: int,
        progress: StageProgress | None,
        start: SequenceClassifier | None = None,
    ) -> None:
        self.data, self.recipe, self.seed, self.progress = data, recipe, seed, progress
        self.trained = start is not None
        classes = int(data.labels.max()) + 1
        self.model = copy.deepcopy(start) or SequenceClassifier(
            data.width, recipe.hidden_size, classes, seed
        )
        # What cannot be reached is said in the report: the demo's banks are the hardware's.
        goal = Goal(Banks(recipe.banks), recipe.sparsity, tolerance=1.0)
        self.goals = dict.fromkeys(MATRICES, goal)

    def run(self, normaliser: Normaliser, watch: Watch | None) -> Outcome:
        recipe = self.recipe
        if not self.trained:
            self._train("dense", recipe.dense_epochs, 0, recipe.training)
        dense = copy.deepcopy(self.model)
        pruner = self._pruner()
        rungs = pruner.plan(recipe.increments)
        for number, rung in enumerate(rungs, 1):
            pruner.prune(rung)
            epochs = recipe.final_epochs if number == len(rungs) else recipe.step_epochs
            stage = f"prune {number}/{len(rungs)}"
            self._train(stage, epochs, number, recipe.tuning, pruner.attach)
            if watch is not None:
                watch(pruner.sparsity(), pruner.squash(unfinished=True))
        return self._outcome(dense, pruner, normaliser)

    def _pruner(self) -> Pruner[SequenceClassifier]:
        """Its goals go by the magnitudes of the trained network."""
        goals = goals_by(self.recipe.budget, self.model, self.goals)
        schedule = Increments(self.recipe.increments, every=1, begin=1)
        return Pruner(self.model, goals, schedule, mask_gradients=True)

    def _outcome(
        self,
        dense: SequenceClassifier,
        pruner: Pruner[SequenceClassifier],
        normaliser: Normaliser,
    ) -> Outcome:
        geometries = pruner.geometries(self.recipe.value_bits)
        return Outcome(
            dense, pruner.squash(), normaliser, pruner.report(), geometries, pruner.masks()
        )

    def _train(
        self,
        stage: str,
        epochs: int,
        number: int,
        settings: Training,
        attach: Callable[[Optimizer], None] | None = None,
    ) -> None:
        # Stages must not repeat each other's shuffling; seeds far apart do not collide.
        seed = self.seed * 1000 + number
        told, order = self._told(stage), biases_first(self.model)
        train(self.model, self.data, epochs, seed, told, attach, settings, order)

    def _told(self, stage: str) -> Callable[[int, int, float], None] | None:
        progress = self.progress
        if progress is None:
            return None
        return lambda epoch, epochs, loss: progress(stage, epoch, epochs, loss)
