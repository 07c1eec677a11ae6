"""The front door: what ``import sparseflow as sf`` gives, and that it costs nothing until used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sparseflow as sf
from boards.board import BoardError
from boards.host.driver import Accelerator
from compiler.array.needs import OPTIONS, design_for
from csb_format import Model, ModelFileError
from csb_format.files.matrixfile import PackedMatrix
from csb_format.random_models import random_frames, random_network
from csb_format.scales import DesignError
from engine.reference import IntegerModel
from pruning.mask.goals import Goal, UnreachableError
from pruning.mask.views import Banks
from sim.check.verify import verify
from sparseflow.api import ArrayOptions, OpenOptions, VerifyOptions

CALLBACKS = ["LightningPruning", "TransformersPruning"]
FACE = ["Accelerator", "Hosted", *CALLBACKS, "adapt", "build", "compile", "emit", "estimate",
        "load", "open", "pack", "prune", "quantise", "replace", "save", "score", "simulate",
        "verify"]  # fmt: skip
HEAVY = ["torch", "amaranth", "numpy", "numba", "cocotb", "typer", "jinja2", "matplotlib"]


@pytest.fixture
def lstm() -> nn.LSTM:
    torch.manual_seed(1)
    return nn.LSTM(8, 16)


@pytest.fixture
def frames() -> list[np.ndarray]:
    return [np.random.default_rng(n).normal(size=(3 + n, 8)) for n in range(2)]


@pytest.fixture
def model(lstm: nn.LSTM, frames: list[np.ndarray]) -> Model:
    return sf.quantise(sf.prune(lstm, banks=4, sparsity=0.5), nn.Linear(16, 3), frames).model


def test_the_face_is_what_it_says() -> None:
    assert sorted(sf.__all__) == FACE
    assert set(FACE) <= set(dir(sf))
    assert all(f"``sf.{name}``" in (sf.__doc__ or "") for name in FACE)
    for name in set(FACE) - {*CALLBACKS}:  # their frameworks are heavy: tests of their own
        function = getattr(sf, name)
        told = inspect.getdoc(function) or ""
        assert "Parameters\n----------" in told, name
        assert name in ("Accelerator", "save", "emit") or "Raises\n------" in told, name
    with pytest.raises(
        UnreachableError, match=r"sparsity 75.00% of all matrices together: .* come no nearer"
    ):
        sf.prune(nn.LSTM(8, 16), banks=4, sparsity=0.75)
    with pytest.raises(AttributeError, match="module 'sparseflow' has no attribute 'train'"):
        _ = sf.train  # type: ignore[attr-defined]


def test_importing_it_imports_nothing_heavy() -> None:
    program = f"import sys, sparseflow; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_whoever_has_a_model_needs_no_training_framework(tmp_path: Path, model: Model) -> None:
    sf.save(model, tmp_path / "m.safetensors")
    program = (
        "import sys\n"
        "for name in ('torch', 'amaranth', 'cocotb', 'numba'): sys.modules[name] = None\n"
        "import sparseflow as sf\nmodel = sf.load(sys.argv[1])\nimage = sf.compile(model, 4, 4)\n"
        "import numpy as np\n"
        "with sf.open('model', image) as board:\n"
        "    board.load(model)\n"
        "    print(board.run(np.zeros((2, 8), np.int64)).hidden.shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "m.safetensors")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "(2, 16)", done.stderr


def test_prune_reaches_what_is_asked(lstm: nn.LSTM) -> None:
    pruner = sf.prune(lstm, banks=2, sparsity=0.75)
    assert pruner.sparsity() == 0.75
    assert {state.goal.view for state in pruner.report()} == {Banks(2)}
    by_kind = {"weight_ih": Goal(Banks(4), sparsity=0.5)}
    twice = sf.prune(nn.GRU(8, 16), banks=2, by_kind=by_kind, steps=3)
    first = twice.sparsity()
    for _ in range(3):
        twice.step()
    # of 48 x 8 input weights a half, of 48 x 16 recurrent ones seven eighths
    assert first < twice.sparsity() == 0.75
    assert {s.name: s.goal.view for s in twice.report()} == {
        "weight_ih_l0": Banks(4),
        "weight_hh_l0": Banks(2),
    }


def test_quantise_takes_a_pruner_or_a_layout(lstm: nn.LSTM, frames: list[np.ndarray]) -> None:
    pruner = sf.prune(lstm, banks=4, sparsity=0.5)
    mine = sf.quantise(pruner, None, frames, value_bits=8, act_bits=12)
    layout = {"weight_ih_l0": 4, "weight_hh_l0": 4}
    plain = sf.quantise(pruner.squash(), None, frames, layout=layout, value_bits=8, act_bits=12)
    assert mine.model.equals(plain.model)
    assert mine.model.layers[0].weight_ih.geometry.value_bits == 8
    with pytest.raises(ValueError, match=r"no layout: give what sf\.prune returned, or layout"):
        sf.quantise(pruner.squash(), None, frames)


def test_pack_load_and_save(tmp_path: Path, model: Model) -> None:
    packed = sf.pack(sf.prune(nn.GRU(8, 16), banks=4, sparsity=0.5))
    for what, name in ((model, "a"), (packed, "b")):
        sf.save(what, tmp_path / name)
    again, matrices = sf.load(tmp_path / "a"), sf.load(tmp_path / "b")
    assert isinstance(again, Model)
    assert again.equals(model)
    assert isinstance(matrices, dict)
    assert set(matrices) == set(packed)
    assert all(isinstance(matrix, PackedMatrix) for matrix in matrices.values())
    (tmp_path / "c").write_bytes(b"nothing of ours")
    with pytest.raises(ModelFileError):
        sf.load(tmp_path / "c")
    with pytest.raises(ValueError, match="no banks: give every matrix by its name"):
        sf.pack(nn.GRU(8, 16))


def test_compile_names_what_does_not_fit(model: Model) -> None:
    image = sf.compile(model, 4, 4, head=True, contexts=2)
    assert (image.design.pes, image.design.lanes, image.design.contexts) == (4, 4, 2)
    with pytest.raises(DesignError, match="lanes = 3 does not divide the 4 banks"):
        sf.compile(model, 4, 3)


def test_a_score_is_that_of_the_integers(model: Model, frames: list[np.ndarray]) -> None:
    every = replace(model, pool="every")
    traces = IntegerModel(model).run(IntegerModel(model).quantise(frames))
    said = [model.numbers(trace.output) for trace in traces]
    labels = [int(answer.argmax()) for answer in said]
    found = sf.score(model, frames, labels=[labels[0], (labels[1] + 1) % 3])
    assert (found["accuracy"], found["each"], found["count"]) == (0.5, "sequence", 2)
    assert np.trace(found["confusion"]) == 1
    off = np.array([[0, 0, 0], [0, 0, 3]])
    exact = sf.score(model, frames, targets=np.array(said) + off)
    assert exact["mse"] == pytest.approx(9 / 6)
    assert [row["mse"] for row in exact["by_output"]] == pytest.approx([0, 0, 4.5])
    of_frames = np.concatenate([every.numbers(trace.output) for trace in traces]).argmax(-1)
    assert sf.score(every, frames, labels=np.append(of_frames[:-1], -1))["accuracy"] == 1
    assert sf.score(every, frames, labels=of_frames)["perplexity"] > 1


def test_verify_and_simulate_agree(tmp_path: Path, model: Model, frames: list[np.ndarray]) -> None:
    image = sf.compile(model, 4, 4)
    assert sf.emit(image.design, tmp_path / "blank").images == ()
    shown = sf.verify(image, frames, simulator="icarus", work=tmp_path / "kept", icarus=2)
    assert (shown.exact, shown.mismatches, shown.frames) == (True, 0, 7)
    assert [(b.simulator, b.exact, b.frames) for b in shown.beside] == [("icarus", True, 7)]
    assert shown.apart == ""
    assert (tmp_path / "kept" / "verilog" / "sparseflow.v").exists()
    found = sf.simulate(image, frames, simulator="icarus")
    assert found.cycles == shown.run.outcome.cycles[shown.stimulus.image.parts[0].beats_out - 1 ::
                                                    image.parts[0].beats_out]  # fmt: skip
    for states, trace in zip(found.states, shown.traces[-1], strict=True):
        np.testing.assert_array_equal(states.hidden, trace.hidden)
        np.testing.assert_array_equal(states.cell, trace.cell)


@pytest.mark.slow
def test_simulate_runs_both_directions() -> None:
    rng = np.random.default_rng(2)
    model = random_network(rng, 8, 8, 4, (1, 1, 1), layers=2, directions=2)
    sequences = random_frames(rng, model, [3, 2])
    found = sf.simulate(sf.compile(model, 4, 4), sequences, simulator="icarus")
    for states, trace in zip(found.states, IntegerModel(model).run(sequences), strict=True):
        np.testing.assert_array_equal(states.output, trace.output)


def test_estimate_needs_no_weights(model: Model) -> None:
    every, shapes = sf.estimate(model, "ulx3s"), sf.estimate(model.shape, "ulx3s")
    assert every == shapes
    assert every[0].fits
    assert every[0].microseconds <= every[1].microseconds
    with pytest.raises(BoardError, match="board 'spartan' is not known"):
        sf.estimate(model, "spartan")


def test_build_writes_a_vendors_project(tmp_path: Path, model: Model) -> None:
    page = sf.build(model, "arty_a7", tmp_path / "out", array=(4, 4))
    assert page.startswith("# Arty A7")
    assert (tmp_path / "out" / "build.tcl").exists()
    with sf.open("model", tmp_path / "out") as board:
        board.load(model)
        assert board.run(np.zeros((1, 8), np.int64)).hidden.shape == (1, 16)


def test_the_options_are_those_of_what_is_called() -> None:
    """They are typed by name, so they must be there; their defaults stay where they are."""
    asked: dict[Callable[..., object], tuple[type, set[str]]] = {
        verify: (VerifyOptions, _options(verify) - {"simulator", "progress", "simulate", "stage"}),
        Accelerator.open: (OpenOptions, _options(Accelerator.open)),
        design_for: (ArrayOptions, (_options(design_for) | {*OPTIONS}) - {"head"}),
    }
    for function, (options, names) in asked.items():
        assert set(options.__annotations__) == names, function


def _options(function: Callable[..., object]) -> set[str]:
    """Its optional parameters."""
    found = inspect.signature(function).parameters.values()
    return {p.name for p in found if p.default is not inspect.Parameter.empty}
