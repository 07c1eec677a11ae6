"""A scale and names on their way: data file, checkpoint, model; never twice, never another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.io import wavfile
from torch import nn
from typer.testing import CliRunner

from csb_format import InputScale, load_model, save_model
from csb_format.inputs.scale import ScaleError
from csb_format.inputs.sounds import SoundFeatures
from pruning.tasks.data.adapters.wav_folder import frames_of_sound
from pruning.tasks.data.datasets import load_sequences
from pruning.tasks.data.inputs import (
    FeatureMismatchError,
    Inputs,
    ScaleMismatchError,
    inputs_of,
    joined,
)
from pruning.tasks.data.wrong_data import DataSetError
from sparseflow.commands.cli import app
from sparseflow.steps.pipeline import simulate
from sparseflow.steps.places import known_to, read_scaled
from sparseflow.steps.preparing import pack, prune_checkpoint

RAW = np.random.default_rng(0).normal([20, -5], [4, 0.5], (120, 2))


def table(folder: Path, shift: float = 0.0) -> Path:
    rows = ["who,id,temp,flow,state"]
    for n, (a, b) in enumerate(RAW.tolist()):
        rows.append(f"p{n // 24},s{n // 6},{a + shift!r},{b!r},{'on' if n // 6 % 2 else 'off'}")
    (folder / "t.csv").write_text("\n".join(rows))
    return folder / "t.csv"


def data(folder: Path, out: str, *words: str, shift: float = 0.0) -> str:
    """What the command says as it writes a data file of the table."""
    given = ["--features", "temp,flow", "--sequence", "id", "--label", "state", *words]
    command = ["data", "from-csv", str(table(folder, shift)), *given, "--out", str(folder / out)]
    done = CliRunner().invoke(app, command)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_parts_are_scaled_by_the_training_part_and_divided_by_person(tmp_path: Path) -> None:
    said = data(tmp_path, "d.npz", "--split", "0.2", "--split-by", "who", "--seed", "3")
    assert "divided by source: 4 train, 1 validate (seed 3)" in said
    train, val = (tmp_path / f"d-{name}.npz" for name in ("train", "val"))
    found, other = load_sequences(train), load_sequences(val)
    assert (found.frames, other.frames) == (96, 24)
    assert np.concatenate(found.sequences).mean(axis=0) == pytest.approx([0, 0], abs=1e-6)
    assert np.abs(np.concatenate(other.sequences).mean(axis=0)).max() > 0.01
    inputs, same = inputs_of(train), inputs_of(val)
    assert inputs.label_names == same.label_names == ("off", "on")
    assert inputs.scale is not None
    assert same.scale is not None
    assert inputs.scale.equals(same.scale)
    frames = np.concatenate([*found.sequences, *other.sequences])
    raw = np.concatenate([inputs.scale.apply(RAW[n : n + 1]) for n in range(120)])
    assert sorted(frames.tolist()) == sorted(raw.tolist())


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, the same raw, data of another scale, checkpoint and model."""
    folder = tmp_path_factory.mktemp("chain")
    torch.manual_seed(1)
    lstm, head = nn.LSTM(2, 8), nn.Linear(8, 2)
    tensors = {f"lstm.{n}": t for n, t in lstm.state_dict().items()}
    tensors |= {f"head.{n}": tensor for n, tensor in head.state_dict().items()}
    save_file(tensors, folder / "dense")
    data(folder, "d.npz")
    data(folder, "raw.npz", "--raw")
    data(folder, "none.npz", "--scale", "none")
    data(folder, "other.npz", shift=7.0)
    data(folder, "like.npz", "--like", str(folder / "d.npz"), shift=7.0)
    prune_checkpoint(folder / "dense", folder / "d.npz", folder / "pruned", 1, 0.5, 1)
    pack(folder / "pruned", folder / "d.npz", folder / "model")
    return folder


def test_the_model_knows_what_the_data_said(chain: Path) -> None:
    model, inputs = load_model(chain / "model"), inputs_of(chain / "d.npz")
    assert model.label_names == ("off", "on")
    assert model.input_scale is not None
    assert inputs.scale is not None
    assert model.input_scale.equals(inputs.scale)
    assert "inputs" not in model.provenance


def test_raw_frames_are_scaled_once_and_that_is_said(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = known_to(load_model(chain / "model"))
    scaled, _ = read_scaled(chain / "d.npz", other=known)
    assert capsys.readouterr().err == ""
    raw, _ = read_scaled(chain / "raw.npz", other=known)
    assert "raw frames, scaled by the scale in it" in capsys.readouterr().err
    for one, two in zip(scaled.sequences, raw.sequences, strict=True):
        assert one == pytest.approx(two, abs=1e-4)  # raw frames are float32 in the file
    read_scaled(chain / "none.npz", other=known)
    assert "does not say whether its frames are scaled" in capsys.readouterr().err
    read_scaled(chain / "d.npz", other=Inputs(), what="model")
    assert "model knows no scale: taken as trained on such frames" in capsys.readouterr().err
    read_scaled(chain / "like.npz", other=known)


def test_data_of_another_scale_is_refused_everywhere(chain: Path) -> None:
    other, known = chain / "other.npz", known_to(load_model(chain / "model"))
    with pytest.raises(ScaleMismatchError, match=r"has another scale than .*model: .*--like"):
        simulate(chain / "model", other, chain / "build")
    with pytest.raises(ScaleMismatchError, match="has another scale than"):
        pack(chain / "pruned", other, chain / "refused")
    with pytest.raises(ScaleMismatchError, match="has another scale than"):
        prune_checkpoint(chain / "dense", chain / "d.npz", chain / "refused", 1, val=other)
    with pytest.raises(ScaleMismatchError, match="raw frames and a scale, and m knows no scale"):
        read_scaled(chain / "raw.npz", other=Inputs(), what="m")
    with pytest.raises(ScaleMismatchError, match="has the classes off, on, m no, yes"):
        read_scaled(chain / "d.npz", other=replace(known, label_names=("no", "yes")), what="m")
    with pytest.raises(ScaleMismatchError, match="was pruned on data without one"):
        joined(known, Inputs(), "data", "checkpoint")
    assert not (chain / "refused").exists()
    assert not (chain / "build").exists()


def test_names_that_the_head_has_no_outputs_for(chain: Path, tmp_path: Path) -> None:
    data(tmp_path, "d.npz", "--classes", "off,on,broken")
    with pytest.raises(DataSetError, match=r"names of 3 classes, .*dense 2 outputs"):
        prune_checkpoint(chain / "dense", tmp_path / "d.npz", tmp_path / "out", 1)


WRONG = [
    ({"scale_mean": np.zeros(2)}, "has scale_mean and no scale_factor"),
    ({"scale_mean": np.zeros(2), "scale_factor": np.zeros(2), "scaled": True}, "must be above 0"),
    ({"scale_mean": np.zeros(3), "scale_factor": np.ones(3), "scaled": True}, "scale of 3 inputs"),
    ({"scale_mean": np.zeros(2), "scale_factor": np.ones(2), "scaled": 2}, "scaled is int64"),
    ({"label_names": np.array(["a", None])}, "label_names is object"),
    ({"label_names": np.array(["a", "a"])}, "two classes are called 'a'"),
]


@pytest.mark.parametrize(("arrays", "message"), WRONG, ids=range(len(WRONG)))
def test_data_files_that_say_it_wrongly(
    tmp_path: Path, arrays: dict[str, object], message: str
) -> None:
    frames = {"frames": np.zeros((4, 2)), "lengths": np.array([4])}
    np.savez(tmp_path / "d.npz", **frames, **arrays)  # type: ignore[arg-type]
    with pytest.raises((DataSetError, ScaleError), match=message):
        read_scaled(tmp_path / "d.npz")


REFUSED = [
    (["--split", "1.5"], "--split 1.5: give a share between 0 and 1"),
    (["--stride", "3"], "--stride without --window"),
    (["--horizon", "2"], "--horizon: say --per frame"),
    (["--raw", "--scale", "none"], "--raw and --scale none"),
    (["--split-by", "who"], "--split-by without --split"),
    (["--target", "temp"], "--label and --target"),
    (["--like", "d.csv"], "d.csv"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_asked(tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        data(tmp_path, "d.npz", *words)
    assert not (tmp_path / "d.npz").exists()


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"PK\x03\x04", bytes(100)])
def test_like_what_is_no_data_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "like.npz").write_bytes(content)
    with pytest.raises(DataSetError, match=r"like\.npz is no data file"):
        data(tmp_path, "d.npz", "--like", str(tmp_path / "like.npz"))


def test_a_model_that_is_scaled_in_python(tmp_path: Path, chain: Path) -> None:
    model = load_model(chain / "model")
    scale = InputScale.fit([RAW], "minmax")
    save_model(tmp_path / "model", replace(model, input_scale=scale))
    loaded = load_model(tmp_path / "model").input_scale
    assert loaded is not None
    assert loaded.equals(scale)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--front"], "--front without --lengths or --pad"),
        (["--classes", "a,b"], "has numbers to be predicted; say --y or --kind labels"),
        (["--ignore", "1"], "has numbers to be predicted"),
    ],
)
def test_options_that_padded_arrays_have_no_use_for(
    tmp_path: Path, words: list[str], message: str
) -> None:
    np.savez(tmp_path / "p.npz", X=np.ones((2, 3, 1)), y=[0.0, 1.0])
    out = str(tmp_path / "d.npz")
    command = ["data", "from-padded", str(tmp_path / "p.npz"), *words, "--out", out]
    done = CliRunner().invoke(app, command)
    assert message in str(done.exception)
    assert not (tmp_path / "d.npz").exists()


def sounds(folder: Path, rate: int = 8000) -> Path:
    """Two classes of noise."""
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for n in range(3):
            noise = random.integers(-9000, 9000, rate // 2, np.int16)
            wavfile.write(folder / name / f"{n}.wav", rate, noise)
    return folder


def from_wav(folder: Path, out: Path, *words: object) -> str:
    command = ["data", "from-wav", folder, *words, "--out", out]
    done = CliRunner().invoke(app, [str(word) for word in command])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_how_frames_were_made_of_sounds_goes_with_the_model(tmp_path: Path) -> None:
    folder, data, model = sounds(tmp_path / "s"), tmp_path / "d.npz", tmp_path / "m.safetensors"
    from_wav(folder, data, "--features", "logmel", "--count", 8, "--hop-ms", 20)
    made = SoundFeatures("logmel", 8, 0, 25.0, 20.0, 8000)
    assert inputs_of(data).sounds == made
    torch.manual_seed(0)
    tensors = {f"lstm.{n}": t for n, t in nn.LSTM(8, 4).state_dict().items()}
    save_file(tensors | {"head.weight": torch.randn(2, 4)}, tmp_path / "dense.safetensors")
    prune_checkpoint(tmp_path / "dense.safetensors", data, tmp_path / "p", 2, 0.5, 1)
    pack(tmp_path / "p", data, model)
    known = known_to(load_model(model))
    assert known.sounds == made
    # The same again, by the model alone: bit for bit.
    again = tmp_path / "again.npz"
    assert "6 sounds: 8 logmel, frames of 25 ms every 20 ms at 8000 Hz" in from_wav(
        folder, again, "--like", model
    )
    both = [load_sequences(path) for path in (data, again)]
    for one, other in zip(*(each.sequences for each in both), strict=True):
        assert np.array_equal(one, other)
    # And by hand, of one sound.
    rate, samples = wavfile.read(folder / "a" / "0.wav")
    assert rate == made.rate
    assert known.scale is not None
    frames = known.scale.apply(frames_of_sound(samples / 2.0**15, made))
    assert np.array_equal(frames, both[0].sequences[0])
    other = tmp_path / "other.npz"
    from_wav(folder, other, "--features", "logmel", "--count", 8)
    with pytest.raises(FeatureMismatchError, match=r"other.npz has 8 logmel, .* every 10 ms at"):
        simulate(model, other, tmp_path / "build")
    with pytest.raises(FeatureMismatchError, match=r"8 logmel, .* every 20 ms .*: make it with"):
        pack(tmp_path / "p", other, tmp_path / "refused")
    with pytest.raises(FeatureMismatchError, match=r"has 8 logmel, .*: leave --count out"):
        from_wav(folder, other, "--like", model, "--count", 9)
    with pytest.raises(DataSetError, match="16000 samples a second, the settings say 8000"):
        from_wav(sounds(tmp_path / "fast", 16_000), other, "--like", model)
