"""Larger ONNX networks (docs/partial.md): the part cut out and run with the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import sparseflow as sf
from boards.host.whole.hosted import run_graph, session_of
from csb_format.files.cutfile import NAMES, CutFileError, Port, load_seam
from pruning.importers.checkpoint import CheckpointError, UnsupportedLayerError
from sparseflow.steps.cutting.cut import cut
from tests.pruning.importers.larger_networks import KINDS, States, Words

RANDOM = np.random.default_rng(4)
WORDS = RANDOM.integers(0, 20, (3, 8))
GIVEN: dict[str, dict[str, Any]] = {
    "Tagger": {"words": WORDS},
    "Words": {"words": WORDS},
    "States": {"words": WORDS},
    "Attention": {"words": WORDS},
    "Seq2Seq": {"source": WORDS, "target": WORDS[:, :5]},
    "Crnn": {"image": RANDOM.normal(size=(2, 1, 16, 10)).astype(np.float32)},
}
# Axes that may have another size.
OPEN = {"words": {0: "b", 1: "t"}, "image": {0: "b", 3: "t"}}
OPEN |= {"source": {0: "b", 1: "s"}, "target": {0: "b", 1: "u"}}


@dataclass(frozen=True)
class Whole:
    """A network as its user exported it, and data for it."""

    model: Path
    data: Path
    given: dict[str, Any]

    def outputs(self) -> dict[str, Any]:
        return run_graph(session_of(self.model), self.given)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Whole]:
    folder = tmp_path_factory.mktemp("larger")

    def make(kind: str) -> Whole:
        given = GIVEN[kind]
        found = Whole(folder / f"{kind}.onnx", folder / f"{kind}.npz", given)
        if not found.model.is_file():
            torch.manual_seed(0)
            module: nn.Module = (KINDS | {"Words": Words, "States": States})[kind]().eval()
            torch.onnx.export(
                module, tuple(map(torch.from_numpy, given.values())), str(found.model),
                input_names=list(given), output_names=["y"], dynamo=False,
                dynamic_axes={name: OPEN[name] for name in given},
            )  # fmt: skip
            np.savez(found.data, **given)
        return found

    return make


SOURCE = "/encoder/Transpose_output_0"
CASES: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "Tagger": ({}, ["every"], ""),
    "States": ({}, ["last", "last"], ""),
    "Attention": ({}, ["every"], "two directions need the whole sequence"),
    "Seq2Seq": ({"source": SOURCE}, ["last", "last"], "an input of the whole has no axis"),
    "Crnn": ({}, ["every"], "two directions need the whole sequence"),
}


@pytest.mark.parametrize("kind", CASES)
def test_the_parts_are_the_whole(
    tmp_path: Path, exported: Callable[[str], Whole], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, (options, moments, streams) = exported(kind), CASES[kind]
    cut(whole.model, whole.data, tmp_path / "cut", banks=4, **options)
    told = "".join(capsys.readouterr())
    assert "before, part and after give the whole's outputs within" in told
    assert "integers: outputs of the whole differ by at most" in told
    seam = load_seam(tmp_path / "cut")
    assert [port.moment for port in seam.outputs] == moments
    assert bool(seam.streams) == bool(streams)
    assert streams in seam.streams
    network, right = sf.Hosted(tmp_path / "cut"), whole.outputs()
    assert network.inputs == tuple(whole.given)
    found = network.run(whole.given)["y"]
    assert not np.array_equal(found, right["y"])  # it is integers that run
    np.testing.assert_allclose(found, right["y"], atol=2e-2 * np.abs(right["y"]).max())


def test_the_driver_gives_the_same_whole_and_frame_by_frame(
    tmp_path: Path, exported: Callable[[str], Whole]
) -> None:
    whole = exported("Tagger")
    cut(whole.model, whole.data, tmp_path / "cut", banks=4)
    plain = sf.Hosted(tmp_path / "cut")
    right = plain.run(WORDS)["y"]
    with pytest.raises(ValueError, match=r"state in an accelerator: give one, sf\.open"):
        plain.push(WORDS[:1])
    image = sf.compile(plain.model, 4, 4)
    with sf.open("model", image) as board:
        network = sf.Hosted(tmp_path / "cut", board)
        assert np.array_equal(network.run(WORDS)["y"], right)
        for row, wanted in zip(WORDS[:2], right, strict=False):
            for n, word in enumerate(row):
                answer = network.push(np.array([[word]]), first=n == 0)["y"]
            assert np.array_equal(answer, wanted[None])
        with pytest.raises(ValueError, match="3 sequences at once: push one"):
            network.push(WORDS)


@pytest.mark.slow
def test_the_simulated_board_gives_the_same(
    tmp_path: Path, exported: Callable[[str], Whole]
) -> None:
    whole = exported("Seq2Seq")
    cut(whole.model, whole.data, tmp_path / "cut", banks=4, source=SOURCE)
    plain = sf.Hosted(tmp_path / "cut")
    with sf.open("sim", sf.compile(plain.model, 4, 4)) as board:
        found = sf.Hosted(tmp_path / "cut", board).run(whole.given)
    assert np.array_equal(found["y"], plain.run(whole.given)["y"])


def test_named_tensors_take_a_head_along(tmp_path: Path, exported: Callable[[str], Whole]) -> None:
    """Up to the output of the graph nothing is left to the host behind the array."""
    whole = exported("Words")
    source = "/lstm/Transpose_output_0"
    cut(whole.model, whole.data, tmp_path / "cut", banks=4, source=source, targets=["y"])
    (port,) = load_seam(tmp_path / "cut").outputs
    assert (port.kind, port.moment, port.softmax) == ("logits", "last", "log_softmax")
    assert not (tmp_path / "cut" / NAMES["after"]).exists()
    found = sf.Hosted(tmp_path / "cut").run(whole.given)["y"]
    np.testing.assert_allclose(found, whole.outputs()["y"], atol=2e-2)


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        ("Seq2Seq", {}, CheckpointError, r"has 2 parts for the array; choose one: /encoder/LSTM "),
        (
            "Seq2Seq",
            {"targets": ["/decoder/LSTM_output_0"]},
            CheckpointError,
            r"initial_h .* not z",
        ),
        ("Seq2Seq", {"source": "x"}, CheckpointError, r"has no tensor x; its recurrent nodes are"),
        (
            "Seq2Seq",
            {"source": SOURCE, "targets": ["/encoder/LSTM_output_1"]},
            UnsupportedLayerError,
            r"/encoder/LSTM .*reads /encoder/LSTM_output_2 of it too: give that with --to",
        ),
    ],
)
def test_what_cannot_be_cut(
    tmp_path: Path,
    exported: Callable[[str], Whole],
    kind: str,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    whole = exported(kind)
    with pytest.raises(error, match=message):
        cut(whole.model, whole.data, tmp_path / "cut", banks=4, **options)
    assert list(tmp_path.iterdir()) == []


def test_other_data_and_other_files(tmp_path: Path, exported: Callable[[str], Whole]) -> None:
    whole = exported("Tagger")
    for given, message in (
        ({"x": WORDS}, r"holds x: the graph takes words"),
        ({"frames": WORDS[0], "lengths": [9]}, r"lengths do not add up to its 8 frames"),
        ({"words": WORDS * 9}, r"ONNX Runtime does not take words \(3, 8\)"),
        ({"words": WORDS[:0]}, r"words has shape \(0, 8\): give at least one"),  # a crash of theirs
        ({"words": WORDS + 0.5}, "words is float64 with fractions: the graph takes int64"),
        ({"words": WORDS * np.nan}, "words holds NaN"),
        ({}, "holds nothing"),
        (None, "no .npz file or a damaged one"),
    ):
        if given is None:
            (tmp_path / "d.npz").write_bytes(b"")
        else:
            np.savez(tmp_path / "d.npz", **given)
        with pytest.raises(ValueError, match=message):
            cut(whole.model, tmp_path / "d.npz", tmp_path / "cut", banks=4)
    (tmp_path / "net.onnx").write_bytes(whole.model.read_bytes()[:-400])
    with pytest.raises(CheckpointError, match=r"net\.onnx is no ONNX model that can be read"):
        cut(tmp_path / "net.onnx", whole.data, tmp_path / "cut")
    assert not (tmp_path / "cut").exists()


def test_sequences_are_fed_one_by_one(
    tmp_path: Path, exported: Callable[[str], Whole], run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    whole, data = exported("Tagger"), tmp_path / "d.npz"
    np.savez(data, frames=WORDS.reshape(-1, 1), lengths=[10, 8, 6])
    words = ("--data", data, "--out", tmp_path / "cut", "--banks", 4)
    assert run("cut", whole.model, *words) == 0
    told = capsys.readouterr()
    assert "fed to words as a batch of one, batch first" in "".join(told)
    assert re.search(r"next: sparseflow verilog .* --lanes 4\n", told.err)  # of 4 banks
    with np.load(tmp_path / "cut" / NAMES["frames"]) as file:
        assert file["lengths"].tolist() == [10, 8, 6]
    assert run("pack", whole.model, "--lstm", "lstm", "--calibration", data, "--out", "m") == 2
    assert "`sparseflow cut` takes the array's part out of it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda seam: seam.update(version=2), "of a later version"),
        (lambda seam: seam.pop("input"), "is damaged"),
        (lambda seam: seam["outputs"].clear(), "is damaged"),
        (lambda seam: seam["input"].update(kind="what"), "is damaged"),
        (lambda seam: seam["outputs"][0].update(axes=[["time"], ["time"]]), "is damaged"),
    ],
)
def test_a_damaged_folder(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    seam = {
        "version": 1,
        "input": {"name": "x", "axes": [["time"], ["batch"], ["feature"]], "kind": "input"},
        "outputs": [{"name": "y", "axes": [["time"], [], ["batch"], ["unit"]]}],
        "streams": "",
        "time": [],
    }
    path = tmp_path / NAMES["seam"]
    path.write_text(json.dumps(seam))
    assert load_seam(tmp_path).outputs[0].moment == "every"
    change(seam)
    path.write_text(json.dumps(seam))
    with pytest.raises(CutFileError, match=message):
        load_seam(tmp_path)
    with pytest.raises(CutFileError, match=r"has no cut\.json: give the folder of"):
        load_seam(tmp_path / "none")


def test_a_tensor_lies_as_the_graph_has_it() -> None:
    port = Port("y", (("batch",), (), ("direction", "unit"), ("time",)))
    sequences = [RANDOM.normal(size=(5, 6)).astype(np.float32) for _ in range(2)]
    made = port.tensor(sequences, 2)
    assert made.shape == (2, 1, 6, 5)
    assert np.array_equal(made[1, 0].T, sequences[1])
    given = Port("x", (("feature",), ("time",)), "input")
    assert np.array_equal(given.sequences(sequences[0].T)[0], sequences[0])
    with pytest.raises(ValueError, match="there are 2 of batch: run one sequence at a time"):
        Port("y", (("time",), ("unit",))).tensor(sequences, 1)


def test_a_head_at_every_frame_and_other_models(
    tmp_path: Path, exported: Callable[[str], Whole]
) -> None:
    whole, folder = exported("Crnn"), tmp_path / "cut"
    cut(whole.model, whole.data, folder, source="/rnn/Transpose_output_0", targets=["y"])
    network = sf.Hosted(folder)
    assert network.seam.outputs[0].moment == network.model.pool == "every"
    found = network.run(whole.given)["y"]
    np.testing.assert_allclose(found, whole.outputs()["y"], atol=2e-2)
    with pytest.raises(ValueError, match="the model feeds its head as last, the part as every"):
        sf.Hosted(folder, model=replace(network.model, pool="last"))
    with pytest.raises(ValueError, match="the model has no head and the part one: pack part"):
        sf.Hosted(folder, model=replace(network.model, head=None))
    (folder / NAMES["model"]).unlink()
    with pytest.raises(CutFileError, match=r"has no model\.safetensors: pack part\.onnx"):
        sf.Hosted(folder)


def test_graphs_are_left_as_they_were(tmp_path: Path, exported: Callable[[str], Whole]) -> None:
    whole = exported("Tagger")
    before = whole.model.read_bytes()
    cut(whole.model, whole.data, tmp_path / "cut", banks=4)
    assert whole.model.read_bytes() == before
    part = onnx.load(str(tmp_path / "cut" / NAMES["part"]))
    assert [node.op_type for node in part.graph.node] == ["LSTM"]
