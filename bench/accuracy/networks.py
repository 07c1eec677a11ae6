"""The networks of the accuracy tables: their data, training and score."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from pruning.tasks.data.corpora import Corpus, load_ptb, load_shakespeare
from pruning.tasks.data.timit import SpeechData, load_timit
from pruning.tasks.networks.language import LanguageModel, LanguageShape, LanguageTask, perplexity
from pruning.tasks.networks.speech import FrameClassifier, FrameTask, frame_error
from pruning.tasks.training.longrun import Plan, Task

__all__ = ["NETWORKS", "Language", "Network", "Speech"]


@dataclass(frozen=True)
class Network:
    """What all networks say of themselves.

    Parameters
    ----------
    data : str
        Option that gives the path of the data.
    dense, tune, aware : Plan
        Training from nothing; fine-tuning of every pattern, and of a dense copy; further
        fine-tuning with and without quantisation. The seed of a row replaces theirs.
    main, main_sparsity : str, float
        The pattern that is quantised and simulated.
    gpu : bool
        Whether training on a CPU would take days.
    increments : int
        Of the sparsity, in the first 40 % of fine-tuning.
    rtl_bits : (int, int)
        Of weights and activations on the simulated accelerator: what its board has room for.
    """

    data: str
    dense: Plan
    tune: Plan
    aware: Plan
    main: str
    main_sparsity: float
    gpu: bool = False
    increments: int = 6
    rtl_bits: tuple[int, int] = (16, 16)


@dataclass(frozen=True)
class Language(Network):
    """A language model; the score is perplexity."""

    shape: LanguageShape = field(default_factory=lambda: LanguageShape(200, 200, 2))
    batch: int = 20
    window: int = 35
    adam: bool = False
    clip: float = 0.25

    def module(self, path: Path, seed: int) -> LanguageModel:
        return LanguageModel(len(_corpus(self.data, path)), self.shape, seed)

    def task(self, path: Path, seed: int) -> Task:
        tokens = _corpus(self.data, path).train
        return LanguageTask(tokens, self.batch, self.window, self.adam, self.clip)

    def score(self, module: nn.Module, path: Path, seed: int) -> dict[str, float]:
        assert isinstance(module, LanguageModel)
        corpus = _corpus(self.data, path)
        return {p: perplexity(module, getattr(corpus, p)) for p in ("valid", "test")}

    def corpus(self, path: Path) -> Corpus:
        return _corpus(self.data, path)


@dataclass(frozen=True)
class Speech(Network):
    """A frame classifier; the score is the frame error on held-out speakers, and on those heard."""

    hidden: int = 256
    projection: int = 0

    def module(self, path: Path, seed: int) -> FrameClassifier:
        return FrameClassifier(hidden=self.hidden, projection=self.projection, seed=seed)

    def task(self, path: Path, seed: int) -> Task:
        return FrameTask(self.speech(path, seed).train)

    def score(self, module: nn.Module, path: Path, seed: int) -> dict[str, float]:
        data = self.speech(path, seed)
        return {"test": frame_error(module, data.test), "train": frame_error(module, data.train)}

    def speech(self, path: Path, seed: int) -> SpeechData:
        """Seed s holds out the speakers of fold s mod 4."""
        return load_timit(path, seed % 4)


@lru_cache(maxsize=2)
def _corpus(data: str, path: Path) -> Corpus:
    return load_ptb(path) if data == "ptb" else load_shakespeare(path)


def _ptb(size: int, dropout: float, epochs: int, gpu: bool) -> Language:
    # The settings of PyTorch's word_language_model example.
    return Language(
        "ptb",
        dense=Plan(epochs, 20.0),
        tune=Plan(1 if not gpu else epochs / 4, 10.0),
        aware=Plan(0.5, 2.0, hold=0.0),
        main="banks of 25",
        main_sparsity=0.8,
        gpu=gpu,
        rtl_bits=(8, 8),
        shape=LanguageShape(size, size, 2, tied=True, dropout=dropout),
    )


def _timit(hidden: int, projection: int) -> Speech:
    return Speech(
        "timit",
        dense=Plan(20, 3e-3),
        tune=Plan(20, 2e-3),
        aware=Plan(10, 5e-4, hold=0.0),
        main="8 banks",
        main_sparsity=0.875,
        hidden=hidden,
        projection=projection,
    )


NETWORKS: dict[str, Any] = {
    "ptb200": _ptb(200, 0.2, 6, gpu=False),
    # As brief as that of 200 units: does the gap shrink where there are weights to spare? The
    # example's dropout of 0.5 is for 40 epochs.
    "ptb650brief": _ptb(650, 0.35, 6, gpu=False),
    "ptb650": _ptb(650, 0.5, 40, gpu=True),
    "ptb1500": _ptb(1500, 0.65, 40, gpu=True),
    "timit256": _timit(256, 0),
    "timit1024": _timit(1024, 512),
    "shakespeare256": Language(
        "shakespeare",
        dense=Plan(1.5, 3e-3),
        tune=Plan(1, 2e-3),
        aware=Plan(0.1, 3e-4, hold=0.0),
        main="8 banks",
        main_sparsity=0.875,
        shape=LanguageShape(64, 256, 1),
        batch=32,
        window=100,
        adam=True,
        clip=1.0,
    ),
}
