"""Who computes an adaptation: this processor, or an array on a simulated board or a real one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from csb_format.extras import needs
from csb_format.model import Model
from csb_format.pooling import EVERY
from engine.learn.learner import Learner, LearnError, Settings
from engine.learn.native.passes import LANES, CompiledPasses

from .options import AdaptOptions, TargetName

__all__ = [
    "CPU",
    "SIM",
    "ArrayTarget",
    "array_learner",
    "check_target",
    "cycles_told",
    "learner_of",
]

PATIENCE = 3600.0  # seconds of a simulation without an answer
CPU, SIM, SERIAL = "cpu", "sim", "serial:"


@dataclass(frozen=True)
class ArrayTarget:
    """An array that trains, of a size that a training needs.

    Parameters
    ----------
    where : str
        ``sim``, or ``serial:PORT`` of a board.
    pes, lanes : int
    answers, frames : int
        Most of a batch; see :func:`compiler.learn.design.training_design`.
    """

    where: str
    pes: int
    lanes: int
    answers: int
    frames: int

    @classmethod
    def of_batches(
        cls, where: str, pes: int, lanes: int, model: Model, batches: Sequence[Sequence[int]]
    ) -> ArrayTarget:
        """For batches of sequences of these lengths."""
        every = model.pool == EVERY
        answers = max((sum(b) if every else len(b) for b in batches), default=1)
        frames = max((max(b) * -(-len(b) // lanes) * lanes for b in batches if b), default=1)
        return cls(where, pes, lanes, max(1, answers), frames)


def check_target(given: AdaptOptions) -> None:
    """Refuse what a target cannot do, before anything is read.

    Raises
    ------
    LearnError
        Naming the option.
    """
    if given.target == TargetName.board and not given.port:
        raise LearnError(
            "--target board: say where the board is, as --port serial:/dev/ttyUSB0; its bitstream "
            "must be of the design that trains this model"
        )
    if given.target != TargetName.cpu and given.settings.memory:
        raise LearnError(
            f"--memory {given.memory}: of the cpu; an array keeps a batch whole: give --batch"
        )
    if given.port and not given.port.startswith(SERIAL):
        raise LearnError(f"--port {given.port}: give {SERIAL}PORT, as serial:/dev/ttyUSB0")


@contextmanager
def learner_of(given: AdaptOptions, model: Model, lengths: Sequence[int]) -> Iterator[Learner]:
    """The learner, as long as its target is there.

    Parameters
    ----------
    given : AdaptOptions
    model : Model
    lengths : sequence of int
        Frames of all sequences; any of them may make a batch.

    Raises
    ------
    LearnError, DesignError
        If the target cannot train the model.
    """
    if given.target == TargetName.cpu:
        yield Learner(model, given.settings, CompiledPasses(model, given.threads), LANES)
        return
    where = given.port if given.target == TargetName.board else SIM
    longest = sorted(lengths, reverse=True)[: given.batch]
    target = ArrayTarget.of_batches(where, given.pes, given.lanes, model, [longest])
    with array_learner(model, given.settings, target) as learner:
        yield learner


def cycles_told(learner: Learner, batch: int, lengths: Sequence[int]) -> dict[str, Any]:
    """What the cycle model says of the largest batch, for a page; nothing of a processor.

    Parameters
    ----------
    learner : Learner
    batch : int
        Most sequences of one.
    lengths : sequence of int
        Frames of all.

    Returns
    -------
    dict
        ``array``: cycles of the array, of what passes between it and the host at a bus of 32 bits,
        of both together, and those of transfers that the array works behind.
    """
    of = getattr(learner, "cycles", None)
    if of is None:
        return {}
    steps, sequences = max(lengths), min(batch, len(lengths))
    told = of(steps, sequences)
    return {
        "array": {
            "steps": steps,
            "sequences": sequences,
            "array_cycles": told.array,
            "transfer_cycles": told.port,
            "cycles": told.whole,
            "hidden_cycles": told.hidden,
            "loaded_words": told.loaded,
        }
    }


@contextmanager
def array_learner(model: Model, settings: Settings, target: ArrayTarget) -> Iterator[Learner]:
    """A learner over the driver, as long as its array is there.

    Raises
    ------
    LearnError, DesignError
        If the array cannot train the model.
    WrongModelError
        If the board's bitstream is of another design.
    """
    with needs("simulate"):
        from boards.host.driver import Accelerator
        from boards.learn.learner import ArrayLearner
        from compiler.learn.design import learns_head, training_design
    alone = settings.mode == "head" and learns_head(model.shape)
    frames = 0 if alone else target.frames
    design = training_design(
        model, target.pes, target.lanes, target.answers, frames, settings.gradient_bits
    )
    with Accelerator.open(target.where, design) as accelerator:
        accelerator.timeout = PATIENCE
        yield ArrayLearner(model, settings, accelerator)
