"""Ranges of layers: as asked for, and as the commands tell them, from a checkpoint to Verilog."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sparseflow as sf
from csb_format.files.modelfile import load_model
from csb_format.random_models import random_frames, random_network
from pruning.tasks.data.datasets import SequenceData, save_sequences
from sparseflow.pages.figures import reaches, states
from sparseflow.steps.ranges import cell_ranges, of_model, range_lines

Run = Callable[..., int]
LAYERS, UNITS, STEPS = 2, 4, 24


@pytest.mark.parametrize(
    ("text", "wanted"), [(None, ()), ("16", (16,)), ("8,128", (8, 128)), ("16, 64", (16, 64))]
)
def test_what_is_asked_for(text: str | None, wanted: tuple[int, ...]) -> None:
    assert cell_ranges(text) == wanted


@pytest.mark.parametrize("text", ["", "12", "16,", "16;64", "x", "-16", "1" * 5000])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"--cell-range .*: write one of 8, 16, 32, 64, 128, or"):
        cell_ranges(text)


def test_notes_of_others_are_no_counts() -> None:
    cells = reaches(random_network(np.random.default_rng(0), 4, 4, 2, (1, 1, 0), layers=2))
    noted: dict[str, Any] = {"pre_l0.i": {"clipped": 1, "seen": 4}, "pre_l0.f": {"clipped": 0}}
    noted |= {"cell_l1": 3, "pre_l1.i": {"clipped": 1, "seen": 4}}
    assert [set(row) for row in states(cells, noted)] == [
        {"layer", "reach", "format"},
        {"layer", "reach", "format", "pre"},
    ]
    assert range_lines(states(cells, noted))[1] == (
        "l1: states in [-16, 16) in s18.13, saturated: 1 of 4 pre-activations (25.00%)"
    )


class Summing(nn.Module):
    """The first layer open_s at once, the second adds up what the first gives."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(UNITS, UNITS, LAYERS, batch_first=True)
        self.fc = nn.Linear(UNITS, 2)
        near = torch.eye(2).repeat(2 * UNITS, 2) * 1e-3  # one of each bank of two columns
        open_ = torch.full((UNITS,), 12.0)
        with torch.no_grad():
            for level in range(LAYERS):
                ih, hh, bias, other = self.rnn.all_weights[level]
                hh.copy_(near)
                ih.copy_(near)
                ih[2 * UNITS : 3 * UNITS] += 4 * torch.eye(UNITS)
                keep = open_ if level else -open_
                bias.copy_(torch.cat([open_, keep, 0 * open_, open_]))
                other.zero_()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    torch.save(Summing().state_dict(), tmp_path / "net.pt")
    way = np.repeat([1.0, -1.0], STEPS)[:, None] * np.ones((1, UNITS), np.float32)
    save_sequences(
        tmp_path / "data.npz", SequenceData((way.astype(np.float32),) * 2, np.array([0, 1]))
    )
    return tmp_path


def test_from_a_checkpoint_to_a_board_and_a_simulation(
    run: Run, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Doctor, pack and fit tell a range for each layer; the array runs both, in every cycle."""
    data, model = files / "data.npz", files / "m.safetensors"
    given = (files / "net.pt", "--data", data, "--pool", "last")
    assert run("doctor", *given, "--lanes", 2, "--json", files / "d.json") == 0
    told = capsys.readouterr()
    wanted = "l1: states in [-32, 32) in s18.12, nothing saturated"
    assert f"in integers {wanted}" in re.sub(r"\s+", " ", told.out + told.err)
    assert [row["reach"] for row in json.loads((files / "d.json").read_text())["states"]] == [
        16,
        32,
    ]
    packed = ("pack", given[0], "--banks", 2, "--calibration", data, "--out", model)
    assert run(*packed) == 0
    shown = re.sub(r"\s+", " ", capsys.readouterr().err)
    assert (
        "l0 [-16, 16) in s18.13; l1 [-32, 32) in s18.12: wider where [-16, 16) saturates" in shown
    )
    assert [layer.arithmetic.reach for layer in load_model(model).layers] == [16, 32]
    assert run("fit", model, "--board", "ecpix5") == 0
    assert wanted in capsys.readouterr().out
    image, rng = sf.compile(load_model(model), pes=4, lanes=2), np.random.default_rng(1)
    frames = random_frames(rng, load_model(model), [20])
    assert sf.verify(image, frames, simulator="icarus", work=files / "work").exact
    assert run(*packed, "--cell-range", "32,8") == 0
    noted = load_model(model)
    assert [layer.arithmetic.reach for layer in noted.layers] == [32, 8]
    assert json.loads(noted.provenance["pack"])["cell-range"] == "32,8"
    lost = r"l1: states in \[-8, 8\) in s18.14, saturated: .*\d+ of \d+ cell states"
    assert re.search(lost, of_model(noted)[1])
