"""The commands ``sparseflow data ...``."""

from __future__ import annotations

from pathlib import Path

import typer

from ..steps.adapting.options import (
    AdaptOptions,
    CsvOptions,
    HuggingFaceOptions,
    PaddedOptions,
    ParquetOptions,
    WavOptions,
)
from ..steps.options import VowelsOptions
from .derived import derived
from .hints import hint

__all__ = ["data_app"]

data_app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


@data_app.command("japanese-vowels")
@derived(VowelsOptions)
def japanese_vowels(given: VowelsOptions) -> None:
    """Write the demo's speech: nine speakers told apart by one vowel.

    **In:** nothing; the recordings come with an installed package. **Out:** `train.npz` and
    `test.npz`, normalised, 12 features a frame, 270 and 370 utterances.

    **Next:** `sparseflow prune CHECKPOINT --data OUT/train.npz --out pruned.safetensors`
    """
    from ..steps import pipeline

    pipeline.japanese_vowels(out=given.out)
    hint("prune", "CHECKPOINT", "--data", given.out / "train.npz", "--out", "pruned.safetensors")


@data_app.command("from-csv")
@derived(CsvOptions)
def from_csv(given: CsvOptions) -> None:
    """Make a data file of tables of text, a frame in each row.

    **In:** one CSV file for all, with a column that names the sequence, or one for each.
    **Out:** `.npz` with scaled frames, labels or targets, the scale and the names of classes,
    which go on into the model, so that the board takes raw features. A missing value is an
    error with its line.

    **Next:** `sparseflow prune CHECKPOINT --data OUT --out pruned.safetensors`
    """
    from ..steps.adapting import reading

    reading.from_csv(given)
    _next(given)


@data_app.command("from-parquet")
@derived(ParquetOptions)
def from_parquet(given: ParquetOptions) -> None:
    """Make a data file of Parquet files: a frame in each row, or a sequence as lists.

    **In, out:** as `from-csv`. Columns of lists hold a sequence in each row: one list for each
    feature, or one list of frames. Labels are one a row, or a list.

    **Next:** `sparseflow prune CHECKPOINT --data OUT --out pruned.safetensors`
    """
    from ..steps.adapting import reading

    reading.from_parquet(given)
    _next(given)


@data_app.command("from-hf")
@derived(HuggingFaceOptions)
def from_hf(given: HuggingFaceOptions) -> None:
    """Make a data file of a data set of Hugging Face.

    **In:** a folder that `save_to_disk` wrote. Nothing is fetched, unless the data set is named
    `hub:OWNER/NAME`, and no code of a data set is run. **Out:** as `from-parquet`; names of a
    `ClassLabel` are the names of classes.

    **Next:** `sparseflow prune CHECKPOINT --data OUT --out pruned.safetensors`
    """
    from ..steps.adapting import reading

    reading.from_hugging_face(given)
    _next(given)


@data_app.command("from-padded")
@derived(PaddedOptions)
def from_padded(given: PaddedOptions) -> None:
    """Make a data file of padded arrays, as Keras and NumPy have them.

    **In:** `X` (sequences, frames, features) and `y`, in one .npz or each in its .npy; nothing is
    unpickled. `y` is an answer a sequence or a frame, whole numbers or text for classes, floats
    for numbers. **Out:** as `from-csv`, without the padding.

    **Next:** `sparseflow prune CHECKPOINT --data OUT --out pruned.safetensors`
    """
    from ..steps.adapting import reading

    reading.from_padded(given)
    _next(given)


@data_app.command("from-wav")
@derived(WavOptions)
def from_wav(given: WavOptions) -> None:
    """Make a data file of a folder of sounds, by features of Kaldi.

    **In:** mono .wav files of one rate, in a folder for each class or with a list. **Out:** as
    `from-csv`; a frame has MFCC or log mel energies. The host of a board computes the same
    features with kaldi-native-fbank; the model scales them.

    **Next:** `sparseflow prune CHECKPOINT --data OUT --out pruned.safetensors`
    """
    from ..steps.adapting import reading

    reading.from_wav(given)
    _next(given)


def _next(given: AdaptOptions) -> None:
    from ..steps.adapting.writing import parts

    files: list[Path] = parts(given)
    judged = ("--val", files[1]) if len(files) > 1 else ()
    hint("prune", "CHECKPOINT", "--data", files[0], *judged, "--out", "pruned.safetensors")
