"""A head of two layers with a ReLU: rows that are proven zero, on networks trained with it.

``python -m bench.screening.rectify`` trains speaker classifiers on JapaneseVowels, a few minutes
of a core, and writes ``bench/results/rectified.json``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import nn

from compiler.array.screen.rectify import RectifyDesign
from compiler.timing.rectify_cycles import RectifyCycles
from csb_format.fixed import Fixed, IntArray
from csb_format.geometry import Geometry
from csb_format.heads.mlp import MlpHead
from csb_format.model import DenseLayer
from csb_format.screening.layer import ScreenedLayer
from engine.native.model import NativeModel
from engine.rectified import rectified
from engine.screened import PROOF
from pruning.integers.quantise import quantise
from pruning.tasks.data.datasets import Normaliser, SequenceData, load_japanese_vowels
from pruning.tasks.networks.sequence import SequenceClassifier, accuracy, train

from ..record import Smallest, write_record

__all__ = ["MARGINS", "WIDTHS", "head_of", "rows", "states_of", "trained"]

RESULTS = Path("bench/results/rectified.json")
SEEDS = 3
EPOCHS = 40
UNITS = 64
#: Rows of the first layer.
WIDTHS = (64, 256)
#: In 256ths; what is less than the proof is a guess.
MARGINS = (PROOF, 192, 128, 64)
BITS = 16
#: Lanes of the unit that multiply; its digit lanes take a whole row a cycle.
LANES = (8, 16, 32)


class MlpClassifier(SequenceClassifier):
    """One LSTM layer, and Linear, ReLU, Linear on the hidden state of the last frame."""

    def __init__(self, inputs: int, units: int, width: int, classes: int, seed: int) -> None:
        super().__init__(inputs, units, classes, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first, self.second = nn.Linear(units, width), nn.Linear(width, classes)
        self.head = nn.Sequential(self.first, nn.ReLU(), self.second)  # type: ignore[assignment]


def trained(data: SequenceData, width: int, seed: int, epochs: int = EPOCHS) -> MlpClassifier:
    """A network for the data, every weight of it there."""
    classes = int(data.labels.max()) + 1
    module = MlpClassifier(data.width, UNITS, width, classes, seed)
    train(module, data, epochs, seed)
    return module.eval()


def states_of(module: MlpClassifier, *parts: SequenceData) -> tuple[list[IntArray], Fixed]:
    """Last states of the sequences of each part, in integers, and their format."""
    layout = {
        name: Geometry(len(tensor), tensor.shape[1], 1, tensor.shape[1], BITS)
        for name, tensor in module.lstm.state_dict().items()
        if name.startswith("weight")
    }
    model = quantise(module.lstm, None, layout, list(parts[0].sequences)).model
    native = NativeModel(model)
    states = [np.stack([r.output[-1] for r in native.run(list(p.sequences))]) for p in parts]
    return states, model.layers[-1].output


def head_of(module: MlpClassifier, states: IntArray, given: Fixed) -> MlpHead:
    """Both layers in 16 bits; activations in the finest format that holds those of the states."""
    first = _dense(module.first, given)
    most = float((np.maximum(first.logits(states), 0) * first.last_bit).max())
    between = Fixed.for_range(BITS, most)
    squares = (states.astype(np.float64) ** 2).sum(axis=1)
    screened = ScreenedLayer.of(first, int(np.sqrt(squares).mean()))
    return MlpHead.of(screened, _dense(module.second, between))


def _dense(layer: nn.Linear, given: Fixed) -> DenseLayer:
    weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
    fixed = Fixed.for_range(BITS, float(abs(weight).max()))
    return DenseLayer(
        fixed.quantise(weight), fixed, given, Fixed(48, fixed.frac + given.frac).quantise(bias)
    )


def rows(width: int, seed: int, epochs: int, *parts: SequenceData) -> Iterator[dict[str, Any]]:
    """Of one network, trained on the first part: a row for the proof, and one for each guess."""
    module = trained(parts[0], width, seed, epochs)
    states, given = states_of(module, *parts)
    head, (*_, test), labels = head_of(module, states[0], given), states, parts[-1].labels
    whole = head.activations(test)
    about: dict[str, Any] = {"width": width, "inputs": UNITS, "seed": seed, "sequences": len(test)}
    about |= {"accuracy_float": accuracy(module, parts[-1]), "zeros": float((whole == 0).mean())}
    for margin in MARGINS:
        found = rectified(head, test, margin)
        right = head.last.logits(found.activations).argmax(axis=1) == labels
        yield (
            about
            | {
                "margin": margin / PROOF,
                "proven": found.proven,
                "wrong": int((found.activations != whole).sum()),
                "skipped": float(found.skipped.mean() / width),
                "rows": int(found.skipped.size * width),
                "rows_skipped": int(found.skipped.sum()),
                "bits_per_weight": float(8 * found.bytes.mean() / head.hidden[0].weight.size),
                "accuracy": float(right.mean()),
            }
            | ({"unit": [unit(head, test, lanes) for lanes in LANES]} if found.proven else {})
        )


def unit(head: MlpHead, states: IntArray, lanes: int) -> dict[str, Any]:
    """What the unit in hardware takes for some states, beside as many multipliers of whole weights.

    These take a word of ``lanes`` weights of every row each cycle, and nothing else.
    """
    rows, columns = head.hidden[0].weight.shape
    design = RectifyDesign.of_head(head, digits=columns, lanes=lanes)
    found = RectifyCycles(design, head).states(states)
    cycles = np.array([state.run for state in found])
    plain = rows * -(-columns // lanes)
    return {
        "lanes": lanes,
        "cycles": float(cycles.mean()),
        "worst": int(cycles.max()),
        "prepare": RectifyCycles(design, head).latencies.prepare,
        "whole_layer": plain,
        "times": float(cycles.mean() / plain),
    }


def main(
    json: Annotated[Path, typer.Option(help="Results.")] = RESULTS,
    smallest: Smallest = False,
) -> None:
    """Measure, and write the results."""
    train_part, test = (load_japanese_vowels(split) for split in ("train", "test"))
    normaliser = Normaliser.fit(train_part)
    parts = [normaliser.apply(part) for part in (train_part, test)]
    widths, seeds, epochs = (WIDTHS[:1], 1, 1) if smallest else (WIDTHS, SEEDS, EPOCHS)
    if smallest:
        parts = [part.chosen(range(0, len(part), 9)) for part in parts]
    found = []
    for width in widths:
        for seed in range(seeds):
            found += list(rows(width, seed, epochs, *parts))
            print(found[-len(MARGINS)], flush=True)
    write_record(json, "bench.screening.rectify", list(range(seeds)), found)
    print(f"wrote {json}")


if __name__ == "__main__":
    typer.run(main)
