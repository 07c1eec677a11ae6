"""Networks of two exporters and of Keras: what is read computes the same, or a node is named."""

from __future__ import annotations

import logging
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch

from pruning.files.network import load_network
from pruning.importers.checkpoint import CheckpointError, UnsupportedLayerError
from tests.pruning.importers.onnx_networks import FRAMES, NETWORKS, Case, Net

DATA = Path(__file__).parent / "data"
READ = {name: case for name, case in NETWORKS.items() if not case.refused}
FREE = {
    name: case for name, case in READ.items() if name not in ("last frame, kept", "states by view")
}  # an If, a -1


def exported(case: Case, path: Path, dynamo: bool, free: bool = False) -> Path:
    names = {1 - case.swap: "t", int(case.swap): "b"} if free else {}
    more: dict[str, Any] = (
        {"dynamo": True, "verbose": False, "external_data": False} if dynamo else {"dynamo": False}
    )
    if names:
        more["dynamic_axes"] = {"x": names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters' own age
        logging.disable(logging.WARNING)
        try:
            torch.onnx.export(Net(case).eval(), (case.example(),), path, input_names=["x"], **more)
        finally:
            logging.disable(logging.NOTSET)
    return path


def run(path: Path, frames: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": frames.numpy()})[0])


def as_read(path: Path, frames: torch.Tensor) -> np.ndarray:
    """What the network of :func:`load_network` makes of batch-first frames."""
    network = load_network(path)
    reading = network.imported.reading
    assert reading is not None
    assert reading.checked
    lengths = torch.full((len(frames),), frames.shape[1])
    with torch.no_grad():
        logits = network.classifier(path)(frames.contiguous(), lengths)
    return np.asarray(getattr(torch, reading.softmax)(logits, -1) if reading.softmax else logits)


def check(case: Case, path: Path) -> None:
    if case.refused:
        with pytest.raises((UnsupportedLayerError, CheckpointError), match=case.refused) as error:
            load_network(path)
        if "recurrent modules" not in str(error.value):
            assert re.match(r"node \S+ \(\w+\)", str(error.value))
        return
    frames = case.example()
    right = run(path, frames)
    read = as_read(path, frames.transpose(0, 1) if case.swap else frames)
    read = read.swapaxes(0, 1) if case.swap and read.ndim == 3 else read
    assert read.shape == right.shape
    assert np.abs(read - right).max() <= 1e-4 * np.abs(right).max()


def test_there_are_enough_of_both() -> None:
    assert len(READ) >= 30
    assert len(NETWORKS) - len(READ) >= 30


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "projection"])
def test_torchscript(name: str, tmp_path: Path) -> None:
    check(NETWORKS[name], exported(NETWORKS[name], tmp_path / "net.onnx", dynamo=False))


@pytest.mark.parametrize("name", FREE)
def test_torchscript_with_free_sizes(name: str, tmp_path: Path) -> None:
    check(NETWORKS[name], exported(NETWORKS[name], tmp_path / "net.onnx", False, free=True))


def test_a_choice_along_the_batch_says_which_axis_is_which(tmp_path: Path) -> None:
    case = NETWORKS["last sequence of the batch"]
    words = r"sequence -1 of the batch, .* axis 0 is the time here and axis 1 the batch: .* y\[-1\]"
    check(replace(case, refused=words), exported(case, tmp_path / "net.onnx", False, free=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_dynamo(name: str, tmp_path: Path) -> None:
    check(NETWORKS[name], exported(NETWORKS[name], tmp_path / "net.onnx", dynamo=True))


@pytest.mark.parametrize("name", ["plain", "projection"])
def test_dynamo_in_short(name: str, tmp_path: Path) -> None:
    check(NETWORKS[name], exported(NETWORKS[name], tmp_path / "net.onnx", dynamo=True))


@pytest.mark.parametrize(
    "name", ["keras2_lstm_dense", "keras2_batchnorm", "keras2_bidir", "keras2_lstm_seq_dense"]
)
def test_keras(name: str) -> None:
    frames = np.random.default_rng(0).normal(size=(1, FRAMES, 8)).astype(np.float32)
    right = np.load(DATA / f"{name}.npy")
    read = as_read(DATA / f"{name}.onnx", torch.from_numpy(frames))
    assert np.abs(read - right).max() <= 1e-4 * np.abs(right).max()


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("keras3_lstm_dense", r"node \S*/while_loop \(Loop\): a loop or branch"),
    ],
)
def test_keras_refused(name: str, match: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=match):
        load_network(DATA / f"{name}.onnx")
