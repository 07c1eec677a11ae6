"""Who computes an adaptation: this processor, or an array on a simulated board."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from csb_format.extras import needs
from csb_format.model import Model
from engine.learn.learner import Learner, LearnError
from engine.learn.native.passes import LANES, CompiledPasses

from .options import AdaptOptions, ModeName, TargetName

__all__ = ["check_target", "learner_of"]

PATIENCE = 3600.0  # seconds of a simulation without an answer


def check_target(given: AdaptOptions) -> None:
    """Refuse what a target cannot do, before anything is read.

    Raises
    ------
    LearnError
        Naming the option.
    """
    if given.target == TargetName.sim and given.mode != ModeName.head:
        raise LearnError(
            f"--target sim: arrays train the head alone so far, not {given.mode.value}: say "
            "--mode head"
        )


@contextmanager
def learner_of(given: AdaptOptions, model: Model, answers: int) -> Iterator[Learner]:
    """The learner, as long as its target is there.

    Parameters
    ----------
    given : AdaptOptions
    model : Model
    answers : int
        Most of a batch.

    Raises
    ------
    LearnError, DesignError
        If the target cannot train the model.
    """
    if given.target == TargetName.cpu:
        yield Learner(model, given.settings, CompiledPasses(model, given.threads), LANES)
        return
    with needs("simulate"):
        from boards.host.driver import Accelerator
        from boards.learn.learner import ArrayLearner
        from compiler.learn.layout import training_design
    design = training_design(model, given.pes, given.lanes, answers)
    with Accelerator.open("sim", design) as accelerator:
        accelerator.timeout = PATIENCE
        yield ArrayLearner(model, given.settings, accelerator, answers)
