"""docs/behaviour.md: steps of a study are the Verilog's, on both sides; its page and command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparseflow as sf
from boards.board import board
from csb_format.random_models import random_frames, random_network
from sparseflow.commands.cli import app
from sparseflow.commands.tuning.study import _plain
from sparseflow.pages.tune.study import page
from sparseflow.tune.cpu import CPU_KNOBS, cpu_sweep, cpu_values
from sparseflow.tune.network import Network
from sparseflow.tune.study import KNOBS, Array, Point, Step, study

NETWORK = Network(6, 12, 2, 1, 1)
ARRAY = Array(8, 2, board("ulx3s"))
FRAMES = 9
MOST = 5  # steps of a knob


def found() -> list[tuple[str, Step]]:
    """Steps of every knob of a small network, the first of each knob first."""
    chosen = [(one.knob, one.steps[:MOST]) for one in study(NETWORK, ARRAY)]
    return [(knob, steps[n]) for n in range(MOST) for knob, steps in chosen if n < len(steps)]


STEPS = found()


def in_verilog(point: Point) -> int:
    """Cycles of a step of a network with random weights, counted in a simulation."""
    net = point.network
    model = random_network(
        np.random.default_rng(0), net.inputs, net.hidden, net.banks, (net.k_input, net.k, net.k),
        net.layers, net.directions, net.projection, net.value_bits, net.act_bits, cell=net.cell,
    )  # fmt: skip
    frames = random_frames(np.random.default_rng(1), model, [FRAMES])
    compiled = sf.compile(
        model, pes=point.design.pes, lanes=point.design.lanes, **ARRAY.board.options
    )
    shown = sf.verify(compiled, frames, simulator="icarus")
    assert shown.mismatches == 0
    return int(shown.steps[-2])  # the last has no frame behind it


def test_enough_steps_are_tried() -> None:
    assert len(STEPS) >= 20
    assert {knob for knob, _ in STEPS} >= {"hidden", "k", "banks", "pes", "lanes", "layers"}


@pytest.mark.quick(1)
@pytest.mark.parametrize("number", range(len(STEPS)))
def test_a_step_is_that_of_the_verilog_on_both_sides(number: int) -> None:
    knob, step = STEPS[number]
    assert step.causes, knob
    assert in_verilog(step.before) == step.before.cycles
    assert in_verilog(step.after) == step.after.cycles


def test_sweeps_are_whole() -> None:
    by = {one.knob: one for one in study(Network(12, 120, 8, 2, 1), Array(64, 8, ARRAY.board))}
    assert tuple(by) == KNOBS
    assert not by["value_bits"].steps
    assert not by["act_bits"].steps
    hidden = by["hidden"]
    assert {step.before.value % 8 for step in hidden.steps} == {0}
    kept = {point.value: point.cycles for point in hidden.kept}
    assert all(kept[a] < kept[b] for a, b in zip(list(kept), list(kept)[1:], strict=False))
    pes = {point.value: point.cycles for point in by["pes"].points}
    assert pes[60] <= pes[56]  # an odd M / 4 took three times as long once
    with pytest.raises(ValueError, match="no knob is called colour: choose among hidden, inputs"):
        list(study(NETWORK, ARRAY, ["colour"]))


def test_knobs_are_those_of_a_model() -> None:
    model = random_network(np.random.default_rng(0), 12, 16, 4, (2, 1, 1), 2, 1, 8, 8, 8)
    net = Network.of(model)
    assert net == Network(12, 16, 4, 1, 2, 2, 1, 8, 8, 8)
    again = net.shape.layers[0].geometries
    assert again == {n: g for n, g in model.shape.layers[0].geometries.items()}
    with pytest.raises(ValueError, match="100 banks: more than a matrix has columns"):
        _ = net.at(banks=100).shape


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        app(words)
    assert not ended.value.code
    return capsys.readouterr().out


def test_the_command_tells_steps_and_writes_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--html", str(tmp_path / "page.html"), "--json", str(tmp_path / "all.json")]
    told = run(["study", "--pes", "16", "--lanes", "8", "--knob", "hidden", "--knob", "inputs",
                "--knob", "value_bits", *places], capsys)  # fmt: skip
    assert "slots of 16 PEs" in told
    assert "inputs 24 takes no more cycles than 12: 100" in told
    kept: dict[str, Any] = json.loads((tmp_path / "all.json").read_text())
    assert [one["knob"] for one in kept["sweeps"]] == ["hidden", "inputs", "value_bits"]
    html = (tmp_path / "page.html").read_text()
    assert html.count("<svg") == 3
    assert "No step." in html
    assert "http" not in html.replace("http://www.w3.org", "")


def test_times_of_a_processor_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    one = cpu_sweep(Network(8, 8, 2, 1, 2), "hidden", 1, 0)
    assert [point.value for point in one.points] == [6, 7, 8, 9, 10]
    assert all(point.microseconds > 0 for point in one.points)
    assert {knob: len(cpu_values(Network(8, 8, 2, 1, 2), knob)) for knob in CPU_KNOBS} == {
        "bank_width": 16, "k": 4, "hidden": 5,
    }  # fmt: skip
    with pytest.raises(ValueError, match="no knob of a processor is called pes"):
        cpu_values(NETWORK, "pes")
    told = run(["study", "--target", "cpu", "--knob", "hidden", "--rounds", "1"], capsys)
    assert "seed 0, 1 turns each" in told


def test_a_page_of_one_sweep_without_points() -> None:
    (one,) = study(Network(6, 12, 2, 1, 1), Array(4, 3, ARRAY.board), ["hidden"])
    assert one.points == ()
    found = {"network": {}, "target": "ulx3s", "where": "here", "seed": 0, "rules": 1}
    assert "<svg" in page(found | {"sweeps": [_plain(one)]})
