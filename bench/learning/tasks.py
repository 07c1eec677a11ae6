"""What there is to learn: another microphone, other speakers, the first of many symbols."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import sparseflow as sf
from csb_format import Csb, DenseLayer, Fixed, Geometry, LstmLayer, Model
from pruning.tasks.data.datasets import Normaliser, SequenceData, load_japanese_vowels
from pruning.tasks.networks.sequence import SequenceClassifier, Training, train

from ..kinds import data as speech

__all__ = ["TASKS", "Found", "Task", "fresh"]

BANKS, SPARSITY = 4, 2 / 3
OFFSET, GAIN = 0.7, 0.35  # standard deviations of a microphone: of cepstra, of log gains
SYMBOLS, RECALL_UNITS = 8, 48
FEW = 12  # steps
RECALL_SEQUENCES, RECALL_TEST = 1024, 512
REMEMBER = {12: 3.0, 30: 5.0}  # bias of the forget gates


@dataclass(frozen=True)
class Found:
    """A task of one seed: models by their bits, what they learn from, and what judges them."""

    models: dict[int, Model]
    data: SequenceData
    test: SequenceData


@dataclass(frozen=True)
class Task:
    """Something to learn.

    Parameters
    ----------
    title : str
    made : callable
        From a seed, TIMIT's archive and whether the smallest case is wanted.
    epochs : int
    rate : float
    modes : tuple of str
    until : float
        A score that ends it; 0: all epochs are run.
    clip : float
        Norm of float's gradients at most, where it does not learn reliably otherwise.
    """

    title: str
    made: Callable[[int, Path | None, bool], Found]
    epochs: int
    rate: float
    modes: tuple[str, ...] = ("all", "head")
    until: float = 0.0
    batch: int = 32
    clip: float = 0.0


def _packed(head: nn.Linear, frames: Any, pruner: Any, pool: str) -> dict[int, Model]:
    quantised = {
        bits: sf.quantise(
            copy.deepcopy(pruner), head, frames, value_bits=bits, act_bits=bits, pool=pool
        )
        for bits in (8, 16)
    }
    return {bits: found.model for bits, found in quantised.items()}


def _microphone(data: SequenceData, seed: int) -> SequenceData:
    """The same through another microphone: an offset and a gain of every cepstrum."""
    rng = np.random.default_rng([seed, 1])
    offset = rng.normal(0, OFFSET, data.width).astype(np.float32)
    gain = np.exp(rng.normal(0, GAIN, data.width)).astype(np.float32)
    return replace(data, sequences=tuple(s * gain + offset for s in data.sequences))


def _vowels(smallest: bool) -> tuple[SequenceData, SequenceData]:
    learnt, test = load_japanese_vowels("train"), load_japanese_vowels("test")
    scale = Normaliser.fit(learnt)
    if smallest:
        learnt, test = learnt.chosen(range(0, 270, 15)), test.chosen(range(0, 370, 40))
    return scale.apply(learnt), scale.apply(test)


def microphone(seed: int, timit: Path | None, smallest: bool) -> Found:
    """JapaneseVowels, 64 units, pruned, packed; then the same speakers by another microphone."""
    learnt, test = _vowels(smallest)
    classifier = SequenceClassifier(hidden_size=24 if smallest else 64, seed=seed)
    train(classifier, learnt, 1 if smallest else 25, seed)
    pruner = sf.prune(classifier.lstm, banks=BANKS, sparsity=SPARSITY)
    train(classifier, learnt, 1 if smallest else 8, seed + 1, on_optimizer=pruner.attach)
    models = _packed(classifier.head, learnt.sequences, pruner, "last")
    return Found(models, _microphone(learnt, seed), _microphone(test, seed))


def scratch(seed: int, timit: Path | None, smallest: bool) -> Found:
    """JapaneseVowels from random weights."""
    learnt, test = _vowels(smallest)
    models = {bits: fresh(seed, 12, 24 if smallest else 64, 9, bits) for bits in (8, 16)}
    return Found(models, learnt, test)


class _Framewise(nn.Module):
    """An LSTM whose head answers every frame."""

    def __init__(self, inputs: int, units: int, classes: int, seed: int):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.lstm = nn.LSTM(inputs, units, batch_first=True)
            self.head = nn.Linear(units, classes)

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Logits of every frame (B, T, classes)."""
        found: torch.Tensor = self.head(self.lstm(frames)[0])
        return found


def speakers(seed: int, timit: Path | None, smallest: bool) -> Found:
    """Phones of TIMIT's sample: learnt of its men, then of half the sentences of its women."""
    assert timit is not None or smallest
    learnt, other = speech.women(timit) if timit else speech.noise(39)
    units = 24 if smallest else 64
    network = _Framewise(speech.FEATURES, units, 39, seed)
    settings = Training(batch=32, noise=0.3)
    train(network, learnt, 1 if smallest else 12, seed, settings=settings)
    pruner = sf.prune(network.lstm, banks=3, sparsity=SPARSITY)
    train(network, learnt, 1 if smallest else 6, seed + 1, on_optimizer=pruner.attach,
          settings=settings)  # fmt: skip
    models = _packed(network.head, learnt.sequences, pruner, "every")
    order = np.random.default_rng([seed, 3]).permutation(len(other)).tolist()
    half = len(order) // 2
    return Found(models, other.chosen(sorted(order[:half])), other.chosen(sorted(order[half:])))


def recall(steps: int) -> Callable[[int, Path | None, bool], Found]:
    """The first of some symbols, told after all of them."""

    def made(seed: int, timit: Path | None, smallest: bool) -> Found:
        rng = np.random.default_rng([seed, 4])
        count, test = (32, 16) if smallest else (RECALL_SEQUENCES, RECALL_TEST)
        models = {bits: _remembering(seed, bits, steps) for bits in (8, 16)}
        return Found(models, _symbols(rng, count, steps), _symbols(rng, test, steps))

    return made


def _remembering(seed: int, bits: int, steps: int) -> Model:
    # one symbol is 1 at a time: of 30 steps none is learnt from weights scaled for all of them
    at_once = 1 if steps > FEW else 0
    return fresh(seed, SYMBOLS, RECALL_UNITS, SYMBOLS, bits, REMEMBER[steps], at_once)


def _symbols(rng: np.random.Generator, count: int, steps: int) -> SequenceData:
    symbols = rng.integers(0, SYMBOLS, (count, steps))
    frames = np.eye(SYMBOLS, dtype=np.float32)[symbols]
    return SequenceData(tuple(frames), symbols[:, 0].astype(np.int64))


def fresh(
    seed: int,
    inputs: int,
    units: int,
    classes: int,
    bits: int,
    forget: float = 1.0,
    at_once: int = 0,
) -> Model:
    """Random weights on random balanced masks, in formats with room to grow.

    Those of inputs are scaled for so many of them that are not 0 at once; 0: as recurrent ones.
    """
    rng = np.random.default_rng([seed, 5])
    fixed, act = Fixed(bits, bits - 2), Fixed(bits, bits - 1)
    state = Fixed(bits + 2, bits - 3)
    ih = _matrix(rng, 4 * units, inputs, at_once or units, fixed)
    hh = _matrix(rng, 4 * units, units, units, fixed)
    bias = np.zeros(4 * units)
    bias[units : 2 * units] = forget
    layer = LstmLayer(
        ih, hh, state.quantise(bias), Fixed(bits, bits - 3), act, fixed, fixed, state
    )  # fmt: skip
    wide = Fixed(16, 12)
    weight = wide.quantise(rng.uniform(-1, 1, (classes, units)) / np.sqrt(units))
    head = DenseLayer(weight, wide, act, np.zeros(classes, np.int64))
    return Model((layer,), head, {"source": f"bench.learning, seed {seed}"})


def _matrix(rng: np.random.Generator, rows: int, columns: int, summed: int, fixed: Fixed) -> Csb:
    geometry = Geometry.nearest(rows, columns, BANKS, SPARSITY, fixed.width)
    width = geometry.bank_width
    ranks = rng.random((rows, BANKS, width)).argsort(axis=2)
    mask = (ranks < geometry.nonzeros).reshape(rows, -1)[:, :columns]
    # as many sums as a dense matrix's have: the fewer the weights, the larger
    scale = 1 / np.sqrt(summed * mask.mean())
    real = (rng.uniform(-1, 1, (rows, columns)) * scale * mask).astype(np.float32)
    return Csb.quantise(real, fixed, geometry, mask)


TASKS = {
    "microphone": Task("JapaneseVowels, another microphone", microphone, 12, 0.25),
    "speakers": Task("TIMIT's sample, from men to women", speakers, 30, 0.5, batch=4),
    "scratch": Task("JapaneseVowels, from random weights", scratch, 60, 0.25, ("all",)),
    "recall12": Task("recall the first of 12 symbols", recall(12), 80, 0.5, ("all",), 0.99),
    "recall30": Task(
        "recall the first of 30 symbols", recall(30), 80, 1.0, ("all",), 0.99, clip=0.25
    ),
}
