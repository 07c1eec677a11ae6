"""The same training in integers."""

from __future__ import annotations

import numpy as np

from csb_format import Model
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

    def epoch(self, data: SequenceData, batch: int, seed: int, number: int) -> None:
        """Go through the data once."""
        order, model = epoch_order(len(data), seed, number), self.learner.masters.start
        frames = [model.layers[0].input.quantise(sequence) for sequence in data.sequences]
        asked = asked_of(model, data)
        for at in range(0, len(order), batch):
            places = order[at : at + batch].tolist()
            told = self.learner.step([frames[n] for n in places], asked.chosen(places))
            self.clipped.append(told.clipped)

    def score(self, data: SequenceData) -> float:
        """Share of right answers."""
        return score_of(self.learner.model, data)
