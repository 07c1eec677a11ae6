"""A trained language model in integers, its head in planes, and what its head is fed with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from csb_format import Model
from csb_format.fixed import IntArray
from csb_format.geometry import Geometry
from csb_format.screening.layer import ScreenedLayer
from engine.native.model import NativeModel
from engine.ordered import ordered
from pruning.integers.qat import Precision
from pruning.integers.quantise import build_model
from pruning.tasks.data.corpora import Corpus, TokenArray
from pruning.tasks.networks.language import LanguageModel

__all__ = ["BITS", "Screened", "screened"]

BITS = 16
#: Stretches of the training text, evenly apart, and tokens of each: it begins with a list of names.
STRETCHES, CALIBRATION = 8, 250


@dataclass(frozen=True, eq=False)
class Screened:
    """A language model on this CPU.

    Parameters
    ----------
    model : Model
        Dense matrices, every token's output goes to a head in planes.
    table : float64 array (words, embedding)
    """

    model: Model
    table: Any

    @cached_property
    def native(self) -> NativeModel:
        """It in C."""
        return NativeModel(self.model)

    @property
    def head(self) -> ScreenedLayer:
        """Its output layer."""
        assert isinstance(self.model.head, ScreenedLayer)
        return self.model.head

    def states(self, tokens: TokenArray) -> IntArray:
        """What the head is fed with, token by token of one stream: int64 (T, H)."""
        return self.native.run([self.table[tokens]])[0].output


def screened(module: LanguageModel, corpus: Corpus) -> Screened:
    """Quantise a network after training, and order its head for its training text."""
    table = module.embedding.weight.detach().double().numpy()
    starts = range(0, len(corpus.train), -(-len(corpus.train) // STRETCHES))
    stretches = [corpus.train[at : at + CALIBRATION] for at in starts]
    texts = [table[tokens] for tokens in stretches]
    formats = Precision(BITS, BITS).formats(module.lstm, module.head, [table, *texts])
    layout = {
        name: Geometry(len(tensor), tensor.shape[1], 1, tensor.shape[1], BITS)
        for name, tensor in module.lstm.state_dict().items()
        if name.startswith("weight")
    }
    model = build_model(module.lstm, module.head, layout, formats, pool="every")
    assert model.head is not None
    states = np.concatenate([Screened(model, table).states(tokens) for tokens in stretches])
    return Screened(replace(model, head=ordered(model.head, states)), table)
