from __future__ import annotations

import io
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compiler.array.design import Design
from compiler.lower.image import Image
from hdl.prefix import OURS
from hdl.verilog import VerilogFiles
from pruning.tasks.data.datasets import SequenceData, save_sequences
from sim.check.verify import Verification, verify
from sparseflow.commands import cli
from sparseflow.steps import pipeline

INPUTS, HIDDEN, CLASSES, BANKS = 5, 16, 3, 4


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command line as a shell does; returns the exit status."""

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["sparseflow", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    monkeypatch.setenv("COLUMNS", "120")
    return call


def classifier() -> dict[str, Tensor]:
    """State dict of a user's own module, with names of their own."""
    torch.manual_seed(5)
    lstm, out = nn.LSTM(INPUTS, HIDDEN), nn.Linear(HIDDEN, CLASSES)
    tensors = {f"net.rnn.{name}": tensor for name, tensor in lstm.state_dict().items()}
    return tensors | {f"net.out.{name}": tensor for name, tensor in out.state_dict().items()}


def sequences(count: int = 6, width: int = INPUTS) -> SequenceData:
    random = np.random.default_rng(3)
    frames = [
        random.normal(0, 1, (random.integers(3, 6), width)).astype(np.float32) for _ in range(count)
    ]
    return SequenceData(tuple(frames), np.arange(count, dtype=np.int64) % CLASSES)


@dataclass(frozen=True)
class Chain:
    """Files of the single steps: from a state dict to a packed model."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        """Path of `data`, `dense`, `pruned` or `model`."""
        suffix = {"data": "npz", "dense": "pt"}.get(name, "safetensors")
        return self.folder / f"{name}.{suffix}"

    def prepare(self) -> Chain:
        save_sequences(self.data, sequences())
        torch.save(classifier(), self.dense)
        return self

    def pack(self) -> Chain:
        pipeline.prune_checkpoint(self.dense, self.data, self.pruned, BANKS, 0.75, epochs=2)
        pipeline.pack(self.pruned, self.data, self.model)
        return self


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Files that no test may change."""
    return Chain(tmp_path_factory.mktemp("chain")).prepare().pack()


@dataclass(frozen=True)
class Finished:
    """One run through the command line, and what the simulator showed in it."""

    folder: Path
    result: Verification
    shown: str


@pytest.fixture(scope="session")
def finished(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """From a state dict to a report, step by step; no test may change it."""
    array, icarus = ("--pes", 4, "--lanes", 4), ("--simulator", "icarus")
    at, seen = tmp_path_factory.mktemp("run"), []

    def watched(*given: Any, **options: Any) -> Verification:
        seen.append(verify(*given, **options))
        return seen[-1]

    prune = ("--banks", 4, "--sparsity", 0.75, "--epochs", 2, "--seed", 0)
    floats = ("--dense", chain.dense, "--pruned", at / "p.safetensors")
    data = ("--data", chain.data)
    steps: list[tuple[object, ...]] = [
        ("prune", chain.dense, *data, "--out", at / "p.safetensors", *prune),
        ("pack", at / "p.safetensors", "--calibration", chain.data, "--out", at / "m.safetensors"),
        ("verilog", at / "m.safetensors", "--out", at / "v", *array, "--images", "coe"),
        ("simulate", at / "m.safetensors", *data, "--build", at / "b", *array, *icarus, *floats),
        ("report", at / "b", "--out", at / "report"),
    ]
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(shown), redirect_stderr(shown):
        patch.setattr("sim.check.verify.verify", watched)
        for step in steps:
            patch.setattr(sys, "argv", ["sparseflow", *map(str, step)])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            assert not ended.value.code, shown.getvalue()
    return Finished(at, seen[0], shown.getvalue())


@pytest.fixture
def copied(finished: Finished) -> Callable[..., VerilogFiles]:
    """`emit_verilog` without its seconds of work, for the one design of these tests."""

    def emit(
        design: Design, folder: Path, image: Image | None = None, prefix: str = OURS
    ) -> VerilogFiles:
        assert prefix == OURS
        kept = finished.folder / "b" / "verilog"
        shutil.copytree(kept, folder)
        names = sorted(path.name for path in kept.iterdir())
        return VerilogFiles(folder, tuple(n for n in names if n.endswith(".v")), ())

    return emit


@pytest.fixture
def replayed(
    finished: Finished, copied: Callable[..., VerilogFiles], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Let `simulate` show the finished run again, where the simulator is not what is tested."""

    def replay(**changes: Any) -> None:
        result = replace(finished.result, **changes)
        monkeypatch.setattr("sim.check.verify.verify", lambda *_, **__: result)
        monkeypatch.setattr("hdl.verilog.emit_verilog", copied)

    return replay


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Waits for what another process does; five minutes, as the machine may be busy."""

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 300
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.05)

    return until
