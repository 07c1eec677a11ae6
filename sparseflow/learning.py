"""The front door's way to go on learning: batch by batch, in integers; see :mod:`sparseflow`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.arguments import number, shown, whole
from csb_format.fixed import IntArray
from csb_format.model import Model
from csb_format.pooling import EVERY
from engine.learn.head import Asked
from engine.learn.learner import Learner, LearnError, Mode, Settings, Told
from engine.learn.native.passes import LANES, CompiledPasses
from engine.native.model import MOST_THREADS

from .steps.checks import model_of
from .steps.given import integers_of
from .steps.learning.targets import CPU, SIM, ArrayTarget, array_learner

__all__ = ["Adaptation", "adapt"]


@dataclass(frozen=True)
class Adaptation:
    """What :func:`adapt` gives.

    Parameters
    ----------
    model : Model
        With the weights of now.
    told : list of Told
        Of every batch: ``cost`` before its step, ``right``, ``answers``, ``clipped``, ``moved``.
    state : dict of str to int64 array
        Masters, exponents and the number of steps: with it another call goes on bit for bit.
    """

    model: Model
    told: list[Told]
    state: dict[str, IntArray]


def adapt(
    model: Model,
    batches: Iterable[tuple[Sequence[Any], npt.ArrayLike]],
    *,
    mode: Mode = Settings.mode,
    rate: float = Settings.rate,
    gradient_bits: int = Settings.gradient_bits,
    seed: int = Settings.seed,
    memory: int = Settings.memory,
    threads: int = 1,
    target: str = CPU,
    pes: int = 4,
    lanes: int = 4,
    state: Mapping[str, IntArray] | None = None,
) -> Adaptation:
    """Let a model go on learning in integers, a step for each batch; docs/learning.md has how.

    Parameters
    ----------
    model : Model
        With a head; of at most 16 bits. It is left as it is. To go on from ``state``, the model
        with which it began.
    batches : iterable of (sequences, answers)
        Sequences are arrays (T, X), real or in the model's input format. Answers are whole
        numbers, classes from 0, (sequences,) or, of a head that answers every frame, (all frames,)
        with -1 where none counts; or real numbers to be predicted, (sequences, Y) or
        (all frames, Y).
    mode : {"head", "recurrent", "all"}
        What moves; of recurrent layers kept weights alone.
    rate : float
        Of gradient descent on a batch's mean gradient.
    gradient_bits : {8, 16}
    seed : int
        Of the rounding of updates.
    memory : int
        Bytes that what a step keeps may take; 0 for no limit. The result is the same.
    threads : int
    target : str
        Who computes: ``cpu``; ``sim``, an array on a simulated board; or ``serial:PORT``, that of a
        board, whose bitstream is of :func:`compiler.learn.design.training_design`.
    pes, lanes : int
        Of the array.
    state : mapping, optional
        Of an earlier :class:`~sparseflow.learning.Adaptation`.

    Returns
    -------
    Adaptation

    Raises
    ------
    TypeError
        For what is no model, or no pairs of arrays.
    ValueError
        For labels beyond the head, another number of them, frames of another width, NaN; or memory
        that a single piece does not fit.
    """
    model_of("sf.adapt", model)
    seed = whole("seed", seed, 0, (1 << 63) - 1)
    memory, rate = whole("memory", memory, 0), number("rate", rate, 2.0**-30, 2.0**20)
    settings = Settings(mode, rate, gradient_bits, seed, memory)
    threads = whole("threads", threads, 1, MOST_THREADS)
    pes, lanes = whole("pes", pes, 1), whole("lanes", lanes, 1)
    if target == CPU:
        learner = Learner(model, settings, CompiledPasses(model, threads), LANES)
        return _learnt(learner, _taken(model, batches), state)
    if target != SIM and not (isinstance(target, str) and target.startswith("serial:")):
        raise ValueError(f"target = {shown(target)}: give cpu, sim or serial:PORT")
    taken = list(_taken(model, batches))  # an array is made for the largest
    lengths = [[len(each) for each in frames] for frames, _ in taken]
    array = ArrayTarget.of_batches(target, pes, lanes, model, lengths)
    with array_learner(model, settings, array) as trained:
        return _learnt(trained, taken, state)


def _learnt(
    learner: Learner,
    batches: Iterable[tuple[list[IntArray], Asked]],
    state: Mapping[str, IntArray] | None,
) -> Adaptation:
    """All steps."""
    if state is not None:
        learner.restore(state)
    told = [learner.step(*batch) for batch in batches]
    return Adaptation(learner.model, told, learner.state())


def _taken(
    model: Model, batches: Iterable[tuple[Sequence[Any], npt.ArrayLike]]
) -> Iterator[tuple[list[IntArray], Asked]]:
    """Batches as a learner takes them."""
    for n, batch in enumerate(batches):
        if not isinstance(batch, Sequence) or len(batch) != 2:
            raise TypeError(f"batch {n} is {shown(batch)}: give (sequences, answers)")
        frames = integers_of(batch[0], model.layers[0].input_size, model.layers[0].input)
        yield frames, _asked(model, frames, batch[1], f"batch {n}")


def _asked(model: Model, frames: list[IntArray], answers: npt.ArrayLike, where: str) -> Asked:
    head, found = model.head, np.asarray(answers)
    assert head is not None
    every = model.pool == EVERY
    lengths = [len(each) if every else 1 for each in frames]
    if len(found) != sum(lengths) or found.ndim not in (1, 2):
        what = "frame" if every else "sequence"
        raise LearnError(
            f"{where}: answers of shape {found.shape}: give one for each {what}, {sum(lengths)}"
        )
    cuts = np.cumsum(lengths)[:-1]
    if found.dtype.kind == "f":
        if found.ndim != 2 or found.shape[1] != head.output_size:
            raise LearnError(
                f"{where}: numbers of shape {found.shape}: the head gives {head.output_size}, "
                f"give ({len(found)}, {head.output_size})"
            )
        if not np.isfinite(found).all():
            raise LearnError(f"{where}: answers hold NaN or infinity: leave these sequences out")
        return Asked.of_numbers(head, np.split(found, cuts))
    if found.dtype.kind not in "iu" or found.ndim != 1:
        raise LearnError(f"{where}: answers of {found.dtype}: give classes, whole numbers from 0")
    bad = (found < -every) | (found >= head.output_size)
    if bad.any():
        raise LearnError(
            f"{where}: label {found[bad][0]}: the head has classes 0 to {head.output_size - 1}"
        )
    return Asked(labels=tuple(np.split(found.astype(np.int64), cuts)))
