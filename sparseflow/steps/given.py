"""What functions of the front door take besides models: designs, frames, options."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compiler.abi.design_file import read_design
from compiler.array.design import Design
from compiler.lower.image import Image
from csb_format.arguments import flag, frames_of, known, place, shown, whole
from csb_format.fixed import Fixed, IntArray
from engine.reference import IntegerModel

from .checks import image_of

__all__ = ["check_verify", "design_at", "integers_for", "integers_of", "target_at"]


def design_at(given: Design | Image | str | Path) -> Design:
    """A design: itself, that of an image, or that of a file or a folder of a build.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        If the file holds none.
    OSError
        If there is none.
    """
    if isinstance(given, Design):
        return given
    if isinstance(given, Image):
        return given.design
    mend = "give the folder of a build, its design.json, or sf.compile(...)"
    if not isinstance(given, str | Path):
        raise TypeError(f"design = {shown(given)}: {mend}")
    path = Path(given)
    if not path.exists():
        raise FileNotFoundError(2, f"is not there: {mend}", str(path))
    return read_design(path)


def target_at(target: str, given: Design | Image | str | Path) -> str:
    """A target; a serial port at the rate that the folder of a build tells, if it names none."""
    plain = isinstance(target, str) and target.startswith("serial:") and "?baud=" not in target
    if not plain or target == "serial:" or not isinstance(given, str | Path):
        return target
    from boards.load.made import baud_of

    return f"{target}?baud={baud_of(Path(given))}"


def integers_for(function: str, image: Image, sequences: Sequence[Any]) -> list[IntArray]:
    """Frames in the input format of an image's model."""
    model = IntegerModel(image_of(function, image).model)
    return integers_of(sequences, model.layer.input_size, model.input)


def check_verify(image: Image, options: Any, names: Collection[str]) -> None:
    """Look at the options of :func:`sparseflow.verify` before anything is written.

    Parameters
    ----------
    image : Image
    options : dict
        Paths in it are made so.
    names : collection of str
        That there are.

    Raises
    ------
    TypeError, ValueError
        Naming the option.
    """
    from sim.run.streams import Pauses

    known("sf.verify", options, names)
    for name, pauses in (("idle", options.get("idle")), ("stall", options.get("stall"))):
        if not isinstance(pauses, Pauses | None):
            raise TypeError(
                f"{name} = {shown(pauses)}: give sim.run.streams.Pauses(share, seed), the share "
                "of cycles from 0 to below 1"
            )
    flag("load", options.get("load", False))
    contexts, kept = whole("contexts", options.get("contexts", 1), 1), image.design.contexts
    if contexts > kept:
        raise ValueError(
            f"contexts = {contexts}: the design keeps {kept}; sf.compile(contexts={contexts}) "
            "makes one that keeps more"
        )
    if options.get("builds") is not None:
        options["builds"] = place("builds", options["builds"])


def integers_of(sequences: Sequence[Any], width: int, wanted: Fixed) -> list[IntArray]:
    """Sequences in a model's input format.

    Parameters
    ----------
    sequences : sequence of arrays (T, X)
        Real numbers, which are quantised, or integers, which are taken as they are.
    width : int
        X, that the model takes.
    wanted : Fixed
        Its input format.

    Raises
    ------
    TypeError
        For a path, or what is no array of numbers.
    ValueError
        For another shape, NaN or infinity, no sequence, integers outside the format, or
        integers beside real numbers; the message names the sequence and has the mend.
    """
    arrays = frames_of(sequences, width)
    kinds = ["integers" if array.dtype.kind in "iu" else "real numbers" for array in arrays]
    if other := next((n for n, kind in enumerate(kinds) if kind != kinds[0]), 0):
        raise ValueError(
            f"sequence {other} holds {kinds[other]}, sequence 0 {kinds[0]}: give real numbers, "
            "which are quantised, or integers in the model's input format, in all of them"
        )
    if kinds[0] == "real numbers":
        return [wanted.quantise(array) for array in arrays]
    for number, array in enumerate(arrays):
        if array.min() < wanted.min or array.max() > wanted.max:
            raise ValueError(
                f"sequence {number}: frames reach from {array.min()} to {array.max()}, their "
                f"format from {wanted.min} to {wanted.max}: quantise them to it"
            )
    return [array.astype(np.int64) for array in arrays]
