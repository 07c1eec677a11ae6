"""The steps that need PyTorch: prune and fine-tune, accuracy of float models."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from csb_format.pooling import LAST
from csb_format.precision import Balance
from pruning.budget.arrays import Slower, goals_and_hold
from pruning.doctor.readiness import hardware_note
from pruning.files.network import Classifier, Network, load_network
from pruning.importers import Cut
from pruning.importers.checkpoint import save_tensors, save_weights
from pruning.importers.cut import METADATA as CUT
from pruning.mask.goals import Goal, resolve, whole_of
from pruning.mask.pruner import Pruner
from pruning.mask.views import Banks
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.data.inputs import Inputs
from pruning.tasks.networks.sequence import SequenceClassifier, answers, first_loss
from pruning.tasks.recipes.bare import bare, with_own_outputs
from pruning.tasks.recipes.finetuning import Pruned, prune_classifier
from pruning.tasks.recipes.recipe import Recipe, prune_and_finetune
from pruning.tasks.scores.answers import Answers
from pruning.tasks.scores.score import Score

from ..pages.made.typed import with_command
from ..pages.scores.told import all_of
from .progress import say, stages
from .reading import (
    METADATA,
    answers_as_read,
    as_read,
    check_alike,
    check_judging,
    check_names,
    check_width,
    noted,
    of_part,
    pool_of,
    taking_part,
)
from .tuning.banks import check_banks, uneven
from .tuning.controls import Controls
from .wishes import Wish, is_called, parse, spread

__all__ = ["Asked", "float_answers", "prune_network", "train_and_prune"]

Evaluate = Callable[[SequenceClassifier], float]


@dataclass(frozen=True)
class Asked:
    """What the matrices of a network are to become.

    Parameters
    ----------
    banks : int
        Of every matrix.
    sparsity : float
        Of every matrix, 0..1.
    bank_width : int, optional
        Columns of a bank, instead of their count.
    wishes : sequence of str
        For single matrices, as :func:`sparseflow.steps.wishes.parse` reads them.
    pool : {"last", "hn", "mean", "every"}, optional
        How the head is fed; by default what the checkpoint says, else ``"last"``.
    budget : {"global", "gate", "equal"}
        As :func:`pruning.face.prune` has it; a matrix whose sparsity is wished shares nothing.
    cut : Cut, optional
        What of a larger network's state dict is taken; by default what the file notes.
    """

    banks: int = Balance.banks
    sparsity: float = Balance.sparsity
    bank_width: int | None = None
    wishes: Sequence[str] = ()
    pool: str | None = None
    budget: str = Balance.budget
    cut: Cut | None = None

    def fixed(self, network: Network) -> list[str]:
        """Matrices of the classifier whose sparsity is wished."""
        names = {network.names[f"recurrent.{leaf}"]: leaf for leaf in network.matrices()}
        told = [called for called, wish in parse(self.wishes) if wish.sparsity is not None]
        return [
            f"recurrent.{leaf}"
            for name, leaf in names.items()
            if any(is_called(name, called) for called in told)
        ]

    def goals(self, network: Network) -> dict[str, Goal]:
        """By parameter name of the classifier."""
        count = None if self.bank_width else self.banks
        default = Wish(count, self.bank_width, self.sparsity)
        names = {network.names[f"recurrent.{leaf}"]: leaf for leaf in network.matrices()}
        wanted = spread(parse(self.wishes), list(names), default)
        # What cannot be reached is told, and is in the report: banks are the hardware's.
        return {
            f"recurrent.{names[name]}": Goal(Banks(w.banks, w.width), w.sparsity, tolerance=1.0)
            for name, w in wanted.items()
        }

    def options(self) -> dict[str, Any]:
        """What was said beside the banks, the sparsity and the budget of all matrices."""
        given = {"for": list(self.wishes), "bank-width": self.bank_width, "pool": self.pool}
        given |= self.cut.options() if self.cut else {}
        return {name: value for name, value in given.items() if value}


def prune_network(
    network: Network,
    checkpoint: Path,
    data: SequenceData,
    out: Path,
    asked: Asked,
    recipe: Recipe,
    seed: int,
    judged: SequenceData | None = None,
    inputs: Inputs | None = None,
    controls: Controls | None = None,
) -> Pruned:
    """Prune and fine-tune a user's classifier, and write it under its own names.

    A network without a head is fine-tuned to what it gave before. ``judged`` is labelled data that
    is not trained on: what is scored, told and noted then, and chooses the epoch that is kept.
    ``inputs``, what the data says of its frames, is noted.
    """
    pool = pool_of(network, asked.pool, checkpoint, data.framewise)
    headless, inputs = network.head is None, inputs or Inputs()
    classifier = bare(network, checkpoint) if headless else network.classifier(checkpoint, pool)
    if headless:
        inputs = replace(inputs, label_names=())
    check_names(network, inputs, checkpoint, data.file)
    _check(network, pool, checkpoint, data, judged)
    read = as_read(network, pool, checkpoint, data)
    goals = asked.goals(network)
    notes = _grouped(network, classifier, goals)
    fixed = asked.fixed(network)
    restored = network.restore()  # before magnitudes are compared, after the file was scored
    chosen, slower = goals_and_hold(recipe.budget, classifier, goals, fixed)
    for line in [*read, *notes, *_held_back(slower)]:
        say(line)
    _tell(network, restored)
    if headless:
        unused = data.targets is not None or data.labels.any()
        more = "; labels and targets are not used" if unused else ""
        say(f"no head: fine-tuned to its own dense outputs at every frame, by squared error{more}")
        data = with_own_outputs(classifier, data)
        judged = None if judged is None else with_own_outputs(classifier, judged)
    judge = None if judged is None else _Judge(classifier, judged, of_part(network))
    controls = controls or Controls()
    for line in _shares_badly(classifier, goals, chosen, data):
        say(line)
    with controls.noting() as note, stages() as progress:
        if note is not None:
            note("began", _settings(recipe, asked, seed, checkpoint, data))
        pruned = prune_classifier(
            classifier, chosen, data, replace(recipe, budget="equal"), seed, progress, (),
            None if judge is None else judge.score, None if judge is None else judge.watch,
            note, controls.patience,
        )  # fmt: skip
        if note is not None:
            note("ended", {"epoch": pruned.epoch or pruned.epochs, "epochs": pruned.epochs})
    about: dict[str, Any] = _about(recipe, asked.sparsity, asked.banks, seed, [])
    if pruned.epochs < recipe.final_epochs:
        ended = f"after epoch {pruned.epochs} of {recipe.final_epochs} of the last increment"
        say(f"  ended {ended}: nothing better for {controls.patience}")
    if judge is not None:
        about |= judge.noted(pruned)
    if options := asked.options():
        layout = {network.names[name]: _noted(goal) for name, goal in goals.items()}
        about |= {"options": about.get("options", {}) | options, "layout": layout}
    if training := controls.options():
        about["options"] = about.get("options", {}) | training
    if not headless:
        about["pool"] = pool
    about |= with_command(noted(network.imported, checkpoint))
    if known := inputs.noted():
        about["inputs"] = known
    state = pruned.classifier.state_dict()
    found = network.imported
    _save(
        out,
        found.aside | {network.names[name]: tensor for name, tensor in state.items()},
        {network.names[name]: mask for name, mask in pruned.masks.items()},
        about,
        found.noted,
    )
    return pruned


def _check(
    network: Network, pool: str, path: Path, data: SequenceData, judged: SequenceData | None
) -> None:
    """Refuse data that the network cannot be fine-tuned on, or scored on."""
    if network.head is None:
        for each in filter(None, (data, judged)):
            check_width(network, each, path)
    elif judged is not None:
        check_judging(network, pool, path, judged)
        check_alike(data, judged)


def _grouped(network: Network, classifier: Classifier, goals: Mapping[str, Goal]) -> list[str]:
    """What is to be said of banks; errors are of all matrices, by their names in the file."""
    sizes = {network.names[f"recurrent.{leaf}"]: size for leaf, size in network.matrices().items()}
    views = {network.names[name]: _view(goal) for name, goal in goals.items()}
    check_banks(sizes, views)
    for matrix in resolve(classifier, goals)[0].values():
        whole_of(matrix, goals[matrix.name])
    return [f"note: {line}" for line in uneven(sizes, views)]


def _held_back(slower: Slower | None) -> list[str]:
    """Why matrices do not keep what their magnitudes ask for, if they do not."""
    if slower is None:
        return []
    return [
        f"note: with k where magnitudes ask for it {slower.pes} x {slower.lanes} would take "
        f"{slower.cycles:g} cycles a step, not {slower.equal:g}: moved is what costs nothing on "
        "any array of 8 to 64 PEs (docs/budget.md)"
    ]


def _shares_badly(
    classifier: Classifier,
    equal: Mapping[str, Goal],
    chosen: Mapping[str, Goal],
    data: SequenceData,
) -> list[str]:
    """Whether equal k lose less than those that were chosen, before anything is fine-tuned.

    Magnitudes of two matrices compare what they are multiplied by as well.
    """
    if chosen == equal:
        return []
    pruners = [Pruner(copy.deepcopy(classifier), goals) for goals in (chosen, equal)]
    if pruners[0].geometries() == pruners[1].geometries():  # the same masks: nothing to score
        return []
    shared, plain = (first_loss(pruner.squash(), data) for pruner in pruners)
    if not plain < shared:
        return []
    return [
        f"note: before fine-tuning the loss is {shared:.4g} with k by magnitude, {plain:.4g} with "
        "equal k: these may be better here, try --budget equal too"
    ]


class _Judge:
    """Scores on data that is not trained on, told as they come."""

    def __init__(self, dense: Classifier, data: SequenceData, part: str = "") -> None:
        self.data = data
        self.dense = self.score(dense)
        what = "score" if self.dense.accuracy is None else "accuracy"
        say(f"{what}, float network, {all_of(data)}{part}:")
        say(f"  dense: {self.dense}")

    def score(self, model: Classifier) -> Score:
        """Accuracy or errors."""
        return answers(model, self.data).score()

    def watch(self, number: int, count: int, sparsity: float, score: Score) -> None:
        """Tell an increment."""
        say(f"  increment {number} of {count}, {sparsity:.2%} removed: {score}")

    def noted(self, pruned: Pruned) -> dict[str, Any]:
        """Tell what is kept; to be noted in the checkpoint."""
        said = f"epoch {pruned.epoch} of the {pruned.epochs} of the last increment, its best"
        say(f"  kept: {said}, {pruned.increments[-1][1]}")
        increments = [{"sparsity": s, **score.figures} for s, score in pruned.increments]
        of: dict[str, Any] = {"sequences": len(self.data), "dense": self.dense.accuracy}
        if set(self.dense.figures) != {"accuracy"}:
            of |= {"dense_score": dict(self.dense.figures)}
        of |= {"counted": self.data.counted} if self.data.framewise else {}
        return {"increments": increments, "increments_of": of, "options": {"val": "val.npz"}}


def _settings(
    recipe: Recipe, asked: Asked, seed: int, checkpoint: Path, data: SequenceData
) -> dict[str, Any]:
    """What a log begins with: enough to do it again."""
    settings = {"checkpoint": checkpoint.name, "sequences": len(data), "seed": seed}
    settings |= {"banks": asked.banks, "sparsity": asked.sparsity, "budget": asked.budget}
    epochs = ("increments", "step_epochs", "final_epochs")
    settings |= {name: getattr(recipe, name) for name in epochs}
    return settings | {"training": asdict(recipe.tuning)} | {"asked": asked.options()}


def _view(goal: Goal) -> Banks:
    assert isinstance(goal.view, Banks)
    return goal.view


def _noted(goal: Goal) -> dict[str, int]:
    view = _view(goal)
    return {"banks": view.count} if view.width is None else {"width": view.width}  # type: ignore[dict-item]


def _tell(network: Network, restored: Sequence[str]) -> None:
    """Say what a user would not expect, before the time is spent."""
    if note := taking_part(network, restored):
        say(f"note: {note}")
    for note in network.imported.notes:
        say(f"note: {note}")
    head = network.names.get("head.weight")
    if head in network.imported.masks:
        say(f"note: {head} runs dense on the host: its zeros are not kept in fine-tuning")
    if note := hardware_note(network):
        say(f"note: {note}")


def train_and_prune(
    data: SequenceData, dense: Path, out: Path, recipe: Recipe, seed: int, evaluate: Evaluate
) -> None:
    """Train a dense classifier on normalised data, prune it, write both checkpoints."""
    increments: list[dict[str, float]] = []

    def watch(sparsity: float, model: SequenceClassifier) -> None:
        increments.append({"sparsity": sparsity, "accuracy": evaluate(model)})

    with stages() as progress:
        made = prune_and_finetune(data, recipe, seed, progress, None, watch)
    about = _about(recipe, recipe.sparsity, recipe.banks, seed, increments)
    _save(out, made.pruned.state_dict(), made.masks, about)
    save_weights(dense, made.dense)


def _about(
    recipe: Recipe, sparsity: float, banks: int, seed: int, increments: list[dict[str, float]]
) -> dict[str, Any]:
    return {
        "banks": banks,
        "sparsity_requested": sparsity,
        "budget": recipe.budget,
        "epochs": recipe.step_epochs * (recipe.increments - 1) + recipe.final_epochs,
        "seed": seed,
        "increments": increments,
    }


def _save(
    out: Path,
    tensors: Mapping[str, Any],
    masks: Mapping[str, Any],
    about: Mapping[str, Any],
    cut: Cut | None = None,
) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    noted = {METADATA: json.dumps(about, sort_keys=True, allow_nan=False)}
    save_tensors(out, tensors, masks, noted | ({CUT: cut.text()} if cut else {}))


def float_answers(
    path: Path, data: SequenceData, pool: str = LAST, cut: Cut | None = None
) -> Answers:
    """What a float checkpoint answers, its head fed in this way."""
    network = load_network(path, frames=data.sequences, cut=cut)
    return answers_as_read(network, pool_of(network, pool, path), path, data)
