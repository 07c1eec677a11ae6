from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from pruning.tasks.data import datasets
from pruning.tasks.data.datasets import (
    DataSetError,
    Normaliser,
    SequenceData,
    load_japanese_vowels,
    load_sequences,
    parse_ts,
    save_sequences,
)


@pytest.mark.parametrize(
    ("split", "utterances", "frames"), [("train", 270, 4274), ("test", 370, 5687)]
)
def test_japanese_vowels(split: str, utterances: int, frames: int) -> None:
    data = load_japanese_vowels(split)
    lengths = [len(sequence) for sequence in data.sequences]
    assert (len(data), data.frames, data.width) == (utterances, frames, 12)
    assert (min(lengths), max(lengths)) == (7, 26 if split == "train" else 29)
    assert {sequence.dtype for sequence in data.sequences} == {np.dtype(np.float32)}
    assert sorted(set(data.labels)) == list(range(9))


def test_first_utterance_is_the_published_one() -> None:
    data = load_japanese_vowels("train")
    assert data.sequences[0].shape == (20, 12)
    assert data.sequences[0][0, :3].tolist() == pytest.approx([1.860936, -0.207383, 0.261557])
    assert np.bincount(data.labels).tolist() == [30] * 9


class Elsewhere:
    def __init__(self, root: Path) -> None:
        self.root = root

    def locate_file(self, path: str) -> Path:
        return self.root / path


def test_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(
        DataSetError, match=r"sktime, not found here .* pip install -e '\.\[demo\]'$"
    ):
        load_japanese_vowels("train")


def test_missing_file_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: Elsewhere(tmp_path))
    with pytest.raises(
        DataSetError, match=r"sktime, not found here .* pip install -e '\.\[demo\]'$"
    ):
        load_japanese_vowels("train")


def test_another_content_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "_read", lambda name: b"@data\n1:1\n")
    with pytest.raises(
        DataSetError, match=r"JapaneseVowels_TEST\.ts has sha256 \w+, expected b3d4"
    ):
        load_japanese_vowels("test")


def test_unknown_split() -> None:
    with pytest.raises(DataSetError, match="split 'valid': must be 'train' or 'test'"):
        load_japanese_vowels("valid")


def test_parse() -> None:
    data = parse_ts("# note\n@classLabel true 1 2\n@data\n1,2,3:4,5,6:2\n7:8:1\n\n")
    assert [s.tolist() for s in data.sequences] == [[[1, 4], [2, 5], [3, 6]], [[7, 8]]]
    assert data.labels.tolist() == [1, 0]


def test_parse_without_data() -> None:
    with pytest.raises(DataSetError, match="no @data line"):
        parse_ts("1,2:1\n")


def test_normalised_training_set_has_mean_0_and_std_1() -> None:
    data = load_japanese_vowels("train")
    frames = np.concatenate(Normaliser.fit(data).apply(data).sequences)
    assert frames.dtype == np.float32
    assert np.allclose(frames.mean(axis=0), 0, atol=1e-4)
    assert np.allclose(frames.std(axis=0), 1, atol=1e-4)


def test_normaliser_uses_what_it_was_fitted_to() -> None:
    fitted = Normaliser.fit(sequences([[1.0, 5.0], [3.0, 5.0]]))
    made = fitted.apply(sequences([[4.0, 6.0]]))
    assert made.sequences[0].tolist() == [[2.0, 1.0]]  # a constant channel is only shifted


def sequences(*frames: list[list[float]]) -> SequenceData:
    arrays = tuple(np.array(f, np.float32) for f in frames)
    return SequenceData(arrays, np.zeros(len(arrays), np.int64))


def test_normaliser_of_another_width() -> None:
    fitted = Normaliser.fit(sequences([[1.0, 5.0]]))
    with pytest.raises(ValueError, match=r"sequences of 3 channels: .* fitted to 2"):
        fitted.apply(sequences([[1.0, 2.0, 3.0]]))


def test_bad_sequences() -> None:
    with pytest.raises(ValueError, match="0 sequences and 0 labels"):
        sequences()
    with pytest.raises(ValueError, match=r"sequence 1 has shape \(1, 3\): must be \(frames, 2\)"):
        sequences([[1.0, 2.0]], [[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match="sequence 0 holds NaN"):
        sequences([[1.0, float("nan")]])


def test_sequences_are_read_back(tmp_path: Path) -> None:
    data = SequenceData(
        (np.ones((2, 3), np.float32), np.arange(12, dtype=np.float32).reshape(4, 3)),
        np.array([4, 1]),
    )
    for name in ("a.npz", "b.npz"):
        save_sequences(tmp_path / name, data)
    found = load_sequences(tmp_path / "a.npz")
    assert [s.tolist() for s in found.sequences] == [s.tolist() for s in data.sequences]
    assert found.labels.tolist() == [4, 1]
    assert {s.dtype for s in found.sequences} == {np.dtype(np.float32)}
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("each", ["sequence", "frame"])
def test_targets_are_read_back(tmp_path: Path, each: str) -> None:
    targets = np.arange(12.0).reshape(6, 2) / 3
    frames = tuple(np.full((n, 3), n, np.float32) for n in (1, 2, 3))
    framewise = each == "frame"
    targets = targets if framewise else targets[:3]
    labels = np.zeros(len(targets), np.int64)
    save_sequences(tmp_path / "d.npz", SequenceData(frames, labels, "", framewise, targets))
    found = load_sequences(tmp_path / "d.npz")
    assert found.targets is not None
    assert found.targets.tolist() == targets.tolist()
    assert (found.framewise, found.counted) == (framewise, len(targets))
    part = found.chosen([2, 0]).targets
    assert part is not None
    assert part.tolist() == targets[[3, 4, 5, 0] if framewise else [2, 0]].tolist()


def test_one_output_needs_no_axis(tmp_path: Path) -> None:
    given = {"frames": np.zeros((3, 2)), "lengths": np.array([1, 2])}
    for targets in (np.arange(2), np.arange(3)):
        found = load_sequences(arrays(tmp_path / "d.npz", **given, targets=targets))
        assert found.targets is not None
        assert found.targets.tolist() == [[float(n)] for n in targets]
    with pytest.raises(ValueError, match=r"targets have shape \(3, 1\): give \(2, Y\)"):
        SequenceData(
            tuple(map(np.zeros, [(1, 2), (2, 2)])), np.zeros(2, int), targets=np.eye(3)[:, :1]
        )


def arrays(path: Path, **given: object) -> Path:
    np.savez(path, **given)  # type: ignore[arg-type]
    return path


def test_labels_may_be_absent(tmp_path: Path) -> None:
    path = arrays(tmp_path / "d.npz", frames=np.zeros((3, 2)), lengths=np.array([1, 2]))
    assert load_sequences(path).labels.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lengths": np.array([1])}, r"d\.npz holds no sequences .*frames.*give an \.npz file"),
        ({"frames": np.zeros((3, 2))}, r"d\.npz holds no sequences .*lengths"),
        ({"frames": np.zeros(3), "lengths": np.array([3])}, r"d\.npz: frames has shape \(3,\)"),
        (
            {"frames": np.zeros((3, 2)), "lengths": np.array([1, 1])},
            "lengths sum to 2: frames",
        ),
        ({"frames": np.zeros((3, 2)), "lengths": np.array([1.5, 1.5])}, "holds no sequences"),
        (
            {"frames": np.zeros((3, 2)), "lengths": np.array([4, -1])},
            r"sequence 1 has shape \(0",
        ),
        ({"frames": np.full((3, 2), np.inf), "lengths": np.array([3])}, "sequence 0 holds NaN or"),
        ({"frames": np.array([[{}]]), "lengths": np.array([1])}, "holds no sequences .*pickle"),
    ],
    ids=["frames", "lengths", "flat", "sum", "float", "negative", "infinite", "pickle"],
)
def test_arrays_that_are_no_sequences(
    tmp_path: Path, given: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_sequences(arrays(tmp_path / "d.npz", **given))


def test_a_missing_file_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_sequences(tmp_path / "none.npz")


def test_identity_changes_nothing() -> None:
    data = sequences([[1.5, -2.0]])
    assert Normaliser.identity(2).apply(data).sequences[0].tolist() == [[1.5, -2.0]]


def framewise() -> SequenceData:
    frames = tuple(np.full((n, 2), n, np.float32) for n in (3, 1, 4))
    return SequenceData(frames, np.array([0, 1, 1, -1, 2, -1, 0, 2]), framewise=True)


def test_a_label_for_each_frame_is_kept_and_goes_with_its_sequence(tmp_path: Path) -> None:
    data = framewise()
    save_sequences(tmp_path / "d.npz", data)
    found = load_sequences(tmp_path / "d.npz")
    assert found.framewise
    assert found.labels.tolist() == data.labels.tolist()
    assert (found.counted, found.scored) == (6, "6 frames of 3 sequences")
    assert found.classes.tolist() == [1, -1, 2]
    some = found.chosen([2, 0])
    assert [len(sequence) for sequence in some.sequences] == [4, 3]
    assert some.labels.tolist() == [2, -1, 0, 2, 0, 1, 1]
    with pytest.raises(ValueError, match="8 frames and 3 labels: give one label for each frame of"):
        replace(data, labels=data.labels[:3])


def test_the_page_has_the_arrays_that_are_read() -> None:
    text = (Path(__file__).parents[4] / "docs/data.md").read_text("utf-8")
    for name in ("frames", "lengths", "labels"):
        assert f"| `{name}` | " in text
