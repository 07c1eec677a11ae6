"""A sequence that has no end yet: its state stays on the array, results leave as frames arrive."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from csb_format import IntArray, Model

from .inputs import Given
from .states import States
from .states import logits as logits_of

__all__ = ["Stream"]


class Stream:
    """Frames of one sequence, as they come.

    All steps together give the bits that the whole sequence gives at once. Where a step fails, the
    state is unknown: call :meth:`restart`.

    Parameters
    ----------
    run : callable
        Takes frames (T, X), ``keep`` and ``given``; :meth:`boards.host.driver.Accelerator.run`.
    model : Model
        Of one direction.

    Raises
    ------
    ValueError
        For a model of two directions: the reverse one begins at a last frame.
    """

    def __init__(self, run: Callable[..., States], model: Model):
        if model.directions != 1:
            raise ValueError(
                f"the model has {model.directions} directions, and one of them begins at the last "
                "frame: give whole sequences to run()"
            )
        self._run, self.model, self.frames = run, model, 0

    def restart(self) -> None:
        """Begin another sequence: the next frame finds a zero state."""
        self.frames = 0

    def step(self, frames: npt.ArrayLike, given: Given | None = None) -> States:
        """The next frame, or the next few.

        Parameters
        ----------
        frames : array (X,) or (T, X)
            Integers in the first layer's input format, or floats: raw features if the model has a
            scale, else real numbers as in training.
        given : {"integers", "raw", "scaled"}, optional
            What they are, where their type does not tell; as
            :meth:`boards.host.driver.Accelerator.run` takes it.

        Returns
        -------
        States
            Of these frames.

        Raises
        ------
        ValueError
            For another shape, NaN or infinity, integers outside the format.
        AcceleratorError, LinkError
            As :meth:`boards.host.driver.Accelerator.run`.
        """
        array = np.atleast_2d(np.asarray(frames))
        if array.dtype.kind == "f":
            if not np.isfinite(array).all():
                raise ValueError("the frame holds NaN or infinity: leave it out, or repair it")
            if given is None and self.model.input_scale is None:
                given = "scaled"
        states = self._run(array, keep=self.frames > 0, given=given)
        self.frames += len(array)
        return states

    def logits(self, states: States) -> IntArray:
        """Exact logits at the last of the frames of a step.

        Parameters
        ----------
        states : States
            What :meth:`step` gave.

        Returns
        -------
        int64 array (O,)

        Raises
        ------
        ValueError
            Without a head, or where it is fed with a mean: that is known at the end alone.
        """
        if self.model.pool == "mean":
            raise ValueError(
                "the head takes the mean over all frames: keep states.output, and feed the head at "
                "the end with model.logits(np.concatenate(outputs))"
            )
        found = logits_of(self.model, states)
        return found[-1] if found.ndim == 2 else found

    def numbers(self, states: States) -> npt.NDArray[np.float64]:
        """The same as numbers in the units of training, float64 (O,); errors as :meth:`logits`."""
        found = self.logits(states)
        assert self.model.head is not None
        return np.asarray(found * self.model.head.last_bit)
