"""``sparseflow adapt``: what it writes and rolls back, what a break leaves, what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from compiler.learn.design import training_design
from compiler.learn.timing import BatchCycles, batch_cycles
from compiler.lower.schedule import schedule
from csb_format import Model, load_model, save_model
from csb_format.files.ownership import PlaceError
from csb_format.random_models import random_network
from engine.learn.learner import Learner, LearnError, Settings
from engine.learn.pieces import MemoryLimitError
from pruning.tasks.data.wrong_data import DataSetError
from sparseflow.commands.cli import app
from sparseflow.pages.learning.page import _cycles
from sparseflow.steps.learning.adapting import _Adaptation, adapt
from sparseflow.steps.learning.options import AdaptOptions, ModeName, TargetName, bytes_of
from sparseflow.steps.learning.targets import cycles_told

UNITS, CLASSES, INPUTS = 16, 3, 8


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a model, and data whose classes a mean of the frames tells."""
    rng = np.random.default_rng(0)
    model = random_network(rng, INPUTS, UNITS, 4, (1, 2, 0), value_bits=8, act_bits=8, head=CLASSES)
    save_model(tmp_path / "m.safetensors", replace(model, provenance={"seed": "0"}))
    lengths, labels = rng.integers(3, 9, 60), rng.integers(0, CLASSES, 60)
    frames = rng.normal(0, 0.3, (int(lengths.sum()), INPUTS))
    frames[np.arange(len(frames)), np.repeat(labels, lengths)] += 1
    np.savez(tmp_path / "d.npz", frames=frames, lengths=lengths, labels=labels)
    return tmp_path


def options(place: Path, **more: Any) -> AdaptOptions:
    given = {"model": place / "m.safetensors", "data": place / "d.npz", "out": place / "o.st"}
    return AdaptOptions(**(given | {"epochs": 3, "rate": 0.5} | more))


def changed(place: Path, **arrays: Any) -> Path:
    """The data with other arrays, or without those that are None."""
    with np.load(place / "d.npz") as file:
        found = {**file, **arrays}
    path = place / "changed.npz"
    np.savez(path, **{name: array for name, array in found.items() if array is not None})
    return path


def model_of(path: Path) -> Model:
    found = load_model(path)
    assert isinstance(found, Model)
    return found


def test_it_gets_better_and_the_file_is_the_same_kind(place: Path) -> None:
    words = ["adapt", "m.safetensors", "--data", "d.npz", "--out", "o.st", "--epochs", "5"]
    words += ["--page", "o.html", "--json", "o.json", "--memory", "64KiB", "--rate", "0.5"]
    here = Path.cwd()
    os.chdir(place)
    try:
        done = CliRunner().invoke(app, words, catch_exceptions=False)
    finally:
        os.chdir(here)
    assert done.exit_code == 0
    assert "held-out data: " in done.output
    old, new = model_of(place / "m.safetensors"), model_of(place / "o.st")
    found = json.loads((place / "o.json").read_text())
    assert found["after"]["score"]["accuracy"] > found["before"]["score"]["accuracy"]
    assert not found["rolled_back"]
    for before, after in zip(old.layers[0].matrices, new.layers[0].matrices, strict=True):
        assert before.matrix.geometry == after.matrix.geometry
        assert np.array_equal(before.matrix.to_mask(), after.matrix.to_mask())
        assert before.formats == after.formats
    assert new.provenance["seed"] == "0"
    assert json.loads(new.provenance["adapted"])["data"] == "d.npz"
    page = (place / "o.html").read_text()
    assert "layers.0.weight_hh" in page
    assert "Rolled back" not in page
    assert not list(place.glob("*.state.npz"))


def test_what_gets_worse_is_rolled_back_and_said(place: Path) -> None:
    with np.load(place / "d.npz") as file:
        wrong = (file["labels"] + 1) % CLASSES
    adapt(options(place, out=place / "good.st", epochs=8))
    found = adapt(options(
        place, model=place / "good.st", data=changed(place, labels=wrong), val=place / "d.npz",
        page=place / "o.html", rate=2.0,
    ))  # fmt: skip
    assert found["rolled_back"]
    assert found["kept_epoch"] == 0
    assert "Rolled back" in (place / "o.html").read_text()
    assert model_of(place / "o.st").equals(model_of(place / "good.st"))


@pytest.mark.parametrize("mode", ["head", "recurrent"])
def test_memory_and_threads_change_no_byte(place: Path, mode: str) -> None:
    one = adapt(options(place, mode=ModeName(mode)))
    other = adapt(options(
        place, mode=ModeName(mode), out=place / "p.st", memory="60KiB", threads=2
    ))  # fmt: skip
    assert one["epochs"][0]["pieces"] < other["epochs"][0]["pieces"]
    assert (place / "o.st").read_bytes() == (place / "p.st").read_bytes()
    moved = {name for name, of in one["changed"].items() if of["moved"]}
    assert all(name.startswith({"head": "head", "recurrent": "layers"}[mode]) for name in moved)


PROGRAM = """
import sys
from pathlib import Path
from sparseflow.steps.learning.adapting import _Adaptation, adapt
from sparseflow.steps.learning.options import AdaptOptions
place = Path(sys.argv[1])
adapt(AdaptOptions(place / "m.safetensors", place / "d.npz", place / "o.st", epochs=70, rate=0.5,
      resume="resume" in sys.argv, json=place / "o.json"))
"""


def test_a_kill_at_any_point_loses_nothing(place: Path) -> None:
    words = [sys.executable, "-c", PROGRAM, str(place)]
    before = (place / "m.safetensors").read_bytes()
    state, done = place / "o.st.state.npz", list[int]()
    for turn in range(2):
        process = subprocess.Popen([*words, *["resume"] * bool(turn)])
        seen = state.stat().st_mtime_ns if turn else 0
        while process.poll() is None and not (state.exists() and state.stat().st_mtime_ns > seen):
            time.sleep(0.002)
        time.sleep(0.03)
        process.send_signal(signal.SIGKILL)
        done.append(process.wait())
        assert (place / "m.safetensors").read_bytes() == before
        assert not (place / "o.st").exists()
        with np.load(state) as file:  # whole, whenever it came
            assert int(file["steps"][0]) > 0
    assert done == [-signal.SIGKILL] * 2
    subprocess.run([*words, "resume"], check=True)
    again = (place / "o.st").read_bytes(), (place / "o.json").read_text()
    adapt(options(place, epochs=70, json=place / "o.json"))
    assert again == ((place / "o.st").read_bytes(), (place / "o.json").read_text())
    assert not state.exists()
    assert not list(place.glob(".*"))


def test_only_its_own_state_is_gone_on_with(place: Path) -> None:
    state = place / "o.st.state.npz"
    with pytest.raises(LearnError, match=r"o\.st\.state\.npz is not there: nothing was broken off"):
        adapt(options(place, resume=True))
    state.write_bytes(b"mine")
    with pytest.raises(PlaceError, match="is in the way, and is no state of an adaptation"):
        adapt(options(place))


@pytest.mark.parametrize(
    ("arrays", "error", "why"),
    [
        ({"labels": np.zeros(60, int)}, LearnError, "all labels are of class 0: a network that"),
        ({"labels": np.full(60, CLASSES)}, DataSetError, "class 3|label 3|3 classes"),
        ({"labels": None}, DataSetError, "adapting needs labels: add an array `labels`"),
    ],
)
def test_data_that_teaches_nothing_is_refused(
    place: Path, arrays: dict[str, Any], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        adapt(options(place, data=changed(place, **arrays)))
    assert not list(place.glob("o.st*"))


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"labels": np.full(60, -1)}, "class"),
        ({"labels": np.arange(59) % 3}, "60 sequences and 59 labels"),
        ({"labels": None, "targets": np.full((60, 3), np.nan)}, r"targets\[0, 0\] is nan"),
        ({"labels": None, "targets": np.zeros((60, 2))}, "targets of 2 numbers, but the head of"),
        ({"lengths": np.full(60, 7)}, "lengths sum to 420"),
    ],
)
def test_other_bad_data_is_named(place: Path, arrays: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        adapt(options(place, data=changed(place, **arrays)))
    assert not list(place.glob("o.st*"))


def test_a_part_that_judges_without_a_label_is_named(place: Path) -> None:
    """Of few frames that have a label all may be learnt from."""
    model = model_of(place / "m.safetensors")
    save_model(place / "m.safetensors", replace(model, pool="every"))
    with np.load(place / "d.npz") as file:
        labels, lengths = np.full(len(file["frames"]), -1), file["lengths"]
    labels[np.cumsum(lengths)[5:8] - 1] = 0, 1, 2
    with pytest.raises(LearnError, match="in what is held out to judge by no label counts"):
        adapt(options(place, data=changed(place, labels=labels), hold=0.01))
    assert not list(place.glob("o.st*"))


def test_nan_is_refused(place: Path) -> None:
    with np.load(place / "d.npz") as file:
        frames = file["frames"]
    frames[7, 1] = np.nan
    with pytest.raises(DataSetError, match="holds NaN or infinity"):
        adapt(options(place, data=changed(place, frames=frames)))


def test_too_little_memory_and_other_models_are_refused(place: Path) -> None:
    with pytest.raises(MemoryLimitError, match=r"a memory of 100 bytes is too little"):
        adapt(options(place, memory="100"))
    with pytest.raises(ValueError, match="--memory lots: give bytes, such as 4MiB"):
        bytes_of("lots")
    assert bytes_of("4MiB") == 4 << 20
    model = model_of(place / "m.safetensors")
    save_model(place / "m.safetensors", replace(model, head=None, provenance={}))
    with pytest.raises(
        LearnError, match=r"m\.safetensors has no head: pack it with its classifier"
    ):
        adapt(options(place))


def test_features_beyond_the_range_are_counted(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(place / "d.npz") as file:
        frames = file["frames"]
    frames[0, :2] = 1e30, -1e30
    adapt(options(place, data=changed(place, frames=frames), epochs=1))
    told = f"note: 2 features, {2 / frames.size:.2%}, are beyond the s8."
    assert told in capsys.readouterr().err


def test_files_are_never_written_over(place: Path) -> None:
    words = ["adapt", str(place / "m.safetensors"), "--data", str(place / "d.npz"), "--out"]
    for out, more, why in (
        ("m.safetensors", [], "is read by the same command"),
        ("o.st", ["--page", str(place / "o.st")], "name one file twice"),
        ("o.st", ["--json", str(place / "o.st.state.npz")], "is where the state of .* goes"),
        ("none/o.st", [], "there is no folder"),
    ):
        with pytest.raises(PlaceError, match=why):
            CliRunner().invoke(app, [*words, str(place / out), *more], catch_exceptions=False)


def test_a_board_wants_its_port(place: Path) -> None:
    with pytest.raises(LearnError, match="--target board: say where the board is, as --port"):
        adapt(options(place, target=TargetName.board))
    with pytest.raises(LearnError, match="--port COM3: give serial:PORT"):
        adapt(options(place, target=TargetName.board, port="COM3"))


def test_what_an_array_has_no_room_for_is_named(place: Path) -> None:
    with pytest.raises(LearnError, match="--memory 4MiB: of the cpu; an array keeps a batch whole"):
        adapt(options(place, target=TargetName.sim, memory="4MiB"))


def test_cycles_of_the_largest_batch_are_told(place: Path) -> None:
    class Array:
        def cycles(self, steps: int, sequences: int) -> BatchCycles:
            model = model_of(place / "m.safetensors")
            design = training_design(model, 4, 4, sequences, steps * sequences)
            return batch_cycles(schedule(model.shape, design, head=True), steps, sequences)

    learner: Any = Array()
    told = cycles_told(learner, 8, [3, 5, 2] * 4)["array"]
    assert (told["steps"], told["sequences"]) == (5, 8)
    both = told["array_cycles"] + told["transfer_cycles"]
    assert told["cycles"] == both - told["hidden_cycles"]
    assert 0 < told["hidden_cycles"] < told["transfer_cycles"]
    facts = dict(_cycles(told))
    assert facts["of which the array works"] == f"{told['array_cycles']:,}"
    assert f"{told['hidden_cycles']:,} of them while" in facts["of which words pass"]
    assert "cycles of a batch of 8 sequences of 5 frames" in facts
    processor: Any = object()
    assert not cycles_told(processor, 8, [3])
    assert not _cycles(None)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "epochs"), [(ModeName.head, 2), (ModeName.all, 1)])
def test_a_simulated_board_adapts_as_the_contract_says(
    place: Path, mode: ModeName, epochs: int
) -> None:
    """Verilog behind its UART: all figures and weights of the reference with its dice."""
    given = {"mode": mode, "epochs": epochs, "batch": 8, "rate": 4.0}
    given |= {"hold": 0.8} if mode is ModeName.all else {}  # every bit of a line takes its time
    found = adapt(options(place, target=TargetName.sim, **given))
    work = _Adaptation(options(place, **given), model_of(place / "m.safetensors"))
    work.learner = Learner(work.model, Settings(mode.value, rate=4.0, generator="crossed"))
    for epoch in range(1, epochs + 1):
        work.epoch(epoch)
    assert found["epochs"] == work.epochs
    assert found["kept_epoch"] == work.best_epoch
    told = found["array"]
    both = told["array_cycles"] + told["transfer_cycles"]
    assert told["cycles"] == both - told["hidden_cycles"]
    assert 0 < told["hidden_cycles"] < told["transfer_cycles"]
    head, wanted = model_of(place / "o.st").head, work.adapted().head
    assert head is not None
    assert wanted is not None
    assert (head.weight == wanted.weight).all()
    assert (head.bias == wanted.bias).all()
