"""A folder of sounds: features of each by kaldi-native-fbank, classes by folder or by a list."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.extras import needs
from csb_format.files.claims import check_regular
from csb_format.inputs.sounds import HIGHEST_RATE, LONGEST_MS, SoundFeatures

from ..wrong_data import DataSetError
from .classes import Labels, classes_of
from .recordings import Recordings, check_values

__all__ = ["Sounds", "frames_of_sound", "read_sounds"]

MOST_FILES = 1_000_000
LARGEST = 1 << 30  # bytes of a sound
_CHUNKS = 1000
_OTHERS = (".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".wma", ".sph")
_FULL_SCALE = 32768.0  # Kaldi's features are of samples as 16-bit integers
_BINS = 40


@dataclass(frozen=True)
class Sounds:
    """How sounds become frames.

    Parameters
    ----------
    features : SoundFeatures
        Their rate is that of the sounds; one that is set must be.
    labels : Path or None
        CSV with ``file`` and ``label`` in each row, files from the folder on; by default the class
        of a sound is the folder that it is in.
    speaker : str
        What stands before this mark in a file's name is never divided; empty for none.
    classes : Labels
    """

    features: SoundFeatures = field(default_factory=SoundFeatures)
    labels: Path | None = None
    speaker: str = ""
    classes: Labels = field(default_factory=Labels)


def read_sounds(folder: Path, how: Sounds) -> tuple[Recordings, list[str]]:
    """Features of all ``.wav`` files below a folder, in the order of their names.

    Returns
    -------
    Recordings, list of str
        And what was left out, in words.

    Raises
    ------
    DataSetError
        Naming the sound that cannot be read, or is of another rate than the others.
    """
    files, told = _files(folder)
    if how.labels:
        found = _listed(folder, how.labels, files)
        if rest := [file for file in files if file not in found]:
            told.append(f"{len(rest)} sounds are not in {how.labels}, left out, such as {rest[0]}")
        files = [file for file in files if file in found]
    else:
        found = _by_folder(folder, files)
    if how.speaker and not any(how.speaker in file.name for file in files):
        raise DataSetError(f"--split-by {how.speaker}: no such mark in a name, such as {files[0]}")
    kinds = list(dict.fromkeys(found[file] for file in files))
    numbers, names = classes_of(kinds, how.classes, told)
    of = dict(zip(kinds, numbers.tolist(), strict=True))
    recordings, more = _recordings(folder, files, {f: of[found[f]] for f in files}, names, how)
    return recordings, more + told


def _by_folder(folder: Path, files: Sequence[Path]) -> dict[Path, str]:
    if loose := next((file for file in files if file.parent == folder), None):
        raise DataSetError(
            f"{loose} is in no folder of a class: put sounds into {folder}/CLASS, or list them in "
            "a CSV of file,label, --labels"
        )
    return {file: file.parent.name for file in files}


def _recordings(
    folder: Path, files: Sequence[Path], classes: Mapping[Path, int], names: tuple[str, ...],
    how: Sounds,
) -> tuple[Recordings, list[str]]:  # fmt: skip
    sequences, answers, sources, called = [], [], [], []
    settings, short, values = how.features, list[Path](), 0
    for file in files:
        rate, samples = _samples(file)
        if settings.rate and rate != settings.rate:
            other = "the settings say" if how.features.rate else f"{files[0]} has"
            raise DataSetError(
                f"{file} has {rate} samples a second, {other} {settings.rate}: convert one, "
                f"such as sox in.wav -r {settings.rate} out.wav"
            )
        _check_rate(file, rate, settings)
        settings = replace(settings, rate=rate)
        try:
            frames = frames_of_sound(samples, settings)
        except (RuntimeError, ValueError) as error:  # of kaldi-native-fbank
            raise DataSetError(
                f"{file}: no {settings.count} {settings.kind} of frames of {settings.frame_ms:g} "
                f"ms at {rate} Hz ({error}): give a smaller --count, or a longer --frame-ms"
            ) from error
        if not len(frames):
            short.append(file)
            continue
        values += frames.size
        check_values(values)
        name = str(file.relative_to(folder))
        sequences.append(frames)
        answers.append(np.full(len(frames), classes[file], np.int64))
        sources.append(file.name.partition(how.speaker)[0] if how.speaker else name)
        called.append(name)
    if not sequences:
        raise DataSetError(f"{folder}: every sound is shorter than {settings.frame_ms:g} ms")
    told = [f"{len(files)} sounds: {settings}"]
    if short:
        told.append(f"{len(short)} sounds shorter than a frame are left out, such as {short[0]}")
    found = Recordings(tuple(sequences), tuple(answers), tuple(sources), tuple(called), names)
    return replace(found, sounds=settings), told


def _check_rate(file: Path, rate: int, how: SoundFeatures) -> None:
    if (
        rate * how.hop_ms < LONGEST_MS
        or rate * how.frame_ms < 4 * LONGEST_MS
        or rate > HIGHEST_RATE
    ):
        raise DataSetError(
            f"{file} has {rate} samples a second, too few or too many for frames of "
            f"{how.frame_ms:g} ms every {how.hop_ms:g} ms: give others, or convert it"
        )


def _files(folder: Path) -> tuple[list[Path], list[str]]:
    """Sounds, and what is said of sounds in other formats."""
    if not folder.is_dir():
        raise DataSetError(f"{folder} is no folder: give one with a folder of sounds per class")
    found: list[Path] = []
    others: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=_raise):
        folders.sort()
        others += [Path(place, name) for name in names if name.lower().endswith(_OTHERS)]
        found += [Path(place, name) for name in sorted(names) if name.lower().endswith(".wav")]
        if len(found) > MOST_FILES:
            raise DataSetError(f"{folder} holds more than {MOST_FILES:,} sounds: give fewer")
    if not found:
        raise DataSetError(f"{folder} holds no .wav file: convert sounds to WAV first")
    told = f"{len(others)} sounds are no WAV, left out, such as {min(others)}" if others else ""
    return found, [told] * bool(told)


def _raise(error: OSError) -> None:
    """A folder that cannot be read is no empty one."""
    raise error


def _listed(folder: Path, listing: Path, files: Sequence[Path]) -> dict[Path, str]:
    """The class of each file of a list."""
    check_regular(listing)
    below = {os.path.abspath(file): file for file in files}
    found: dict[Path, str] = {}
    with open(listing, encoding="utf-8-sig", newline="") as file:
        for row in (rows := csv.reader(file)):
            if not row or (rows.line_num == 1 and row[:2] == ["file", "label"]):
                continue
            place = below.get(os.path.abspath(folder / row[0]))
            if len(row) != 2 or not row[1].strip() or place is None:
                raise DataSetError(
                    f"{listing}: line {rows.line_num} names no file of {folder} and its label: "
                    "give file,label in each row, a .wav file from that folder on"
                )
            label = row[1].strip()
            if found.setdefault(place, label) != label:
                raise DataSetError(
                    f"{listing}: line {rows.line_num} calls {row[0]} {label!r}, a line before it "
                    f"{found[place]!r}: leave one out"
                )
    if not found:
        raise DataSetError(f"{listing} is empty: give file,label in each row")
    return found


def _samples(path: Path) -> tuple[int, npt.NDArray[np.float32]]:
    """Rate and samples, in -1..1."""
    from scipy.io import wavfile

    check_regular(path)
    _check_claims(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # chunks that are no sound
            rate, found = wavfile.read(path)
    except Exception as error:  # A damaged file makes the reader fail in any way.
        told = f" ({error})" if isinstance(error, ValueError) else ", or a damaged one"
        raise DataSetError(f"{path} is no WAV sound that can be read{told}") from error
    if found.ndim != 1:
        raise DataSetError(
            f"{path} has {found.shape[1]} channels: give one, such as sox in.wav out.wav remix 1"
        )
    samples = found.astype(np.float64)
    if found.dtype.kind == "u":
        samples -= 128
    if found.dtype.kind in "iu":
        samples /= 2.0 ** (8 * found.dtype.itemsize - 1)
    if not np.isfinite(samples).all():
        raise DataSetError(f"{path} holds NaN or infinity: write it again")
    return int(rate), samples.astype(np.float32)


def _check_claims(path: Path) -> None:
    """What the headers of chunks claim, against the bytes that are there."""
    size = path.stat().st_size
    if size > LARGEST:
        raise DataSetError(f"{path} has {size:,} bytes, at most {LARGEST:,}: cut it")
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RIFX") or head[8:12] != b"WAVE":
            raise DataSetError(f"{path} is no WAV sound: convert it")
        order, at = ("little" if head[:4] == b"RIFF" else "big"), 12
        for _ in range(_CHUNKS):
            file.seek(at)
            chunk = file.read(8)
            if len(chunk) < 8:
                return
            claimed = int.from_bytes(chunk[4:], order)  # type: ignore[arg-type]
            if at + 8 + claimed > size:
                raise DataSetError(
                    f"{path}: its header claims {claimed:,} bytes, {size - at - 8:,} are there: it "
                    "is cut off or was never finished, write it again"
                )
            at += 8 + claimed + claimed % 2
    raise DataSetError(f"{path} has more than {_CHUNKS} chunks: write it again")


def frames_of_sound(
    samples: npt.NDArray[np.floating], how: SoundFeatures
) -> npt.NDArray[np.float64]:
    """Frames of one sound, as a data file has them before they are scaled.

    Parameters
    ----------
    samples : float array (N,)
        In -1..1.
    how : SoundFeatures
        As a data file or a model says; its rate is that of the samples.

    Returns
    -------
    float64 array (T, X)
        Without a frame where the sound is shorter than one.

    Raises
    ------
    MissingExtraError
        Without the extra ``sounds``.
    RuntimeError, ValueError
        Of kaldi-native-fbank, for more bands than the rate has.
    """
    with needs("sounds"):
        import kaldi_native_fbank as kaldi

    options: Any = kaldi.MfccOptions() if how.kind == "mfcc" else kaldi.FbankOptions()
    options.frame_opts.samp_freq = how.rate
    options.frame_opts.frame_length_ms = how.frame_ms
    options.frame_opts.frame_shift_ms = how.hop_ms
    options.frame_opts.dither = 0  # noise that would differ from run to run
    options.mel_opts.num_bins = how.count if how.kind == "logmel" else max(_BINS, how.count)
    if how.kind == "mfcc":
        options.num_ceps, options.use_energy = how.count, False
        made: Any = kaldi.OnlineMfcc(options)
    else:
        made = kaldi.OnlineFbank(options)
    made.accept_waveform(how.rate, samples.astype(np.float32) * np.float32(_FULL_SCALE))
    made.input_finished()
    frames = np.array([made.get_frame(n) for n in range(made.num_frames_ready)], np.float32)
    if how.deltas and len(frames):
        frames = kaldi.compute_deltas(kaldi.DeltaOptions(order=how.deltas, window=2), frames)
    return frames.astype(np.float64)
