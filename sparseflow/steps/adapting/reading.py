"""What each command reads, by the reader of its format."""

from __future__ import annotations

from dataclasses import fields, replace

from csb_format.inputs.sounds import SoundFeatures
from pruning.tasks.data.adapters.arrow import read_hugging_face, read_parquet
from pruning.tasks.data.adapters.classes import Labels
from pruning.tasks.data.adapters.csv_file import read_csv
from pruning.tasks.data.adapters.padded import Padded, read_padded
from pruning.tasks.data.adapters.recordings import Recordings
from pruning.tasks.data.adapters.table import Columns, recordings_of
from pruning.tasks.data.adapters.wav_folder import Sounds, read_sounds
from pruning.tasks.data.inputs import FeatureMismatchError, Inputs

from ..progress import say
from .options import (
    CsvOptions,
    FeaturesName,
    HuggingFaceOptions,
    KindName,
    PaddedOptions,
    ParquetOptions,
    PerName,
    TableOptions,
    WavOptions,
)
from .writing import check_adapting, write_parts

__all__ = ["from_csv", "from_hugging_face", "from_padded", "from_parquet", "from_wav", "sounds_of"]

_MARKS = {"\\t": "\t", "tab": "\t"}


def from_csv(given: CsvOptions) -> None:
    """Tables of text."""
    _check_asked(given)
    like = check_adapting(given, given.files)
    columns = _columns(given, like)
    delimiter = _MARKS.get(given.delimiter, given.delimiter)
    tables = [read_csv(path, columns, delimiter, not given.no_header) for path in given.files]
    _write(*recordings_of(tables, columns), given, like)


def from_parquet(given: ParquetOptions) -> None:
    """Parquet files."""
    _check_asked(given)
    like = check_adapting(given, given.files)
    _write(*read_parquet(given.files, _columns(given, like)), given, like)


def from_hugging_face(given: HuggingFaceOptions) -> None:
    """A data set of Hugging Face."""
    _check_asked(given)
    like = check_adapting(given, [])
    _write(*read_hugging_face(given.dataset, given.part, _columns(given, like)), given, like)


def from_padded(given: PaddedOptions) -> None:
    """Padded arrays."""
    if given.front and not given.lengths and given.pad is None:
        raise ValueError("--front without --lengths or --pad: say which frames are padding")
    like = check_adapting(given, [given.file])
    said = Padded(
        given.x, given.y, given.lengths, given.pad, given.front,
        None if given.kind is None else given.kind == KindName.targets,
        None if given.per is None else given.per == PerName.frame,
        _labels(given, like),
    )  # fmt: skip
    found, framewise, told = read_padded(given.file, said)
    if (given.classes or given.ignore) and not found.classes:
        has = "numbers to be predicted" if found.answers else "no answers"
        raise ValueError(f"--classes or --ignore: {given.file} has {has}; say --y or --kind labels")
    for line in told:
        say(line)
    write_parts(found, given, like, PerName.frame if framewise else PerName.sequence)


def from_wav(given: WavOptions) -> None:
    """A folder of sounds."""
    like = check_adapting(given, [] if given.labels is None else [given.labels])
    if given.split_by and given.split is None:
        raise ValueError("--split-by without --split: say which share is for validation")
    settings = sounds_of(given, like)
    how = Sounds(settings, given.labels, given.split_by, _labels(given, like))
    found, told = read_sounds(given.folder, how)
    for line in told:
        say(line)
    write_parts(found, given, like, given.per)


def sounds_of(given: WavOptions, like: Inputs) -> SoundFeatures:
    """What was asked for; of ``--like`` what that says, which must not differ.

    Raises
    ------
    FeatureMismatchError
        Naming both.
    """
    count = given.count or (13 if given.features == FeaturesName.mfcc else 40)
    asked = SoundFeatures(given.features.value, count, given.deltas, given.frame_ms, given.hop_ms)
    if like.sounds is None:
        return asked
    plain = {each.name: each.default for each in fields(WavOptions)}
    names = ("features", "count", "deltas", "frame_ms", "hop_ms")
    said = [name for name in names if getattr(given, name) != plain[name]]
    if said and asked != replace(like.sounds, rate=0):
        raise FeatureMismatchError(
            f"{asked}, and --like {given.like} has {like.sounds}: leave --"
            f"{said[0].replace('_', '-')} out"
        )
    return like.sounds


def _check_asked(given: TableOptions) -> None:
    if given.horizon and not (given.label or given.target):
        raise ValueError("--horizon without --label or --target: say what is to be predicted")
    if (given.classes or given.ignore) and not given.label:
        raise ValueError("--classes or --ignore without --label: say which column has the class")
    if given.split_by and given.split is None:
        raise ValueError("--split-by without --split: say which share is for validation")
    if given.horizon and given.per == PerName.sequence and given.window is None:
        raise ValueError("--horizon: say --per frame, or cut windows with --window")


def _columns(given: TableOptions, like: Inputs) -> Columns:
    return Columns(
        words(given.features), given.sequence, given.label, given.split_by, words(given.target),
        _labels(given, like), given.gather,
    )  # fmt: skip


def _labels(given: TableOptions | PaddedOptions | WavOptions, like: Inputs) -> Labels:
    names = words(given.classes)
    if names and like.label_names and names != like.label_names:
        raise ValueError(f"--classes and --like differ: {given.like} has its own, leave one out")
    return Labels(names or like.label_names, words(given.ignore))


def words(text: str) -> tuple[str, ...]:
    """The words of ``a,b,c``."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _write(found: Recordings, told: list[str], given: TableOptions, like: Inputs) -> None:
    for line in told:
        say(line)
    write_parts(found, given, like, given.per, given.horizon)
