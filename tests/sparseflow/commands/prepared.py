"""Checkpoints and data of users, for the tests of the commands that prepare a model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compiler.array.needs import check_supported
from csb_format import LstmLayer, load_model
from csb_format.scales import DesignError
from engine.reference import IntegerModel
from pruning.mask.goals import Goal, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.views import Banks
from pruning.tasks.data.datasets import SequenceData, save_sequences
from sparseflow.pages.made import how_it_was_made as commands

Run = Callable[..., int]
Text = pytest.CaptureFixture[str]
HIDDEN, CLASSES = 8, 3
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stacked": {"num_layers": 2},
    "bidirectional": {"bidirectional": True},
    "projected": {"proj_size": 4},
    "everything": {"num_layers": 2, "bidirectional": True, "proj_size": 4, "bias": False},
}


class Net(nn.Module):
    """A user's own classifier, with names of its own."""

    def __init__(
        self,
        inputs: int,
        kind: type[nn.LSTM | nn.GRU] = nn.LSTM,
        hidden: int = HIDDEN,
        **options: Any,
    ) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.rnn = kind(inputs, hidden, batch_first=True, **options)
        width = (self.rnn.proj_size or hidden) * (1 + self.rnn.bidirectional)
        self.fc = nn.Linear(width, CLASSES)

    def forward(self, frames: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.rnn(frames)[0][:, -1])
        return logits


def sequences(inputs: int, count: int = 6) -> SequenceData:
    random = np.random.default_rng(3)
    frames = [random.normal(size=(3 + n % 2, inputs)).astype(np.float32) for n in range(count)]
    return SequenceData(tuple(frames), np.arange(count, dtype=np.int64) % CLASSES)


@dataclass(frozen=True)
class Files:
    folder: Path
    inputs: int = 12

    @property
    def data(self) -> Path:
        path = self.folder / "data.npz"
        if not path.exists():
            save_sequences(path, sequences(self.inputs))
        return path

    def saved(self, content: Any, name: str = "net.pt") -> Path:
        torch.save(content, self.folder / name)
        return self.folder / name

    def net(self, kind: str) -> Path:
        return self.saved(Net(self.inputs, **KINDS[kind]).state_dict(), f"{kind}.pt")

    def prune(self, checkpoint: Path, *options: object) -> tuple[object, ...]:
        given = ("--data", self.data, "--epochs", 2, "--banks", 4, "--sparsity", 0.5)
        return ("prune", checkpoint, *given, "--out", self.folder / "p.safetensors", *options)

    def pack(self, checkpoint: Path | None = None, *options: object) -> tuple[object, ...]:
        pruned = checkpoint or self.folder / "p.safetensors"
        given = ("--calibration", self.data, "--out", self.folder / "m.safetensors")
        return ("pack", pruned, *given, *options)


def last_states(path: Path, data: SequenceData) -> list[Any]:
    """Logits of the integer model, as reals."""
    model = load_model(path)
    head, integer = model.head, IntegerModel(model)
    assert head is not None
    traces = integer.run(integer.quantise(data.sequences))
    scale = head.weight_format.lsb * head.input.lsb
    return [head.logits(trace.output[-1]) * scale for trace in traces]


def refusal(model: Path) -> str:
    """What the hardware does not take of a model, in its own words; empty if it takes it."""
    try:
        check_supported(load_model(model))
    except DesignError as error:
        return str(error)
    return ""


def pruned_net(inputs: int, kind: type[nn.LSTM | nn.GRU] = nn.LSTM, **options: Any) -> Net:
    """A network that was pruned in a loop of the user's own; masks are still on it."""
    net = Net(inputs, kind, **options)
    goals = goals_for(net.rnn, Goal(Banks(4), 0.5, tolerance=0.2))
    Pruner(net, {f"rnn.{name}": goal for name, goal in goals.items()})
    return net


def squashed(net: Net) -> dict[str, Tensor]:
    return {name: t for name, t in net.state_dict().items() if not name.endswith("_mask")}


def exported(net: Net, path: Path, inputs: int) -> Path:
    with warnings.catch_warnings():
        # The exporter warns of batch sizes and of its own age.
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(1, 3, inputs),), str(path), dynamo=False)
    return path


def composed(said: dict[str, Any], layer: LstmLayer) -> list[str]:
    """Commands that do the same as those that nobody has typed."""
    notes = {name: value for name, value in said.items() if name != "commands"}
    lines = commands.preparation(notes, layer, "m")
    assert lines[::2] == [commands.EXAMPLES] * (len(lines) // 2)
    return lines[1::2]
