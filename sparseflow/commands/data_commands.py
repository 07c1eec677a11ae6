"""The commands ``sparseflow data ...``."""

from __future__ import annotations

from pathlib import Path

import typer

from ..steps.adapting.options import AdaptOptions, CsvOptions
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


def _next(given: AdaptOptions) -> None:
    from ..steps.adapting.writing import parts

    files: list[Path] = parts(given)
    judged = ("--val", files[1]) if len(files) > 1 else ()
    hint("prune", "CHECKPOINT", "--data", files[0], *judged, "--out", "pruned.safetensors")
