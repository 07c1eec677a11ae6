"""Arguments as users give them: checked by kind and range, each with an error that names it."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "array_of",
    "check_magnitude",
    "flag",
    "frames_of",
    "known",
    "number",
    "one_of",
    "place",
    "shown",
    "whole",
]

MOST_SHOWN = 60  # characters of a value


def shown(value: object) -> str:
    """A value as messages show it: short, and of large things only what they are."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None or isinstance(value, str | bytes | int | float | np.generic | Path):
        text = repr(value.item() if isinstance(value, np.generic) else value)
        text = repr(str(value)) if isinstance(value, Path) else text
        return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "..."
    if isinstance(value, list | tuple | dict) and len(repr(value)) <= MOST_SHOWN:
        return repr(value)
    name = type(value).__name__
    return f"an {name}" if name[0] in "AEIOUaeio" else f"a {name}"


def whole(name: str, value: object, least: int, most: int | None = None) -> int:
    """A whole number; those of numpy are fine, true and false are none.

    Parameters
    ----------
    name : str
        Of the argument.
    value : object
    least, most : int
        Of its range, both included.

    Raises
    ------
    TypeError
        If it is no whole number.
    ValueError
        If it is out of range.
    """
    wanted = f"at least {least}" if most is None else f"{least} to {most}"
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        found = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} = {shown(value)}: must be a whole number, {wanted}") from None
    if found < least or (most is not None and found > most):
        raise ValueError(f"{name} = {found}: must be {wanted}")
    return found


def number(name: str, value: object, least: float, most: float = math.inf) -> float:
    """A finite number; true and false are none.

    Parameters
    ----------
    name : str
    value : object
    least, most : float
        Of its range, both included.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is out of range, NaN or infinite.
    """
    wanted = f"at least {least:g}" if most == math.inf else f"{least:g} to {most:g}"
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} = {shown(value)}: must be a number, {wanted}")
    if not (least <= value <= most and math.isfinite(value)):
        raise ValueError(f"{name} = {shown(value)}: must be a number, {wanted}")
    return float(value)


def flag(name: str, value: object) -> bool:
    """True or false.

    Raises
    ------
    TypeError
        For anything else.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} = {shown(value)}: must be True or False")
    return bool(value)


def one_of(name: str, value: object, words: Collection[str]) -> str:
    """One of some words.

    Raises
    ------
    TypeError
        If it is no text.
    ValueError
        If it is another word.
    """
    choice = f"must be one of {', '.join(words)}"
    if not isinstance(value, str):
        raise TypeError(f"{name} = {shown(value)}: {choice}")
    if value not in words:
        raise ValueError(f"{name} = {shown(value)}: {choice}")
    return value


def place(name: str, value: object) -> Path:
    """A path.

    Raises
    ------
    TypeError
        For anything else.
    """
    if not isinstance(value, str | os.PathLike) or isinstance(value, bytes):
        raise TypeError(f"{name} = {shown(value)}: must be a path, as text or a pathlib.Path")
    return Path(value)


def known(what: str, given: Iterable[str], names: Collection[str]) -> None:
    """Refuse names that mean nothing.

    Parameters
    ----------
    what : str
        What takes them.
    given, names : str
        Those that are given, and all that there are.

    Raises
    ------
    TypeError
        Naming the first that is not there.
    """
    for name in given:
        if name not in names:
            raise TypeError(f"{what} has no option {name!r}: there are {', '.join(sorted(names))}")


_WANTED = "give a list of arrays (frames, {width}), one for each sequence"


def frames_of(
    sequences: Sequence[Any], width: int, one: str = "sequence", least: int = 1
) -> list[npt.NDArray[Any]]:
    """Sequences as arrays.

    Parameters
    ----------
    sequences : sequence of arrays (T, X)
    width : int
        X, that the model takes.
    one : str
        What one of them is called.
    least : int
        Sequences, and frames of each, that there must be: 0 or 1.

    Raises
    ------
    TypeError
        For a path, or what is no array of numbers.
    ValueError
        For another shape, NaN or infinity, or no sequence; the message has the mend.
    """
    wanted = _WANTED.format(width=width)
    if isinstance(sequences, str | bytes | Path):
        raise TypeError(
            f"{one}s are the path {str(sequences)!r}: {wanted}, such as "
            "pruning.tasks.data.datasets.load_sequences(path).sequences"
        )
    listed = hasattr(sequences, "__len__") and not isinstance(sequences, Mapping | set | type)
    if not listed or getattr(sequences, "ndim", 1) == 0:
        raise TypeError(f"{one}s are {shown(sequences)}, no list: {wanted}")
    if len(sequences) < least:
        raise ValueError(f"no {one}s: {wanted}")
    named = ((f"{one} {n}", given) for n, given in enumerate(sequences))
    return [array_of(name, given, width, wanted, least) for name, given in named]


def check_magnitude(name: str, array: npt.NDArray[Any]) -> None:
    """Refuse finite numbers that float32, in which networks run, does not hold.

    Raises
    ------
    ValueError
        With the largest, and the mend.
    """
    if array.dtype.kind != "f" or array.dtype.itemsize <= np.dtype(np.float32).itemsize:
        return
    largest = float(np.abs(array.astype(np.float64)).max(initial=0.0))
    most = float(np.finfo(np.float32).max)
    if most < largest < math.inf:
        raise ValueError(
            f"{name} has a value of magnitude {largest:.3g}, float32 holds up to {most:.3g}: "
            "rescale the frames (normalise them)"
        )


def array_of(name: str, given: Any, width: int, wanted: str, least: int = 1) -> npt.NDArray[Any]:
    """Frames as one array (T, ``width``), finite numbers.

    Parameters
    ----------
    name : str
        Of the argument.
    given : array (T, width)
    width : int
    wanted : str
        What is to be given, for messages.
    least : int
        Of T.

    Raises
    ------
    TypeError
        For what is no array of numbers.
    ValueError
        For another shape, NaN or infinity.
    """
    try:
        array = np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TypeError(
            f"{name} is a {type(given).__name__} that is no array: {wanted}; of a torch "
            "tensor its .detach().cpu().numpy()"
        ) from error
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} holds {array.dtype}, no numbers: {wanted}")
    if array.ndim != 2 or len(array) < least or array.shape[1] != width:
        alone = "; one sequence alone stands in brackets, [frames]" if array.ndim == 1 else ""
        batch = "; of a batch give list(batch)" if array.ndim == 3 else ""
        raise ValueError(f"{name} has shape {array.shape}: {wanted}{alone}{batch}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity: remove these frames")
    check_magnitude(name, array)
    return array
