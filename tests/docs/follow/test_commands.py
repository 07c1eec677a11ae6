"""Commands of README.md and of the pages recipe, import, folders; Python of face, quantisation."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import torch
from torch import nn

import sparseflow as sf
from csb_format import InputScale, save_model
from csb_format.fixed import round_rows
from csb_format.random_models import random_model, random_network
from csb_format.screening.layer import ScreenedLayer
from pruning.integers.quantise import quantise
from pruning.tasks.data.datasets import SequenceData, save_sequences
from tests.docs.blocks import ROOT, Block, blocks, one, reader_shell

CLASSES = 3


def data(path: Path, inputs: int, count: int = 12) -> None:
    """Labelled sequences of random frames."""
    random = np.random.default_rng(3)
    frames = [random.normal(0, 1, (5, inputs)).astype(np.float32) for _ in range(count)]
    save_sequences(path, SequenceData(tuple(frames), np.arange(count, dtype=np.int64) % CLASSES))


def state(lstm: nn.Module, head: nn.Module | None) -> dict[str, torch.Tensor]:
    tensors = {f"lstm.{name}": tensor for name, tensor in lstm.state_dict().items()}
    more = head.state_dict() if head else {}
    return tensors | {f"head.{name}": tensor for name, tensor in more.items()}


class Whole(nn.Module):
    """What a user exports: the network with its head."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(32, 64), nn.Linear(64, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.head(self.lstm(x)[0][-1]))


def follow(chosen: list[Block], folder: Path) -> str:
    """Run blocks in their order, in one folder; all that they printed."""
    assert chosen, "the page has no such block"
    printed = ""
    for block in chosen:
        done = reader_shell(block.text, folder)
        assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"
        printed += done.stdout + done.stderr
    return printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "heading"), [("README.md", "Your own model"), ("docs/recipe.md", "Steps")]
)
def test_from_a_network_of_ones_own(tmp_path: Path, page: str, heading: str) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(5)
    save_file(state(nn.LSTM(8, 64), nn.Linear(64, CLASSES)), tmp_path / "dense.safetensors")
    for name in ("train.npz", "test.npz"):
        data(tmp_path / name, 8)
    chosen = [b for b in blocks(page, "sh") if b.heading == heading]
    printed = follow(chosen, tmp_path)
    assert re.search(r"\d+ states equal, every cycle as predicted", printed), printed
    assert (tmp_path / "build/report/report.html").exists() or page != "README.md"


@pytest.mark.slow
def test_every_command_of_the_import_guide(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(5)
    stacked = nn.LSTM(32, 64, num_layers=2, proj_size=32)
    torch.save(state(stacked, nn.Linear(32, CLASSES)), tmp_path / "net.pt")
    gru, whole = nn.GRU(16, 16), Whole().eval()
    balance(gru, 8)
    balance(whole.lstm, 8)
    save_file(state(gru, None), tmp_path / "gru.safetensors")
    torch.onnx.export(whole, (torch.zeros(5, 1, 32),), str(tmp_path / "net.onnx"), dynamo=False)
    data(tmp_path / "train.npz", 32)
    follow(blocks("docs/import.md", "sh"), tmp_path)
    assert {"pruned.safetensors", "model.safetensors", "matrices.safetensors"} <= {
        path.name for path in tmp_path.iterdir()
    }


def balance(network: nn.RNNBase, banks: int) -> None:
    """Keep the largest weight of each bank, as another tool may have done."""
    for name, weight in network.named_parameters():
        if name.startswith("weight"):
            parts = weight.data.view(weight.shape[0], banks, -1)
            kept = parts.abs().argmax(-1, keepdim=True)
            parts.mul_(torch.zeros_like(parts).scatter_(-1, kept, 1.0))


def test_the_reference_of_the_face_has_every_function() -> None:
    text = one("docs/face.md", "{eval-rst}")
    named = re.findall(r"^\.\. auto(?:function|class):: sparseflow\.(\w+)$", text, re.M)
    assert sorted([*named, "Accelerator", "Hosted"]) == sorted(sf.__all__)  # classes, in words
    assert "``sparseflow.Accelerator``" in (ROOT / "docs/face.md").read_text("utf-8")
    callbacks = {
        "LightningPruning",
        "TransformersPruning",
    }  # behind extras, with tests of their own
    assert all(callable(getattr(sf, name)) for name in set(named) - callbacks)


def test_what_the_page_of_folders_says_is_refused_so(tmp_path: Path) -> None:
    """Our folder with a file of somebody else's in it, or with one of ours edited."""
    save_model(
        tmp_path / "model.safetensors", random_model(np.random.default_rng(1), 4, 4, 2, 1, 1)
    )
    command = "sparseflow verilog model.safetensors --out rtl --pes 4 --lanes 2"
    assert reader_shell(command, tmp_path).returncode == 0
    (tmp_path / "rtl/my_top.v").touch()
    for said in one("docs/folders.md", "").splitlines():
        done = reader_shell(command, tmp_path)
        assert done.returncode != 0
        assert done.stderr.strip() == said
        (tmp_path / "rtl/my_top.v").unlink(missing_ok=True)
        with (tmp_path / "rtl/sparseflow_pe.v").open("a") as file:
            file.write("// mine")
    assert (tmp_path / "rtl/sparseflow_pe.v").read_text().endswith("// mine")


def test_the_python_of_the_quantisation_guide() -> None:
    torch.manual_seed(5)
    lstm, head = nn.LSTM(16, 16, num_layers=2), nn.Linear(16, CLASSES)
    balance(lstm, 8)
    sequences = list(np.random.default_rng(1).normal(size=(4, 5, 16)))
    names: dict[str, Any] = {
        "quantise": quantise, "lstm": lstm, "head": head, "sequences": sequences
    }  # fmt: skip
    exec(compile(one("docs/quantisation.md", "python"), "quantisation.md", "exec"), names)
    assert len(names["model"].layers) == 2


def test_a_model_file_holds_what_its_page_lists(tmp_path: Path) -> None:
    page = (ROOT / "docs/model_file.md").read_text("utf-8")
    parts = {"tensors": page.partition("## CSB")[0], "header": page.partition("## Header")[2]}
    first = {name: re.findall(r"^\| ([^|]*) \|", text, re.M) for name, text in parts.items()}
    listed = {name: set(re.findall(r"`([^`]+)`", " ".join(c))) for name, c in first.items()}
    drawn = random_network(np.random.default_rng(1), 8, 8, 2, (1, 1, 1), projection=4, head=3)
    scale = InputScale(np.zeros(8), np.ones(8))
    named = replace(drawn, pool="mean", input_scale=scale, label_names=("a", "b", "c"))
    gru = random_network(np.random.default_rng(1), 8, 8, 2, (1, 1, 1), cell="gru", reach=32)
    save_model(tmp_path / "model", named)
    with safetensors.safe_open(tmp_path / "model", "numpy") as file:
        names, header = set(file.keys()), json.loads(file.metadata()["sparseflow"])
    save_model(tmp_path / "gru", gru)
    with safetensors.safe_open(tmp_path / "gru", "numpy") as file:
        header |= json.loads(file.metadata()["sparseflow"])
    assert drawn.head is not None
    rows = replace(drawn.head, weight=round_rows(drawn.head.weight, 8), row_bits=8)
    # planes, or rows of few bits, instead of weights; layers before the last
    narrow = random_network(
        np.random.default_rng(1), 8, 8, 2, (1, 1, 1), projection=4, head=3, hidden=(5,)
    )
    for head in (ScreenedLayer.of(drawn.head), rows, narrow.head):
        save_model(tmp_path / "other", replace(drawn, head=head))
        with safetensors.safe_open(tmp_path / "other", "numpy") as file:
            names |= set(file.keys())
            header |= json.loads(file.metadata()["sparseflow"])
    numbered = {re.sub(r"^(layers|head\.hidden)\.0", r"\1.N", name) for name in names}
    assert numbered == listed["tensors"]
    assert set(header) == listed["header"]
