"""The steps that need PyTorch: prune and fine-tune, quantise, accuracy of float models."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from csb_format import Model
from pruning.checkpoint import Checkpoint, CheckpointError, load_lstm, save_weights
from pruning.datasets import SequenceData
from pruning.quantise import quantise
from pruning.recipe import Outcome, Recipe, prune_and_finetune
from pruning.sequence import SequenceClassifier, accuracy

from .progress import stages

__all__ = ["float_accuracy", "pack_checkpoint", "prune_classifier", "train_and_prune"]

METADATA = "sparseflow"
MATRICES = ("weight_ih_l0", "weight_hh_l0")
Evaluate = Callable[[SequenceClassifier], float]


def prune_classifier(
    checkpoint: Path, data: SequenceData, out: Path, recipe: Recipe, seed: int
) -> Outcome:
    """Prune and fine-tune a user's classifier, and write the pruned checkpoint."""
    start = _classifier(load_lstm(checkpoint), checkpoint)
    _check_data(start, data, checkpoint)
    recipe = replace(recipe, hidden_size=start.lstm.hidden_size)
    return _pruned(data, out, recipe, seed, start, None)


def train_and_prune(
    data: SequenceData, dense: Path, out: Path, recipe: Recipe, seed: int, evaluate: Evaluate
) -> Outcome:
    """Train a dense classifier on normalised data, prune it, write both checkpoints."""
    outcome = _pruned(data, out, recipe, seed, None, evaluate)
    save_weights(dense, outcome.dense)
    return outcome


def _pruned(
    data: SequenceData,
    out: Path,
    recipe: Recipe,
    seed: int,
    start: SequenceClassifier | None,
    evaluate: Evaluate | None,
) -> Outcome:
    increments: list[dict[str, float]] = []

    def watch(sparsity: float, model: SequenceClassifier) -> None:
        if evaluate is not None:
            increments.append({"sparsity": sparsity, "accuracy": evaluate(model)})

    with stages() as progress:
        outcome = prune_and_finetune(data, recipe, seed, progress, start, watch)
    about = {
        "banks": recipe.banks,
        "sparsity_requested": recipe.sparsity,
        "epochs": recipe.step_epochs * (recipe.increments - 1) + recipe.final_epochs,
        "seed": seed,
        "increments": increments,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(out, outcome.pruned, outcome.masks, {METADATA: json.dumps(about, sort_keys=True)})
    return outcome


def pack_checkpoint(
    path: Path, calibration: SequenceData, banks: int | None, value_bits: int, act_bits: int
) -> tuple[Model, dict[str, int]]:
    """Quantise a pruned checkpoint to the accelerator's integers.

    Returns
    -------
    model : Model
        With what the checkpoint says of itself as provenance.
    saturations : dict of str to int

    Raises
    ------
    CheckpointError
        If neither the checkpoint nor the caller says how many banks there are.
    """
    checkpoint = load_lstm(path)
    about = _about(checkpoint, path)
    chosen = about.get("banks") if banks is None else banks
    if chosen is None:
        raise CheckpointError(f"{path} does not say how many banks it has: give --banks")
    provenance = {key: json.dumps(value) for key, value in about.items()}
    quantised = quantise(
        checkpoint.lstm,
        checkpoint.head,
        dict.fromkeys(MATRICES, int(chosen)),
        calibration.sequences,
        value_bits=value_bits,
        act_bits=act_bits,
        provenance=provenance,
        masks=checkpoint.masks,
    )
    return quantised.model, quantised.saturations


def _about(checkpoint: Checkpoint, path: Path) -> dict[str, Any]:
    """What :func:`_pruned` has noted in a checkpoint."""
    try:
        about = json.loads(checkpoint.metadata.get(METADATA, "{}"))
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged metadata ({error}): prune again") from error
    if not isinstance(about, dict):
        raise CheckpointError(f"{path}: its metadata is no object: prune again")
    return about


def float_accuracy(path: Path, data: SequenceData) -> float:
    """Share of sequences that a float checkpoint classifies rightly."""
    model = _classifier(load_lstm(path), path)
    _check_data(model, data, path)
    return accuracy(model, data)


def _classifier(checkpoint: Checkpoint, path: Path) -> SequenceClassifier:
    lstm, head = checkpoint.lstm, checkpoint.head
    if head is None:
        raise CheckpointError(
            f"{path} has no linear layer on the hidden state: save the classifier with its head"
        )
    checkpoint.check_finite(path)
    model = SequenceClassifier(lstm.input_size, lstm.hidden_size, head.out_features)
    lstm.batch_first = True
    model.lstm, model.head = lstm, head
    return model


def _check_data(model: SequenceClassifier, data: SequenceData, path: Path) -> None:
    if data.width != model.lstm.input_size or data.labels.max() >= model.head.out_features:
        raise CheckpointError(
            f"{path} takes {model.lstm.input_size} features and knows "
            f"{model.head.out_features} classes; the data has {data.width} features and labels "
            f"up to {data.labels.max()}: give the data that it was trained on"
        )
