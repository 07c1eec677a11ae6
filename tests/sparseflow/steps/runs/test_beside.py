"""What cocotb runs beside the free-running engine, and how the report says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from csb_format import load_model
from sim.check.engines import DRIVERS, FREE
from sparseflow.pages.measured import read_figures
from sparseflow.steps.generating.hardware import compile_array
from sparseflow.steps.runs import beside

if TYPE_CHECKING:
    from tests.sparseflow.conftest import Chain, Finished

ARRAY = ("--pes", 4, "--lanes", 4)


def test_icarus_takes_a_few_sequences_that_it_does_quickly(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = compile_array(load_model(chain.model), 4, 4)
    sequences = [np.zeros((10, 5))] * 5
    assert beside.counts(image, sequences, None, 0) == {"icarus": beside.FEW}
    assert beside.counts(image, sequences, 9, 2) == {"icarus": 5, "verilator": 2}
    assert beside.counts(image, sequences, 0, 0) == {}
    monkeypatch.setattr(beside, "WORK", beside.WORK // 10000)
    assert beside.counts(image, sequences, None, 0) == {}
    assert "cocotb checks nothing beside" in capsys.readouterr().err


def test_all_frames_run_free_and_the_first_under_cocotb_too(
    run: Callable[..., int],
    chain: Chain,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = ("--data", chain.data, "--build", tmp_path, "--icarus", 2)
    assert run("simulate", chain.model, *data, *ARRAY) == 0
    shown = capsys.readouterr().err
    assert "icarus: 8 frames" in shown
    assert "every cycle as predicted, the same as on verilator-free" in shown
    found = read_figures(tmp_path)
    free, icarus = found["simulators"]
    assert [row["name"] for row in (free, icarus)] == [FREE, "icarus"]
    assert (free["first_frame"], free["last_frame"]) == (0, found["frames"] - 1)
    assert (icarus["first_frame"], icarus["last_frame"], icarus["utterances"]) == (0, 7, 2)
    assert (icarus["same_as"], icarus["same"], free.get("same_as")) == (FREE, True, None)
    assert found["mismatches"] == 0
    assert {"build verilator-free", "run verilator-free", "run icarus"} <= set(found["seconds"])
    assert "--icarus 2" in free["command"]  # one line for the rows of one command
    assert [line for line in found["commands"] if " simulate " in line] == [free["command"]]
    assert run("report", tmp_path, "--out", tmp_path / "r") == 0
    text = " ".join((tmp_path / "r" / "report.html").read_text().split())
    assert f"frames 0 to 7 by {DRIVERS['icarus']}, the same as verilator-free" in text
    assert ">in all<" in text


@pytest.mark.slow
def test_engines_that_differ_fail_the_run(
    run: Callable[..., int],
    chain: Chain,
    finished: Finished,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Both as the models say, but one a cycle longer: no comparison with models would tell."""
    outcome = finished.result.run.outcome
    longer = replace(finished.result.run, outcome=replace(outcome, total=outcome.total + 1))

    def verify(*_: object, simulator: str, **__: object) -> object:
        free = simulator == FREE
        return replace(
            finished.result, simulator=simulator, run=finished.result.run if free else longer
        )

    monkeypatch.setattr("sim.check.verify.verify", verify)
    data = ("--data", chain.data, "--build", tmp_path, "--icarus", 9)
    assert run("simulate", chain.model, *data, *ARRAY) == 1
    assert "two engines differ on the same Verilog: level 0 ends on verilator-free in cycle " in (
        capsys.readouterr().err
    )
    assert run("report", tmp_path, "--out", tmp_path / "r") == 0
    assert "Simulators differ on the same Verilog: icarus and verilator-free" in (
        capsys.readouterr().out
    )
    assert 'class="verdict bad"' in (tmp_path / "r" / "report.html").read_text()
