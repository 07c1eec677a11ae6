"""Every command of bench starts, and runs a smallest case of what it measures."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format import save_model
from csb_format.random_models import random_model
from pruning.tasks.data.datasets import SequenceData, save_sequences
from pruning.tasks.networks.sequence import Training
from pruning.tasks.recipes.recipe import Recipe
from sim.run import processes

ROOT = Path(__file__).parents[2]
QUICK = f"{processes.VERILATOR_MAKE} OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
Patch = pytest.MonkeyPatch
Run = Callable[[Path, Patch], Any]


def runnable() -> Iterator[str]:
    """Modules that ``python -m`` starts."""
    for path in sorted((ROOT / "bench").rglob("*.py")):
        if re.search(r"^if __name__ == .__main__.", path.read_text("utf-8"), re.MULTILINE):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


def module(name: str) -> Any:
    return importlib.import_module(name)


def arrays(tmp_path: Path, patch: Patch) -> Any:
    rng = np.random.default_rng(0)
    model = random_model(rng, 4, 8, banks=4, k_ih=1, k_hh=1)
    save_model(tmp_path / "model.safetensors", model)
    frames = tuple(rng.normal(size=(n, 4)).astype(np.float32) for n in (3, 2))
    save_sequences(tmp_path / "test.npz", SequenceData(frames, np.zeros(2, np.int64)))
    found = module("bench.array.arrays")
    patch.setattr(found, "ARRAYS", ((4, 4),))
    patch.setattr(found, "FEW", {"icarus": 1, "amaranth": 1})
    found.main(demo=tmp_path, work=tmp_path, json=tmp_path / "out.json")
    (row,) = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert (row["M"], row["N"], row["mismatches"]) == (4, 4, 0)
    assert row["rtl_cycles"] == row["model_cycles"] >= row["floor"]


def dram(tmp_path: Path, patch: Patch) -> Any:
    found = module("bench.array.dram")
    patch.setattr(found, "SHAPES", (found.Shape("small", 4, 4, ((16, 1, 2), (16, 1, 4))),))
    found.main(bits=[64], json=tmp_path / "out.json")


def seeds(tmp_path: Path, patch: Patch) -> Any:
    small = Recipe(
        hidden_size=8, banks=4, dense_epochs=1, increments=1, step_epochs=1, final_epochs=1
    )
    patch.setattr("pruning.tasks.recipes.recipe.Recipe", lambda: small)
    found = module("bench.array.seeds")
    demo = found.pipeline.demo
    patch.setattr(found.pipeline, "demo", lambda **given: demo(**given, pes=4, lanes=4))
    found.main(seeds=2, work=tmp_path / "work", json=tmp_path / "out.json")


def simulation(tmp_path: Path, patch: Patch) -> Any:
    words = ["--pes", "4", "--lanes", "4", "--frames", "20", "--turns", "1", "--cocotb", "2"]
    patch.setattr(sys, "argv", ["simulation", *words, "--json", str(tmp_path / "out.json")])
    found = module("bench.array.simulation")
    patch.setattr(found, "random_network", lambda rng, *_: random_model(rng, 8, 8, 4, 1, 1))
    found.main()


def lowering(tmp_path: Path, patch: Patch) -> Any:
    found = module("bench.array.lowering")
    patch.setattr(
        found, "TIMIT", {"input_size": 16, "hidden_size": 64, "k": (1, 1, 1), "banks": 16}
    )
    patch.setattr(found, "PROJECTION", 32)
    found.main(runs=1, json=tmp_path / "out.json")


def utilisation(tmp_path: Path, patch: Patch) -> Any:
    found = module("bench.array.utilisation")
    small = found.Workload(
        "small", "4 -> 8", lambda rng: random_model(rng, 4, 8, 4, 1, 1), 4, 4, most=100
    )
    patch.setattr(found, "WORKLOADS", (small,))
    found.main(work=tmp_path, json=tmp_path / "out.json")
    assert "| small |" in (tmp_path / "out.md").read_text()


def bitstreams(tmp_path: Path, patch: Patch) -> Any:
    found = module("bench.boards.bitstreams")
    small = found.Case("icebreaker", 4, 1, 4, 8, 4, (1, 1), 8, 8)
    patch.setattr(found, "CASES", {"small": small})
    found.main(cases=["small"], work=tmp_path / "w", stand_ins=False, json=tmp_path / "out.json")


def fit(tmp_path: Path, patch: Patch) -> Any:
    found = module("bench.boards.fit")
    patch.setattr(found, "CASES", {"small": found.Case("icebreaker", 4, 1, 4, 8, 4, (1, 1), 8, 8)})
    found.main(cases=["small"], json=tmp_path / "out.json")


def fast_model(tmp_path: Path, patch: Patch) -> Any:
    found = module("bench.cpu.fast_model")
    patch.setattr(found, "SHAPE", found.SHAPE | {"input_size": 16, "hidden_size": 32})
    patch.setattr(found, "BATCHES", (1, 2))
    patch.setattr(found, "STEPS", 3)
    found.main(runs=1, json=tmp_path / "out.json")


def inference(tmp_path: Path, patch: Patch) -> Any:
    found = module("bench.cpu.inference")
    patch.setattr(found, "SHAPES", [(64, 64, 16)])
    patch.setattr(found, "CACHED_ROWS", (16, 64))
    step = {"input_size": 16, "hidden_size": 32, "projection": 16, "banks": 16, "k": (1, 1, 1)}
    patch.setattr(found, "STEPS", [step])
    found.main(rounds=1, json=tmp_path / "out.json")


def faults(tmp_path: Path, patch: Patch) -> Any:
    found = module("bench.harm.faults")
    patch.setattr(found, "NETWORKS", {"LSTM": {}})
    patch.setattr(sys, "argv", ["faults", "--count", "12", "--json", str(tmp_path / "out.json")])
    found.main()


def fuzz(tmp_path: Path, patch: Patch) -> Any:
    patch.setattr(sys, "argv", ["fuzz", "--seconds", "1", "--json", str(tmp_path / "out.json")])
    with pytest.raises(SystemExit) as ended:
        module("bench.harm.fuzz").main()
    assert not ended.value.code


def cost(tmp_path: Path, patch: Patch) -> Any:
    found = module("bench.masks.cost")
    patch.setattr(found, "STEPS", [(8, 16)])
    patch.setattr(found, "MASKS", [(64, 64, 16)])
    found.main(rounds=3, threads=1, nni_python=None, json=tmp_path / "out.json")


def quantisation(tmp_path: Path, patch: Patch) -> Any:
    found = module("bench.masks.quantisation")
    recipe = Recipe(
        hidden_size=8, banks=4, dense_epochs=1, increments=1, step_epochs=1, final_epochs=1
    )
    patch.setattr(found, "NETWORKS", {"small": (recipe, Training(2e-3))})
    patch.setattr(found, "WIDTHS", ((16, 16, False),))
    found.main(seeds=1, epochs=1, json=tmp_path / "out.json")


def accuracy(tmp_path: Path, patch: Patch) -> Any:
    """Its rows run in ``tests/bench/accuracy``; here the list of all of them."""
    words = [sys.executable, "-m", "bench.accuracy.run", "--list", "--only", "ptb200/s0/dense"]
    shown = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    (tmp_path / "out.json").write_text(json.dumps({"rows": shown.stdout.splitlines()}))


def accuracy_report(tmp_path: Path, patch: Patch) -> Any:
    out = tmp_path / "results.md"
    module("bench.accuracy.report").main(
        results=ROOT / "bench/results/accuracy.json",
        out=out,
        boards=ROOT / "bench/results/boards.json",
    )
    assert out.read_text() == (ROOT / "docs/results.md").read_text()


def pretrained(tmp_path: Path, patch: Patch) -> Any:
    """Its data is no package of ours: what is missing is told on one line."""
    words = [sys.executable, "-m", "bench.masks.pretrained", "--shakespeare", "none.tar.gz"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "none.tar.gz" in done.stderr


def nni_worker(tmp_path: Path, patch: Patch) -> Any:
    """It runs in the interpreter that has NNI, which pins another PyTorch."""
    words = [sys.executable, "-m", "bench.masks.nni_worker"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "No module named 'nni'" in done.stderr


SMALLEST: dict[str, Run] = {
    "bench.accuracy.report": accuracy_report,
    "bench.accuracy.run": accuracy,
    "bench.array.arrays": arrays,
    "bench.array.dram": dram,
    "bench.array.lowering": lowering,
    "bench.array.seeds": seeds,
    "bench.array.simulation": simulation,
    "bench.array.utilisation": utilisation,
    "bench.boards.bitstreams": bitstreams,
    "bench.boards.fit": fit,
    "bench.cpu.fast_model": fast_model,
    "bench.cpu.inference": inference,
    "bench.harm.faults": faults,
    "bench.harm.fuzz": fuzz,
    "bench.masks.cost": cost,
    "bench.masks.nni_worker": nni_worker,
    "bench.masks.pretrained": pretrained,
    "bench.masks.quantisation": quantisation,
}
# place and route, or two whole demos: minutes
SLOW = {"bench.array.seeds", "bench.boards.bitstreams", "bench.boards.fit"}
SLOW |= {"bench.array.arrays", "bench.array.dram"}  # two builds of a simulator each
NO_RECORD = {"bench.accuracy.report", "bench.masks.nni_worker", "bench.masks.pretrained"}


def test_every_command_has_a_smallest_case() -> None:
    assert set(runnable()) == set(SMALLEST)


@pytest.mark.parametrize("name", sorted(set(SMALLEST) - {"bench.masks.nni_worker"}))
def test_it_starts(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", name, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "sage:" in done.stdout


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in sorted(SMALLEST)],
)
def test_it_runs(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(processes, "VERILATOR_MAKE", QUICK)
    SMALLEST[name](tmp_path, monkeypatch)
    if name not in NO_RECORD:
        assert json.loads((tmp_path / "out.json").read_text())["rows"]
    shutil.rmtree(tmp_path, ignore_errors=True)
