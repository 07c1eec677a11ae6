"""From raw features to what a network takes: one mean and one factor for each input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["HOW", "InputScale", "ScaleError", "check_label_names"]

#: Ways to fit a scale: zero mean and deviation 1, or 0 to 1.
HOW = ("standard", "minmax")
LONGEST = 200  # characters of a name
# A deviation below this share of the mean is rounding: the input is constant.
_CONSTANT = 1e-12

FloatArray = npt.NDArray[np.float64]


class ScaleError(ValueError):
    """Features whose scale is not what is needed."""


@dataclass(frozen=True, eq=False)
class InputScale:
    """``(raw - mean) * factor`` of each input, rounded to float32.

    Computed in float64, rounded after the subtraction and after the product, then once to float32,
    as data files hold it. Three roundings to nearest, so that C gives the same bits.

    Parameters
    ----------
    mean, factor : float64 arrays (X,)
        Finite; factors above 0. Made read-only.

    Raises
    ------
    ScaleError
        For other shapes or values.
    """

    mean: FloatArray
    factor: FloatArray

    def __post_init__(self) -> None:
        for name in ("mean", "factor"):
            array = np.array(getattr(self, name), np.float64)
            if array.ndim != 1 or not array.size or not np.isfinite(array).all():
                raise ScaleError(f"{name} of an input scale: give a finite number for each input")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if self.mean.shape != self.factor.shape:
            raise ScaleError(f"{len(self.mean)} means and {len(self.factor)} factors: give as many")
        if (self.factor <= 0).any():
            at = int((self.factor <= 0).argmax())
            raise ScaleError(f"factor {self.factor[at]:g} of input {at}: it must be above 0")

    @classmethod
    def fit(cls, sequences: Sequence[npt.NDArray[np.floating]], how: str) -> InputScale:
        """The scale of all frames together; a constant input keeps its factor of 1.

        Parameters
        ----------
        sequences : sequence of float arrays (T, X)
            Finite.
        how : {"standard", "minmax"}
            To mean 0 and deviation 1, or to the range 0..1.

        Raises
        ------
        ScaleError
            For another way, or values so large that their squares leave float64.
        """
        frames = np.concatenate([np.asarray(s, np.float64) for s in sequences])
        with np.errstate(over="ignore", invalid="ignore"):
            if how == "standard":
                mean, spread = frames.mean(axis=0), frames.std(axis=0)
            elif how == "minmax":
                mean, spread = frames.min(axis=0), np.ptp(frames, axis=0)
            else:
                raise ScaleError(f"scale {how!r}: choose one of {', '.join(HOW)}")
        constant = spread <= _CONSTANT * np.abs(mean)
        mean = np.where(constant, frames[0], mean)  # no rounding: it becomes 0
        with np.errstate(divide="ignore", over="ignore"):
            factor = np.where(constant, 1.0, 1.0 / spread)
        wrong = ~(np.isfinite(mean) & np.isfinite(factor) & (factor > 0))
        if wrong.any():
            at = int(wrong.argmax())
            raise ScaleError(
                f"input {at} reaches from {frames[:, at].min():g} to {frames[:, at].max():g}: no "
                "float64 holds its scale; give it in other units"
            )
        return cls(mean, factor)

    def apply(self, raw: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Scaled features.

        Parameters
        ----------
        raw : array of numbers (..., X)
            Finite.

        Returns
        -------
        float32 array (..., X)

        Raises
        ------
        ScaleError
            For another number of inputs, NaN or infinity, or what leaves float32.
        """
        given = np.asarray(raw)
        if given.dtype.kind not in "fiu" or given.shape[-1:] != self.mean.shape:
            raise ScaleError(
                f"raw features of {given.dtype} and shape {given.shape}: give numbers, "
                f"{len(self.mean)} in the last axis"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = ((given.astype(np.float64) - self.mean) * self.factor).astype(np.float32)
        if not np.isfinite(scaled).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(scaled))[0])
            raise ScaleError(
                f"raw feature at {at} is {given[at]}: scaled, it is no finite float32; remove "
                "this frame"
            )
        return scaled

    def equals(self, other: InputScale) -> bool:
        """Whether both have the same numbers, bit for bit."""
        mine, theirs = (self.mean, self.factor), (other.mean, other.factor)
        return all(a.tobytes() == b.tobytes() for a, b in zip(mine, theirs, strict=True))

    def __len__(self) -> int:
        return len(self.mean)


def check_label_names(names: Sequence[str], classes: int | None = None) -> tuple[str, ...]:
    """Names of classes, the name of class 0 first.

    Parameters
    ----------
    names : sequence of str
        Each once, printable, 1 to 200 characters; none at all where nobody has said them.
    classes : int, optional
        How many classes there are.

    Raises
    ------
    ValueError
        Naming what is wrong.
    """
    found = tuple(names)
    for name in found:
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST or not name.isprintable():
            raise ValueError(
                f"name {str(name)[:LONGEST]!r} of a class: give printable text of 1 to {LONGEST} "
                "characters"
            )
    if len(set(found)) != len(found):
        twice = next(name for n, name in enumerate(found) if name in found[:n])
        raise ValueError(f"two classes are called {twice!r}: give each a name of its own")
    if found and classes is not None and len(found) != classes:
        raise ValueError(f"{len(found)} names of classes, and {classes} classes: give as many")
    return found
