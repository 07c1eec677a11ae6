"""What ``sparseflow data from-...`` can be told; see :mod:`sparseflow.steps.options`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from ..options import SEED, Said, Seed

__all__ = [
    "AdaptOptions",
    "CsvOptions",
    "FeaturesName",
    "HuggingFaceOptions",
    "KindName",
    "PaddedOptions",
    "ParquetOptions",
    "PerName",
    "ScaleName",
    "TableOptions",
    "WavOptions",
]


Classes = Annotated[str, Said("Names of the classes in their order, a,b; else sorted.")]
Ignore = Annotated[str, Said("Labels that do not count, a,b.")]


class ScaleName(StrEnum):
    """How inputs are scaled; the words of :data:`csb_format.inputs.scale.HOW`, or not at all."""

    standard = "standard"
    minmax = "minmax"
    none = "none"


class PerName(StrEnum):
    """What has an answer."""

    sequence = "sequence"
    frame = "frame"


class FeaturesName(StrEnum):
    """Features of sounds; the words of ``csb_format.inputs.sounds.KINDS``."""

    mfcc = "mfcc"
    logmel = "logmel"


class KindName(StrEnum):
    """What answers are."""

    labels = "labels"
    targets = "targets"


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
        Path | None,
        Said(
            "Data file (.npz) or model whose scale, names of classes and features of sounds are "
            "taken instead."
        ),
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
    classes: Classes = ""
    ignore: Ignore = ""
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


@dataclass(frozen=True, kw_only=True)
class ParquetOptions(TableOptions):
    """Of ``sparseflow data from-parquet``."""

    files: Annotated[
        list[Path],
        Said("Parquet files: a frame in each row, or a sequence as lists.", argument=True),
    ]


@dataclass(frozen=True, kw_only=True)
class HuggingFaceOptions(TableOptions):
    """Of ``sparseflow data from-hf``."""

    dataset: Annotated[
        str, Said("Folder of save_to_disk, or hub:OWNER/NAME, which is fetched.", argument=True)
    ]
    part: Annotated[str, Said("Part of the data set, such as train.")] = ""


@dataclass(frozen=True, kw_only=True)
class PaddedOptions(AdaptOptions):
    """Of ``sparseflow data from-padded``."""

    file: Annotated[
        Path, Said("X (sequences, frames, features): .npy, or in an .npz.", argument=True)
    ]
    x: Annotated[str, Said("Name of X in an .npz; by default its only one of three axes.")] = ""
    y: Annotated[str, Said("Name of the answers in an .npz, or their .npy. Default: y.")] = ""
    lengths: Annotated[str, Said("Name of the real lengths, or their .npy.")] = ""
    pad: Annotated[
        float | None, Said("Frames at the end that are all this value are padding; or nan.")
    ] = None
    front: Annotated[bool, Said("The padding is in front.", name="--front")] = False
    kind: Annotated[
        KindName | None, Said("What y is; by default whole numbers and text are labels.")
    ] = None
    per: Annotated[
        PerName | None, Said("What has a label or target, where shapes do not tell.")
    ] = None
    classes: Classes = ""
    ignore: Ignore = ""


@dataclass(frozen=True, kw_only=True)
class WavOptions(AdaptOptions):
    """Of ``sparseflow data from-wav``."""

    folder: Annotated[Path, Said("Folder with a folder of sounds for each class.", argument=True)]
    labels: Annotated[Path | None, Said("CSV of file,label in each row, instead of folders.")] = (
        None
    )
    features: Annotated[
        FeaturesName, Said("mfcc (cepstral coefficients) or logmel (energies of mel bands).")
    ] = FeaturesName.mfcc
    count: Annotated[
        int | None, Said("Coefficients or bands; 13 or 40 by default.", least=1, most=128)
    ] = None
    deltas: Annotated[int, Said("Orders of differences in time beside them.", least=0, most=2)] = 0
    frame_ms: Annotated[float, Said("Length of a frame in milliseconds.")] = 25.0
    hop_ms: Annotated[float, Said("From frame to frame in milliseconds.")] = 10.0
    per: Annotated[PerName, Said("What has a label: sequence (or window), frame.")] = (
        PerName.sequence
    )
    classes: Classes = ""
    ignore: Ignore = ""
    split_by: Annotated[
        str,
        Said(
            "Mark such as _: what stands before it in a file's name, a speaker, is never divided."
        ),
    ] = ""
