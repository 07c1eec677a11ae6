"""Sounds: features are Kaldi's, headers that lie are refused before memory is asked for."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from csb_format.inputs.sounds import SoundError, SoundFeatures
from pruning.tasks.data.adapters.wav_folder import Sounds, read_sounds
from pruning.tasks.data.wrong_data import DataSetError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, one pitch each, by two speakers."""
    for name, pitch in (("high", 3000), ("low", 300)):
        (tmp_path / name).mkdir()
        for n in range(2):
            time = np.arange(4000 + 800 * n) / 8000
            sound = np.sin(2 * np.pi * pitch * time) * 8000
            wavfile.write(tmp_path / name / f"sp{n}_x.wav", 8000, sound.astype(np.int16))
    return tmp_path


def test_classes_are_folders_and_features_tell_pitches_apart(folder: Path) -> None:
    found, told = read_sounds(folder, Sounds(SoundFeatures("logmel", 40), speaker="_"))
    assert [s.shape for s in found.sequences] == [(48, 40), (58, 40)] * 2
    assert [int(a[0]) for a in found.answers] == [0, 0, 1, 1]
    assert (found.label_names, found.sources) == (("high", "low"), ("sp0", "sp1") * 2)
    peaks = [int(s.mean(axis=0).argmax()) for s in found.sequences]
    assert peaks[0] == peaks[1] > peaks[2] == peaks[3]
    assert told == ["4 sounds: 40 logmel, frames of 25 ms every 10 ms at 8000 Hz"]
    again, _ = read_sounds(folder, Sounds(SoundFeatures("logmel", 40)))
    assert np.array_equal(again.sequences[3], found.sequences[3])


def test_coefficients_with_differences_in_time(folder: Path) -> None:
    found, _ = read_sounds(folder, Sounds(SoundFeatures(deltas=2)))
    plain, _ = read_sounds(folder, Sounds())
    one = found.sequences[0]
    assert one.shape == (48, 39)
    assert np.array_equal(one[:, :13], plain.sequences[0])
    padded = np.pad(plain.sequences[0], ((2, 2), (0, 0)), "edge")
    slope = sum(j * padded[2 + j : 50 + j] for j in range(-2, 3)) / 10
    assert one[:, 13:26] == pytest.approx(slope, abs=1e-4)


def test_a_list_of_files(folder: Path) -> None:
    (folder / "list.csv").write_text("file,label\nhigh/sp0_x.wav,b\nlow/sp1_x.wav,a\n")
    found, _ = read_sounds(folder, Sounds(labels=folder / "list.csv"))
    assert ([int(a[0]) for a in found.answers], found.label_names) == ([1, 0], ("a", "b"))
    (folder / "list.csv").write_text("high/sp0_x.wav,b\nnone.wav,a\n")
    with pytest.raises(DataSetError, match="line 2 names no file"):
        read_sounds(folder, Sounds(labels=folder / "list.csv"))


def test_what_a_list_leaves_out_names_twice_or_from_elsewhere(folder: Path) -> None:
    how = Sounds(labels=folder / "list.csv")
    (folder / "list.csv").write_text(f"{folder}/high/../high/sp0_x.wav,b\n")
    (folder / "high" / "other.MP3").write_bytes(b"ID3")
    told = read_sounds(folder, how)[1]
    assert told[1:] == [
        f"1 sounds are no WAV, left out, such as {folder}/high/other.MP3",
        f"3 sounds are not in {folder}/list.csv, left out, such as {folder}/high/sp1_x.wav",
    ]
    for text, message in [
        ("high/sp0_x.wav,a\nhigh/./sp0_x.wav,b\n", r"line 2 calls .* 'b', a line before it 'a'"),
        ("list.csv,a\n", "line 1 names no file"),
    ]:
        (folder / "list.csv").write_text(text)
        with pytest.raises(DataSetError, match=message):
            read_sounds(folder, how)
    with pytest.raises(DataSetError, match="--split-by %: no such mark in a name"):
        read_sounds(folder, Sounds(speaker="%"))


def header(claimed: int, rate: int = 8000, channels: int = 1) -> bytes:
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    return b"RIFF" + struct.pack("<I", 2**32 - 1) + b"WAVEfmt " + form + b"data" + struct.pack(
        "<I", claimed
    )  # fmt: skip


LIES = [
    (header(2**32 - 40) + bytes(64), "claims 4,294,967,256 bytes, 64 are there"),
    (header(1000) + bytes(998), "claims 1,000 bytes, 998"),
    (header(8, channels=2) + bytes(8), "has 2 channels"),
    (header(2000, rate=16000) + bytes(2000), "8000: convert one"),
    (header(600, rate=50) + bytes(600), "50 samples a second, too few or|8000: convert one"),
    (b"RIFF", "is no WAV sound"),
    (b"OggS" + bytes(60), "is no WAV sound"),
    (b"RIFF" + bytes(4) + b"WAVE" + b"junk" * 2, "claims"),
    (b"RIFF" + bytes(4) + b"WAVE" + (b"a" * 4 + bytes(4)) * 2000, "more than 1000 chunks"),
]


@pytest.mark.parametrize(("content", "message"), LIES, ids=range(len(LIES)))
def test_sounds_that_lie(folder: Path, content: bytes, message: str) -> None:
    (folder / "low" / "sp1_x.wav").write_bytes(content)
    with pytest.raises(DataSetError, match=message):
        read_sounds(folder, Sounds())


def test_what_is_too_short_is_left_out_and_told(folder: Path) -> None:
    wavfile.write(folder / "low" / "tick.wav", 8000, np.zeros(100, np.int16))
    found, told = read_sounds(folder, Sounds())
    assert len(found.sequences) == 4
    assert "1 sounds shorter than a frame are left out" in told[1]


def test_folders_without_classes(folder: Path, tmp_path: Path) -> None:
    wavfile.write(folder / "loose.wav", 8000, np.zeros(4000, np.int16))
    with pytest.raises(DataSetError, match="is in no folder of a class"):
        read_sounds(folder, Sounds())
    (tmp_path / "empty").mkdir()
    for place, message in [("empty", "holds no .wav"), ("nowhere", "is no folder")]:
        with pytest.raises(DataSetError, match=message):
            read_sounds(tmp_path / place, Sounds())
    for how, message in [
        (SoundFeatures("logmel", 128, frame_ms=2.0), "no 128 logmel of frames of 2 ms at 8000 Hz"),
        (SoundFeatures(frame_ms=1.0, hop_ms=1.0), "no 13 mfcc"),
    ]:
        (folder / "loose.wav").unlink(missing_ok=True)
        with pytest.raises(DataSetError, match=message):
            read_sounds(folder, Sounds(how))
    with pytest.raises(SoundError, match="--frame-ms nan"):
        SoundFeatures(frame_ms=float("nan"))
