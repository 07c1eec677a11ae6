"""Accuracy of quantised classifiers, with and without fine-tuning in the hardware's arithmetic.

``python -m bench.masks.quantisation [--seeds 3] [--json FILE]`` trains and prunes two classifiers
on JapaneseVowels for each seed, then quantises them to 16, 12, 8 and 4 bits: ``after`` as they
are, ``float`` after as many further epochs in float, which is what quantisation-aware
fine-tuning has to be compared with, ``aware`` after those epochs in the hardware's arithmetic.
Accuracies of ``aware`` are those of the integer model, whose outputs must equal the
fine-tuning forward's bit for bit. ``_loss`` is cross entropy on the test data.

The first network is the demo's. It loses next to nothing at 4 bits, so it cannot tell ways of
fine-tuning apart; the second, of 16 units and trained with less noise, was chosen among five
sizes and trainings because quantisation does cost it something, which was seen on test data.
"""

from __future__ import annotations

import copy
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from engine.reference import IntegerModel
from pruning.integers.calibrate import padded
from pruning.integers.qat import Precision, QatClassifier
from pruning.tasks.data.datasets import SequenceData, load_japanese_vowels
from pruning.tasks.networks.sequence import SequenceClassifier, Training, accuracy, train
from pruning.tasks.recipes.finetune_integers import finetune_quantised
from pruning.tasks.recipes.recipe import Recipe, prune_and_finetune

from ..record import Smallest, write_record

# (weights, activations, formats per gate)
WIDTHS = ((16, 16, False), (12, 12, False), (8, 8, False), (4, 8, False), (4, 8, True))
WAYS = ("after", "float", "aware")
_LESS_NOISE = Training(1e-2, weight_decay=0, noise=0.3, smoothing=0)
_SMALL_TUNING = Training(2e-3, weight_decay=0, noise=0.3, smoothing=0)
# Recipe of the network, and how it is fine-tuned further.
NETWORKS = {
    "demo, 128 units": (Recipe(), Training(2e-3)),
    "small, 16 units": (
        Recipe(
            hidden_size=16,
            banks=4,
            sparsity=0.75,
            dense_epochs=40,
            increments=2,
            step_epochs=6,
            final_epochs=25,
            training=_LESS_NOISE,
            tuning=_SMALL_TUNING,
        ),
        _SMALL_TUNING,
    ),
}
SMALLEST = Recipe(hidden_size=8, banks=4, dense_epochs=1, increments=1, final_epochs=1)
SMALLEST_NETWORKS = {"smallest, 8 units": (SMALLEST, Training(2e-3))}


@dataclass(frozen=True)
class Case:
    """One pruned network, and the same fine-tuned further in float."""

    pruned: SequenceClassifier
    further: SequenceClassifier
    masks: dict[str, Tensor]
    data: SequenceData
    test: SequenceData
    banks: int
    settings: Training
    epochs: int
    seed: int


def main(
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0 .. this - 1.")] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="Of further fine-tuning.")] = 20,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Measure, print a table, write JSON."""
    torch.set_num_threads(1)
    networks = SMALLEST_NETWORKS if smallest else NETWORKS
    rows = [
        row
        for name, how in networks.items()
        for seed in range(seeds)
        for row in _seed(name, *how, seed, epochs)
    ]
    keys = dict.fromkeys(_key(row) for row in rows)
    summary = [_mean([row for row in rows if _key(row) == key]) for key in keys]
    Console(width=140).print(_table(summary))
    if json:
        write_record(
            json,
            "bench.masks.quantisation",
            list(range(seeds)),
            rows,
            summary=summary,
            epochs=epochs,
        )


def _key(row: dict[str, Any]) -> tuple[str, int, int, bool]:
    return row["network"], row["value_bits"], row["act_bits"], row["per_gate"]


def _seed(
    name: str, recipe: Recipe, settings: Training, seed: int, epochs: int
) -> list[dict[str, Any]]:
    case = _case(recipe, settings, seed, epochs)
    given = {"network": name, "seed": seed} | {
        "pruned": accuracy(case.pruned, case.test),
        "further": accuracy(case.further, case.test),
    }
    return [given | _row(case, Precision(*width)) for width in WIDTHS]


def _case(recipe: Recipe, settings: Training, seed: int, epochs: int) -> Case:
    data = load_japanese_vowels("train")
    outcome = prune_and_finetune(data, recipe, seed)
    data = outcome.normaliser.apply(data)
    test = outcome.normaliser.apply(load_japanese_vowels("test"))
    masks = {name.removeprefix("lstm."): mask for name, mask in outcome.masks.items()}
    further = copy.deepcopy(outcome.pruned)
    for matrix, mask in masks.items():
        # Weights start at zero outside the mask; without gradients AdamW leaves them there.
        register: Any = further.lstm.get_parameter(matrix).register_post_accumulate_grad_hook
        register(_held(mask))
    train(further, data, epochs, seed, settings=settings)
    return Case(outcome.pruned, further, masks, data, test, recipe.banks, settings, epochs, seed)


def _held(mask: Tensor) -> Any:
    def zero(parameter: Tensor) -> None:
        assert parameter.grad is not None
        parameter.grad.mul_(mask)

    return zero


def _row(case: Case, precision: Precision) -> dict[str, Any]:
    start = time.perf_counter()
    lstm, head = case.pruned.lstm, case.pruned.head
    how: dict[str, Any] = {"precision": precision, "masks": case.masks, "settings": case.settings}
    aware = finetune_quantised(lstm, head, case.data, case.epochs, case.seed, **how)
    seconds = time.perf_counter() - start
    share, different = _integers(aware, case)
    ways = {
        "after": _quantised(case.pruned, precision, case),
        "float": _quantised(case.further, precision, case),
        "aware": aware,
    }
    found = {way: accuracy(model, case.test) for way, model in ways.items()} | {"aware": share}
    losses = {f"{way}_loss": _loss(model, case.test) for way, model in ways.items()}
    return vars(precision) | found | losses | {"different_bits": different, "seconds": seconds}


def _quantised(model: SequenceClassifier, precision: Precision, case: Case) -> QatClassifier:
    formats = precision.formats(model.lstm, model.head, case.data.sequences)
    return QatClassifier(model.lstm, model.head, formats, case.masks)


def _loss(model: QatClassifier, test: SequenceData) -> float:
    with torch.no_grad():
        logits = model(*padded(test.sequences))
    return float(nn.functional.cross_entropy(logits, torch.from_numpy(test.labels)))


def _integers(aware: QatClassifier, case: Case) -> tuple[float, int]:
    """Accuracy of the integer model, and outputs that differ from the fine-tuning forward."""
    model = aware.to_model(dict.fromkeys(aware.lstm.masks, case.banks))
    integers, test = IntegerModel(model), case.test
    traces = integers.run(integers.quantise(test.sequences))
    with torch.no_grad():
        outputs = aware.lstm(*padded(test.sequences)).numpy()
    frac = model.layers[-1].output.frac
    different = sum(
        int((np.ldexp(outputs[n, : len(t.output)], frac) != t.output).sum())
        for n, t in enumerate(traces)
    )
    found = integers.classify(np.stack([trace.output[-1] for trace in traces]))
    return float((found == test.labels).mean()), different


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("pruned", "further", *WAYS, *(f"{way}_loss" for way in WAYS), "seconds")
    means = {name: statistics.mean(row[name] for row in rows) for name in names}
    kept = {name: rows[0][name] for name in ("network", "value_bits", "act_bits", "per_gate")}
    return kept | means | {"different_bits": sum(row["different_bits"] for row in rows)}


def _table(summary: list[dict[str, Any]]) -> Table:
    table = Table(title="JapaneseVowels, 370 test utterances, means over seeds")
    losses = tuple(f"{way}_loss" for way in WAYS)
    shares = ("pruned", "further", *WAYS)
    for name in ("network", "weights", "activations", "per gate", *shares, *losses, "different"):
        table.add_column(name, justify="right")
    for row in summary:
        width = (str(row["value_bits"]), str(row["act_bits"]), "yes" if row["per_gate"] else "no")
        found = (*(f"{row[n]:.2%}" for n in shares), *(f"{row[n]:.3f}" for n in losses))
        table.add_row(row["network"], *width, *found, str(row["different_bits"]))
    return table


if __name__ == "__main__":
    typer.run(main)
