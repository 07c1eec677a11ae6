"""The same training in integers."""

from __future__ import annotations

import numpy as np

from csb_format import IntArray, Model
from engine.learn.head import Asked
from engine.learn.learner import Learner, Settings
from engine.learn.native.passes import LANES, CompiledPasses
from engine.native.model import NativeModel
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.scores.answers import Answers
from sparseflow.steps.learning.asked import asked_of

from .floating import epoch_order

__all__ = ["IntegerNetwork", "score_of"]


def score_of(model: Model, data: SequenceData) -> float:
    """Share of right answers."""
    native, head = NativeModel(model, None, 1), model.head
    assert head is not None
    frames = [native.input.quantise(sequence) for sequence in data.sequences]
    logits = (np.atleast_2d(model.logits(trace.output)) for trace in native.run(frames))
    found = Answers.of(data, logits, head.last_bit).score().accuracy
    assert found is not None
    return found


class IntegerNetwork:
    """A packed model that learns.

    Parameters
    ----------
    model : Model
    settings : Settings
        Its own exponents run in numpy, slowly.
    """

    def __init__(self, model: Model, settings: Settings):
        own = settings.exponents == "own"
        made = None if own else CompiledPasses(model)
        self.learner = Learner(model, settings, made, 1 if own else LANES)
        self.clipped: list[float] = []
        self._known: tuple[SequenceData, list[IntArray], Asked] | None = None

    def epoch(self, data: SequenceData, batch: int, seed: int, number: int) -> None:
        """Go through the data once."""
        order, (frames, asked) = epoch_order(len(data), seed, number), self._given(data)
        for at in range(0, len(order), batch):
            places = order[at : at + batch].tolist()
            told = self.learner.step([frames[n] for n in places], asked.chosen(places))
            self.clipped.append(told.clipped)

    def _given(self, data: SequenceData) -> tuple[list[IntArray], Asked]:
        """Frames in integers and what is asked, made once."""
        if self._known is None or self._known[0] is not data:
            model = self.learner.masters.start
            frames = [model.layers[0].input.quantise(sequence) for sequence in data.sequences]
            self._known = data, frames, asked_of(model, data)
        return self._known[1:]

    def score(self, data: SequenceData) -> float:
        """Share of right answers."""
        return score_of(self.learner.model, data)
