"""Which class a label is: a whole number as it is, or a name by its place among the names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from csb_format.inputs.scale import check_label_names

from ..wrong_data import IGNORED, DataSetError
from .recordings import MOST_CLASSES

__all__ = ["Labels", "classes_of"]

_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")


@dataclass(frozen=True)
class Labels:
    """What the user says of labels.

    Parameters
    ----------
    names : tuple of str
        Of the classes in their order; empty where labels are to tell themselves.
    ignore : tuple of str
        Labels of frames that do not count.
    """

    names: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


def classes_of(
    found: Sequence[str], said: Labels, told: list[str]
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """The class of each label, and the names of classes.

    Parameters
    ----------
    found : sequence of str
        Labels that occur, each once.
    said : Labels
    told : list of str
        Gets a line where an ignored label does not occur.

    Returns
    -------
    int64 array (labels,), tuple of str
        ``IGNORED`` for labels that do not count; no names where labels are whole numbers.

    Raises
    ------
    DataSetError
        For labels that are no class, or not among the names.
    """
    if absent := [label for label in said.ignore if label not in found]:
        there = ", ".join(found[:20]) + ", ..." * (len(found) > 20)
        told.append(
            f"note: --ignore {','.join(absent)}: no label here is called so; there are {there}"
        )
    counted = [label for label in found if label not in said.ignore]
    if not counted:
        raise DataSetError("no label counts: name others with --ignore")
    if not said.names and all(_WHOLE.fullmatch(label) for label in counted):
        places = {label: _whole(label) for label in counted}
        return _array(found, places), ()
    try:
        names = check_label_names(said.names or sorted(counted))
    except ValueError as error:
        raise DataSetError(str(error)) from error
    unknown = [label for label in counted if label not in names]
    if unknown:
        raise DataSetError(
            f"label {unknown[0]!r} is none of the classes {', '.join(names[:20])}: name it with "
            "--classes, or with --ignore if it does not count"
        )
    if len(names) > MOST_CLASSES:
        raise DataSetError(
            f"{len(names):,} different labels, such as {names[0]!r} and {names[1]!r}: at most "
            f"{MOST_CLASSES:,}; numbers to be predicted are --target"
        )
    return _array(found, {name: n for n, name in enumerate(names)}), names


def _array(found: Sequence[str], places: dict[str, int]) -> npt.NDArray[np.int64]:
    return np.array([places.get(label, IGNORED) for label in found], np.int64)


def _whole(label: str) -> int:
    text = label.partition(".")[0]
    number = int(text) if len(text) < 20 else MOST_CLASSES
    if not IGNORED <= number < MOST_CLASSES:
        raise DataSetError(
            f"label {label}: classes are counted from 0, below {MOST_CLASSES:,} ({IGNORED} where a "
            "frame does not count); numbers to be predicted are --target"
        )
    return number
