import io
import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from pruning.tasks.data.datasets import DataSetError
from pruning.tasks.data.timit import IGNORED, PHONES, features, fold_phone, load_timit
from pruning.tasks.networks.speech import (
    FrameClassifier,
    FrameTask,
    count_errors,
    delayed,
    frame_error,
)
from pruning.tasks.training.longrun import Plan, run


def sound(seed: int, count: int, rate: int = 16_000) -> bytes:
    samples = np.random.default_rng(seed).normal(0, 1000, count).astype("<i2")
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return content.getvalue()


def sample(path: Path, speakers: int = 16, rate: int = 16_000) -> Path:
    """An archive like NLTK's, of noise."""
    with tarfile.open(path, "w:xz") as archive:
        for speaker in range(speakers):
            for sentence in ("sa1", *(f"sx{n}" for n in range(8))):
                stem = f"timit/dr{speaker // 2 + 1}-{'fm'[speaker % 2]}abc{speaker % 2}/{sentence}"
                parts = {"wav": sound(speaker, 1200, rate), "phn": b"0 560 h#\n560 1200 ix\n"}
                for suffix, content in parts.items():
                    member = tarfile.TarInfo(f"{stem}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample(tmp_path_factory.mktemp("timit") / "nltk_timit.tar.xz")


def test_speakers_are_held_out_once_and_sa_is_left_out(archive: Path) -> None:
    folds = [load_timit(archive, fold) for fold in range(4)]
    held_out = [{u.speaker for u in fold.test} for fold in folds]
    assert len(set.union(*held_out)) == 16
    for fold, speakers in zip(folds, held_out, strict=True):
        assert sorted(name[4] for name in speakers) == ["f", "f", "m", "m"]
        assert not speakers & {u.speaker for u in fold.train}
        assert (len(fold.train), len(fold.test)) == (96, 32)
        assert not [u for u in (*fold.train, *fold.test) if u.name.endswith("sa1")]


def test_frames_are_labelled_at_their_middle_and_normalised(archive: Path) -> None:
    data = load_timit(archive, 0)
    u = data.train[0]
    # 1200 samples are 6 frames; their middles are at 200, 360, 520, 680, ...
    assert [PHONES[n] for n in u.phones] == ["sil"] * 3 + ["ih"] * 3
    every = np.concatenate([u.frames for u in data.train])
    assert u.frames.shape == (6, 153)
    assert np.abs(every.mean(0)).max() < 1e-5
    assert np.abs(every.std(0) - 1).max() < 1e-3


def test_phones_fold_as_lee_and_hon() -> None:
    assert len(PHONES) == len(set(PHONES)) == 39
    pairs = {"ao": "aa", "ax-h": "ah", "zh": "sh", "nx": "n", "h#": "sil", "gcl": "sil", "v": "v"}
    assert {old: PHONES[fold_phone(old)] for old in pairs} == pairs
    assert fold_phone("q") == IGNORED
    with pytest.raises(DataSetError, match="phone 'xx': TIMIT has 61 labels"):
        fold_phone("xx")


def test_a_tone_is_loudest_in_its_filter() -> None:
    t = np.arange(8000) / 16_000
    bands = {}
    for pitch in (300, 1000, 4000):
        frames = features((8000 * np.sin(2 * np.pi * pitch * t)).astype(np.int16))
        assert frames.shape == (1 + (8000 - 400) // 160, 153)
        bands[pitch] = int(frames[10, :50].argmax())
        # A steady tone does not change.
        assert np.abs(frames[10:30, 51:102]).max() < 0.05 * np.abs(frames[10, :50]).max()
    mel = {pitch: 1127 * np.log1p(pitch / 700) for pitch in (*bands, 8000)}
    for pitch, band in bands.items():
        assert abs(band - (51 * mel[pitch] / mel[8000] - 1)) < 1


def test_differences_are_slopes() -> None:
    t = np.arange(16_000) / 16_000
    louder = features((np.exp(8 * t) * 5 * np.sin(2 * np.pi * 1000 * t)).astype(np.int16))
    # The logarithm of the energy grows by 16 a second, 0.16 a frame.
    assert louder[60:90, 50 + 51] == pytest.approx(np.full(30, 0.16), abs=2e-3)
    assert louder[60:90, 50 + 102] == pytest.approx(np.zeros(30), abs=2e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: load_timit(p / "absent"), r"cannot be read as an archive .*nltk_timit"),
        (lambda p: load_timit(sample(p / "few.tar.xz", 3)), r"24 utterances of 3 speakers"),
        (lambda p: load_timit(sample(p / "rate", 16, 8000)), r"has \(8000, 2, 1\), expected one"),
        (lambda p: load_timit(p, 4), "fold 4: must be 0 to 3"),
        (lambda p: features(np.zeros(399, np.int16)), "399 samples: at least 400"),
    ],
)
def test_other_data_is_refused(tmp_path: Path, make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=message):
        make(tmp_path)


def test_answers_come_late(archive: Path) -> None:
    u = load_timit(archive).test[0]
    frames, phones = delayed(u, 2)
    assert len(frames) == len(phones) == 8
    assert phones.tolist() == [IGNORED, IGNORED, *u.phones]
    assert np.array_equal(frames[-1], u.frames[-1])
    assert np.array_equal(delayed(u, 0)[0], u.frames)
    assert count_errors(np.array([1, 2, 3]), np.array([1, 3, IGNORED])) == (1, 2)


def test_a_classifier_learns_noise_by_heart(archive: Path) -> None:
    data = load_timit(archive)
    model = FrameClassifier(hidden=16, dropout=0.0)
    before = frame_error(model, data.train)
    run(FrameTask(data.train, batch=32, noise=0.0), model, Plan(40, 2e-2))
    # Noise of one seed a speaker: when the label changes is the same in all.
    assert frame_error(model, data.train) < 0.1 < before


def test_every_utterance_is_seen_once_an_epoch(archive: Path) -> None:
    utterances = load_timit(archive).train[:10]
    task = FrameTask(utterances, batch=4, noise=0.0)
    assert task.steps == 3
    seen: list[int] = []

    class Spy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            seen.append(frames.shape[1])
            return torch.zeros(*frames.shape[:2], 39) * self.weight

    for position in range(3):
        task.loss(Spy(), position, 0, [])
    assert seen == [4, 4, 2]
