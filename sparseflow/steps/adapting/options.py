"""What ``sparseflow data from-...`` can be told; see :mod:`sparseflow.steps.options`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from ..options import SEED, Said, Seed

__all__ = ["AdaptOptions", "CsvOptions", "PerName", "ScaleName", "TableOptions"]


class ScaleName(StrEnum):
    """How inputs are scaled; the words of :data:`csb_format.inputs.scale.HOW`, or not at all."""

    standard = "standard"
    minmax = "minmax"
    none = "none"


class PerName(StrEnum):
    """What has an answer."""

    sequence = "sequence"
    frame = "frame"


@dataclass(frozen=True, kw_only=True)
class AdaptOptions:
    """Of all of them."""

    out: Annotated[Path, Said("Data file (.npz); with --split OUT-train.npz and OUT-val.npz.")]
    window: Annotated[
        int | None, Said("Cut recordings into windows of so many frames.", least=1)
    ] = None
    stride: Annotated[
        int | None, Said("Frames from window to window; as long as a window by default.", least=1)
    ] = None
    split: Annotated[
        float | None,
        Said("Share for validation: whole sequences, of every class; of one recording its end."),
    ] = None
    seed: Seed = SEED
    scale: Annotated[
        ScaleName,
        Said("Of each input: standard (mean 0, deviation 1), minmax (0 to 1) or none; of --split "
             "the training part tells."),
    ] = ScaleName.standard  # fmt: skip
    like: Annotated[
        Path | None, Said("Data file whose scale and class names are taken instead (.npz).")
    ] = None
    raw: Annotated[
        bool, Said("Write frames as they are beside their scale, not scaled.", name="--raw")
    ] = False


@dataclass(frozen=True, kw_only=True)
class TableOptions(AdaptOptions):
    """Of those that read tables with a frame in each row."""

    features: Annotated[
        str,
        Said("Columns of the features: a,b,c or numbers from 1, 2-7. Default: all others."),
    ] = ""
    sequence: Annotated[
        str, Said("Column that names the sequence of a row; by default a file is one.")
    ] = ""
    label: Annotated[str, Said("Column of the class: whole numbers from 0, or names.")] = ""
    target: Annotated[str, Said("Columns of numbers to be predicted, a,b.")] = ""
    per: Annotated[PerName, Said("What has a label or target: sequence (or window), frame.")] = (
        PerName.sequence
    )
    horizon: Annotated[
        int, Said("Predict label or target of so many frames later, of every frame.", least=0)
    ] = 0
    classes: Annotated[str, Said("Names of the classes in their order, a,b; else sorted.")] = ""
    ignore: Annotated[str, Said("Labels that do not count, a,b.")] = ""
    split_by: Annotated[
        str, Said("Column, such as a person: what has one value is never divided.")
    ] = ""
    gather: Annotated[
        bool, Said("Join rows of a sequence that are not together.", name="--gather")
    ] = False


@dataclass(frozen=True, kw_only=True)
class CsvOptions(TableOptions):
    """Of ``sparseflow data from-csv``."""

    files: Annotated[list[Path], Said("Tables of text, a frame in each row.", argument=True)]
    delimiter: Annotated[str, Said("Between columns; \\t is a tabulator.")] = ","
    no_header: Annotated[bool, Said("There are no names in the first row.", name="--no-header")] = (
        False
    )
