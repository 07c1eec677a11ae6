"""The language models whose output layers are screened: their text, training, hash and score."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import typer

from csb_format import DenseLayer
from csb_format.screening.layer import ScreenedLayer
from pruning.tasks.data.corpora import Corpus, load_ptb, load_shakespeare
from pruning.tasks.networks.language import (
    LanguageModel,
    LanguageShape,
    LanguageTask,
)
from pruning.tasks.training.longrun import Plan

from ..accuracy.networks import NETWORKS, Language
from ..accuracy.rows import Row
from ..accuracy.training import Place, train_to_file, trained

__all__ = ["NAMES", "Text", "corpus_of", "first_words", "network_of", "of_ptb", "state_hash"]

UNKNOWN = "<unk>"


@dataclass(frozen=True)
class Text:
    """A network, and what it is trained on.

    Parameters
    ----------
    words : int
        Types at most, the most frequent of the training text; 0 for all of them.
    both : bool
        Whether Shakespeare's words come behind those of the Penn Treebank: a large vocabulary.
    network : Language
        Its shape and training.
    seed, tokens : int
        Tokens of the test text that are tried.
    """

    words: int
    both: bool
    network: Language
    seed: int = 0
    tokens: int = 12_000


_PTB = NETWORKS["ptb200"]
#: Names and how each network is trained; ``ptb200`` is that of bench.accuracy, six epochs.
NAMES: dict[str, Text] = {
    "ptb200": Text(0, False, _PTB, seed=5),
    "ptb200-2000": Text(2000, False, replace(_PTB, dense=Plan(2, 20.0))),
    "ptb200-500": Text(500, False, replace(_PTB, dense=Plan(2, 20.0))),
    "words650": Text(
        0,
        True,
        replace(
            _PTB,
            dense=Plan(0.06, 2e-3),
            shape=LanguageShape(650, 650, 1, tied=True, dropout=0.2),
            adam=True,
            clip=1.0,
        ),
        tokens=2000,
    ),
}


def corpus_of(text: Text, ptb: Path, shakespeare: Path | None) -> Corpus:
    """The text of a network; its rarest types are ``<unk>``."""
    corpus = load_ptb(ptb)
    if text.both:
        if shakespeare is None:
            raise typer.BadParameter("its text is PTB and Shakespeare: give --shakespeare")
        corpus = _joined(corpus, load_shakespeare(shakespeare, "words", 1 << 20))
    return _cut(corpus, text.words) if text.words else corpus


def _joined(one: Corpus, other: Corpus) -> Corpus:
    """Both texts over one vocabulary."""
    words = tuple(dict.fromkeys((*one.vocabulary, *other.vocabulary)))
    place = {word: n for n, word in enumerate(words)}
    moved = np.array([place[word] for word in other.vocabulary])
    train, valid, test = (
        np.concatenate([getattr(one, part), moved[getattr(other, part)]])
        for part in ("train", "valid", "test")
    )
    return Corpus(f"{one.name} and {other.name}", train, valid, test, words)


def _cut(corpus: Corpus, size: int) -> Corpus:
    """The ``size`` most frequent types of the training text, ``<unk>`` among them."""
    unknown = corpus.vocabulary.index(UNKNOWN)
    common = [n for n, _ in Counter(corpus.train.tolist()).most_common() if n != unknown]
    kept = sorted([*common[: size - 1], unknown])
    place = np.full(len(corpus), kept.index(unknown))
    place[kept] = np.arange(size)
    train, valid, test = (place[getattr(corpus, part)] for part in ("train", "valid", "test"))
    words = tuple(corpus.vocabulary[n] for n in kept)
    return Corpus(f"{corpus.name}, {size} types", train, valid, test, words)


def network_of(name: str, corpus: Corpus, place: Place, text: Text | None = None) -> LanguageModel:
    """The network of a name, from its file or trained now, in evaluation mode."""
    text = text or NAMES[name]
    if not text.words and not text.both:
        module = trained(Row(name, "dense", text.seed), place)
    else:
        network = text.network
        module = train_to_file(
            Row(name, "dense", text.seed),
            place,
            LanguageModel(len(corpus), network.shape, text.seed),
            network.dense,
            None,
            LanguageTask(corpus.train, network.batch, network.window, network.adam, network.clip),
        )
    assert isinstance(module, LanguageModel)
    return module


def of_ptb(name: str, ptb: Path | None, work: Path) -> tuple[LanguageModel, Corpus, dict[str, Any]]:
    """A network whose text is PTB alone, its text, and what a row says of it."""
    if ptb is None:
        raise typer.BadParameter("give --ptb, a zip of the Penn Treebank")
    text = NAMES[name]
    corpus = corpus_of(text, ptb, None)
    module = network_of(name, corpus, Place(work, {"ptb": ptb}, "cpu"))
    return module, corpus, {"network": name, "hash": state_hash(module), "seed": text.seed}


def first_words(head: DenseLayer, words: int) -> ScreenedLayer:
    """A head of the first words alone, in planes."""
    formats = head.weight_format, head.input
    return ScreenedLayer.of(DenseLayer(head.weight[:words], *formats, head.bias[:words]))


def state_hash(module: LanguageModel) -> str:
    """SHA-256 of all weights, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
