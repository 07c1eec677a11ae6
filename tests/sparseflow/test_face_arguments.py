"""Wrong arguments of the front door: one error each that names the argument, value and mend."""

from __future__ import annotations

import json
import traceback
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sparseflow
from boards.board import BoardError
from compiler.lower.image import Image
from csb_format import Model
from csb_format.random_models import random_model
from csb_format.scales import DesignError
from pruning.importers.checkpoint import UnsupportedLayerError
from pruning.mask.goals import UnreachableError
from pruning.mask.layers import UnprunableError

sf: Any = sparseflow  # what it is given here is of other types
NAN = float("nan")
LAYOUT = {"weight_ih_l0": 4, "weight_hh_l0": 4}
ROOT = str(Path(__file__).resolve().parents[2])


def lstm(**options: Any) -> nn.LSTM:
    torch.manual_seed(1)
    return nn.LSTM(8, 16, **options)


@cache
def model() -> Model:
    return random_model(np.random.default_rng(0), 8, 8, banks=4, k_ih=1, k_hh=1)


@cache
def image() -> Image:
    return sparseflow.compile(model(), 4, 4)


def pruner() -> Any:
    return sf.prune(lstm(), banks=4, sparsity=0.5)


def frames(count: int = 8) -> list[Any]:
    return [np.ones((2, count))]


def check(call: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as raised:
        call()
    assert ROOT in traceback.extract_tb(raised.value.__traceback__)[-1].filename  # our own text
    assert "\n" not in str(raised.value)


PRUNE: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (lambda: None, {}, TypeError, r"sf\.prune takes a torch\.nn\.Module.*, not None"),
    (lambda: "a.pt", {}, TypeError, "not 'a.pt': load the file into a module first"),
    (lambda: lstm().state_dict(), {}, TypeError, "a state dict: give the module"),
    (pruner, {}, TypeError, "not a Pruner: its module is pruned already; squash first"),
    (lambda: nn.LSTM, {}, TypeError, r"not the class LSTM: make one, such as LSTM\("),
    (lambda: pruner().module, {}, UnprunableError, "is pruned already: squash first"),
    (lambda: lstm(device="meta"), {}, UnprunableError, "on the meta device and has no values"),
    (lambda: nn.Conv1d(4, 4, 3), {}, UnprunableError, "Conv1d has no matrix that can be pruned"),
    (lambda: nn.Sequential(), {}, UnprunableError, "Sequential has no matrix that can be"),
    *[
        (lstm, {"banks": bad}, TypeError, r"banks = .*: must be a whole number, at least 1")
        for bad in ("4", [4], 1.5, True, None)
    ],
    (lstm, {"banks": 0}, ValueError, "banks = 0: must be at least 1"),
    (lstm, {"sparsity": "x"}, TypeError, "sparsity = 'x': must be a number, 0 to 1"),
    (lstm, {"steps": NAN}, TypeError, "steps = nan: must be a whole number"),
    (lstm, {"steps": 1.5}, TypeError, r"steps = 1\.5: must be a whole number"),
    (lstm, {"steps": 0}, ValueError, "steps = 0: must be at least 1"),
    (lstm, {"every": 0}, ValueError, "every = 0: must be at least 1"),
    (lstm, {"every": -1}, ValueError, "every = -1: must be at least 1"),
    (lstm, {"by_kind": {"weight_ih": 0.5}}, TypeError, r"by_kind\['weight_ih'\] = 0\.5: give a"),
    (lstm, {"by_kind": 3}, TypeError, "by_kind = 3: give a Goal by kind"),
    (lstm, {"budget": "mine"}, ValueError, "budget = 'mine': must be one of global, gate, equal"),
    (lstm, {"budget": None}, TypeError, "budget = None: must be one of global, gate, equal"),
    (lstm, {"sparsity": 0.75}, UnreachableError, r": 4 banks come no .*\(fewer banks\)$"),
]


@pytest.mark.parametrize(("make", "options", "kind", "words"), PRUNE)
def test_prune(make: Any, options: dict[str, Any], kind: type[Exception], words: str) -> None:
    check(lambda: sf.prune(make(), **{"banks": 4, "sparsity": 0.5, **options}), kind, words)


QUANTISE: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"pruned": None}, TypeError, r"sf\.quantise takes what sf\.prune returned.*, not None"),
    ({"pruned": 3}, TypeError, "not 3: give a torch"),
    ({"pruned": nn.RNN(8, 16)}, UnsupportedLayerError, "layer of type RNN: train"),
    ({"head": 3}, TypeError, r"as head an nn\.Linear, an nn\.Sequential, or None, not 3"),
    ({"calibration": None}, TypeError, "calibration sequences are None, no list: give a list"),
    ({"calibration": 3}, TypeError, "calibration sequences are 3, no list"),
    ({"calibration": "x"}, TypeError, "calibration sequences are the path 'x'"),
    ({"calibration": (n for n in range(1))}, TypeError, "are a generator, no list"),
    ({"calibration": [[[object()] * 8]]}, TypeError, "sequence 0 holds object, no numbers"),
    ({"calibration": [[["a"] * 8]]}, TypeError, "holds <U1, no numbers"),
    ({"calibration": [np.ones((2, 8), complex)]}, TypeError, "holds complex128, no numbers"),
    ({"calibration": [np.ones((0, 8))]}, ValueError, r"has shape \(0, 8\)"),
    ({"calibration": np.ones((2, 8))}, ValueError, r"stands in brackets, \[frames\]"),
    ({"calibration": [np.ones((1, 2, 8))]}, ValueError, r"of a batch give list\(batch\)"),
    ({"act_bits": None}, TypeError, "act_bits = None: must be a whole number, 6 to 18"),
    ({"act_bits": 5}, ValueError, "act_bits = 5: must be 6 to 18"),
    ({"act_bits": 19}, ValueError, "act_bits = 19: must be 6 to 18"),
    ({"value_bits": True}, TypeError, "value_bits = True: must be a whole number, 4 to 18"),
    ({"percentile": "x"}, TypeError, "percentile = 'x': must be a number, 50 to 100"),
    ({"percentile": 10}, ValueError, "percentile = 10: must be a number, 50 to 100"),
    ({"per_gate": "x"}, TypeError, "per_gate = 'x': must be True or False"),
    ({"layout": 3}, TypeError, "layout = 3: give every matrix by its name"),
    ({"layout": {}}, ValueError, "layout is empty: give every"),
    ({"layout": {"weight_ih_l0": "4"}}, TypeError, r"layout\['weight_ih_l0'\] = '4': give the"),
    ({"layout": {**LAYOUT, "no": 4}}, ValueError, "layout: 'no' is no matrix of the module"),
    ({"provenance": 3}, TypeError, "provenance = 3: give texts by name"),
]


@pytest.mark.parametrize(("options", "kind", "words"), QUANTISE)
def test_quantise(options: dict[str, Any], kind: type[Exception], words: str) -> None:
    given = {"head": None, "calibration": frames(), **options}
    made = given.pop("pruned") if "pruned" in given else pruner()
    check(lambda: sf.quantise(made, **given), kind, words)


PACK: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
    (None, LAYOUT, {}, TypeError, r"sf\.pack takes .*, not None"),
    (3, LAYOUT, {}, TypeError, "not 3: give a torch"),
    ({}, {}, {}, ValueError, "banks is empty: give every matrix"),
    (lstm(), {}, {}, ValueError, "banks is empty"),
    (lstm(), 3, {}, TypeError, "banks = 3: give every matrix"),
    (lstm(), {"weight_ih_l0": "4"}, {}, TypeError, r"banks\['weight_ih_l0'\] = '4'"),
    (lstm(), {"weight_ih_l0": True}, {}, TypeError, r"banks\['weight_ih_l0'\] = True"),
    (lstm(), LAYOUT, {"masks": 3}, TypeError, "masks = 3: give a bool tensor by"),
    (lstm(), LAYOUT, {"masks": {"no": torch.ones(1)}}, ValueError, "masks: 'no' is no matrix"),
    ({"a": np.ones((4, 4))}, {"a": 4}, {}, TypeError, r"torch\.from_numpy\(array\)"),
    (lstm(device="meta"), LAYOUT, {}, UnprunableError, "meta device and has no values"),
]


@pytest.mark.parametrize(("module", "banks", "options", "kind", "words"), PACK)
def test_pack(
    module: Any, banks: Any, options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    check(lambda: sf.pack(module, banks, **options), kind, words)


REST: list[tuple[Any, type[Exception], str]] = [
    (lambda: sf.compile(None), TypeError, r"sf\.compile takes a model, not None"),
    (lambda: sf.compile("m"), TypeError, r"not 'm': read the file first, sf\.load\(path\)"),
    (lambda: sf.compile(sf.pack(pruner())), TypeError, "packed alone run on no array"),
    (lambda: sf.compile(model(), 4, 4, max_align=NAN), DesignError, "max_align = nan: must be"),
    (lambda: sf.compile(model(), 4, 4, compact="x"), DesignError, "compact = 'x': must be True"),
    (lambda: sf.compile(model(), 4, 4, head="x"), DesignError, "head = 'x': must be True or"),
    (lambda: sf.compile(model(), 4, 4, streamed=3), DesignError, "streamed = 3: must be True"),
    (
        lambda: sf.compile(model(), 4, 4, foo=3),
        TypeError,
        "no option 'foo': there are all_pes, batched, block_banks, by_gate",
    ),
    (lambda: sf.compile(model(), True, 4), DesignError, "pes = True: must be a whole number"),
    (lambda: sf.save(model(), "."), IsADirectoryError, "is a folder: name a file in it"),
    (lambda: sf.save(model(), "no/x"), FileNotFoundError, "no such folder: make it first: 'no'$"),
    (lambda: sf.save(3, "x"), TypeError, r"sf\.save takes a model or packed .*, not 3"),
    (lambda: sf.save({}, "x"), ValueError, r"sf\.save got no matrices"),
    (lambda: sf.load(3), TypeError, "path = 3: must be a path"),
    (lambda: sf.emit(model(), "v"), TypeError, r"compile it first, sf\.compile\(model\)"),
    (lambda: sf.emit(image(), "file"), NotADirectoryError, "is a file, not a folder"),
    (lambda: sf.estimate(None, "ulx3s"), TypeError, r"sf\.estimate takes a model, not None"),
    (lambda: sf.build(model(), "arty_a7", "o", clock_mhz=0), ValueError, "clock_mhz = 0: must"),
    (lambda: sf.build(model(), "arty_a7", "o", clock_mhz=NAN), ValueError, "clock_mhz = nan"),
    (lambda: sf.build(model(), "arty_a7", "o", clock_mhz=-1), ValueError, "clock_mhz = -1: mu"),
    (lambda: sf.build(model(), "ulx3s", "o", clock_mhz=1e9), BoardError, r"1e\+09 MHz of 25 MHz"),
    (lambda: sf.build(model(), "arty_a7", "o", array=3), TypeError, "array = 3: give M and N"),
    (lambda: sf.build(model(), "arty_a7", "o", array=(4,)), TypeError, r"array = \(4,\): give"),
    (lambda: sf.build(model(), "arty_a7", "o", seed=-1), ValueError, "seed = -1: must be 0 to"),
    (lambda: sf.open(3, image()), TypeError, "target = 3: give model, sim"),
    (lambda: sf.open("model", "no.json"), FileNotFoundError, "is not there: give the folder"),
    (lambda: sf.open("model", model()), TypeError, "design = a Model: give the folder of a"),
    (lambda: sf.open("serial:/dev/nope", image()), OSError, "opened as a serial port: .*nope'$"),
    (lambda: sf.open("serial:/dev/null", image()), OSError, "opened as a serial port: .*null'$"),
    (lambda: sf.open("serial:/dev/x?baud=-1", image()), ValueError, "baud '-1': give the"),
    (lambda: sf.open("model", image(), retries=-1), ValueError, "retries = -1: must be 0 to"),
    *[
        (lambda bad=bad: sf.open("model", image(), timeout=bad), ValueError, "timeout = .*: must")
        for bad in (0, -1, NAN)
    ],
    (lambda: sf.open("model", image(), foo=1), TypeError, "no option 'foo': there are retries"),
]


@pytest.mark.parametrize(("call", "kind", "words"), REST)
def test_the_others(
    call: Any, kind: type[Exception], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    check(call, kind, words)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


SEQUENCES: list[tuple[Any, type[Exception], str]] = [
    ([np.full((2, 8), 40000)], ValueError, "sequence 0: frames reach from 40000 to 40000, their f"),
    ([np.full((2, 8), 1 << 40)], ValueError, "their format from -32768 to 32767: quantise them"),
    ([np.ones((2, 8)), np.ones((2, 8), int)], ValueError, "sequence 1 holds integers, sequence 0"),
    ([np.ones((2, 8)), np.ones((2, 7))], ValueError, r"sequence 1 has shape \(2, 7\): give a"),
    ([None], TypeError, "sequence 0 holds object, no numbers"),
    (None, TypeError, "sequences are None, no list"),
]


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({}, TypeError, "sf.score takes labels, classes from 0, or targets, numbers: give one"),
        ({"labels": [0], "targets": [[0.0]]}, TypeError, "sf.score takes labels, classes"),
        ({"labels": [3]}, ValueError, "labels up to 3, but the model knows 3 classes"),
        ({"labels": ["a"]}, ValueError, "sf.score: labels are text: give one class"),
        ({"labels": [0, 0]}, ValueError, r"one label for each frame, .* \(pool=last\)"),
        ({"labels": [0, 0, 0]}, ValueError, "1 sequences and 3 labels: give one label for each"),
        ({"targets": [[0.0]]}, ValueError, "targets of 1 numbers, .* 3 outputs"),
        ({"targets": [[0.0, NAN, 1.0]]}, ValueError, r"targets\[0, 1\] is nan, 1 of 3 like it"),
        ({"targets": [[0.0], [1, 2]]}, TypeError, "targets = .*: give an array"),
        ({"targets": [None]}, TypeError, "targets = .*: give an array of numbers"),
    ],
)
def test_score(given: dict[str, Any], kind: type[Exception], words: str) -> None:
    network = random_model(np.random.default_rng(0), 8, 8, banks=4, k_ih=1, k_hh=1, head=3)
    check(lambda: sf.score(network, frames(), **given), kind, words)


def test_score_of_no_classifier() -> None:
    check(lambda: sf.score(model(), frames(), labels=[0]), ValueError, "has no head: give")
    check(lambda: sf.score("m", frames(), labels=[0]), TypeError, "sf.score takes a model")


@pytest.mark.parametrize("function", [sf.verify, sf.simulate])
@pytest.mark.parametrize(("given", "kind", "words"), SEQUENCES)
def test_sequences(function: Any, given: Any, kind: type[Exception], words: str) -> None:
    check(lambda: function(image(), given), kind, words)


@pytest.mark.parametrize("function", [sf.verify, sf.simulate])
def test_images_and_places(function: Any, tmp_path: Path) -> None:
    check(lambda: function(model(), frames()), TypeError, "compile it first")
    check(lambda: function(None, frames()), TypeError, r"give what sf\.compile\(model\) returns")
    (tmp_path / "file").write_text("mine")
    check(lambda: function(image(), frames(), work=tmp_path / "file"), OSError, "not a folder")


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"idle": 2}, TypeError, r"idle = 2: give sim\.run\.streams\.Pauses"),
        ({"stall": -1}, TypeError, "stall = -1: give"),
        ({"contexts": "x"}, TypeError, "contexts = 'x': must be a whole number"),
        ({"contexts": 0}, ValueError, "contexts = 0: must be at least 1"),
        ({"contexts": 2}, ValueError, r"the design keeps 1; sf\.compile\(contexts=2\)"),
        ({"load": "x"}, TypeError, "load = 'x': must be True or False"),
        ({"icarus": -1}, ValueError, "icarus = -1: must be at least 0"),
        ({"cocotb": "all"}, TypeError, "cocotb = 'all': must be a whole number"),
        ({"foo": 1}, TypeError, "no option 'foo': there are builds, contexts"),
    ],
)
def test_verify(options: dict[str, Any], kind: type[Exception], words: str) -> None:
    check(lambda: sf.verify(image(), frames(), **options), kind, words)


@pytest.mark.parametrize("text", [b"{}", b"[1]", b"{bad", b"\xff\xfe", b'{"foo":1}', b"[" * 99999])
def test_designs(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "design.json").write_bytes(text)
    check(lambda: sf.open("model", tmp_path), ValueError, r"design\.json is no design")


@pytest.mark.parametrize(("text", "kind"), [(b"", "an empty"), (b"garbage" * 9, "a text")])
def test_files(tmp_path: Path, text: bytes, kind: str) -> None:
    (tmp_path / "m").write_bytes(text)
    check(lambda: sf.load(tmp_path / "m"), ValueError, f"it is {kind} file, no model file")


def test_numbers_of_numpy_are_numbers() -> None:
    found = sf.compile(model(), np.int64(4), np.int32(4), fan_in=np.int64(4)).design
    assert found == image().design
    assert json.dumps(asdict(found)) == json.dumps(asdict(image().design))
