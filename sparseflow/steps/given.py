"""What functions of the front door take besides models: designs, frames, options."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from compiler.array.design import Design
from compiler.lower.image import Image
from csb_format.arguments import flag, known, place, shown, whole
from csb_format.files.foreign import kind_of_file
from csb_format.fixed import IntArray
from engine.reference import IntegerModel

from .checks import image_of
from .frames import integers_of

__all__ = ["check_verify", "design_at", "integers_for"]


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
    path = path / "design.json" if path.is_dir() else path
    if not path.exists():
        raise FileNotFoundError(2, f"is not there: {mend}", str(path))
    try:
        return Design(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        kind = kind_of_file(path) or "another file"
        raise ValueError(f"{path} is no design ({kind}): {mend}") from error


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
