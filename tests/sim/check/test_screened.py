"""Verilog of an LSTM with a screened head is its model, bit for bit and cycle for cycle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from compiler.abi.frames import Stimulus
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import Model
from csb_format.files.images import write_mem
from csb_format.random_models import random_model, random_network
from csb_format.screening.layer import ScreenedLayer
from engine.levels import run_levels
from engine.reference import IntegerModel
from hdl.verilog import VerilogFiles, emit_verilog
from sim.check.compare import compare, states_screened
from sim.check.verify import Verification, verify
from sim.run.free_running import record_activity, simulate_free_running
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job, Planes
from sim.run.streams import Pauses
from sim.run.verilog import VerilogRun, simulate_verilog

INPUTS = 8
#: Units, words, M, N, k, lanes of the screen; in one no size divides another.
CASES = {
    "one": (8, 20, 4, 2, 1, 3, 1),
    "even": (16, 60, 8, 4, 3, 16, 4),
    "odd": (13, 67, 8, 4, 5, 7, 2),
}


def screened(hidden: int, words: int, lanes: int) -> Model:
    model = random_model(np.random.default_rng(3), INPUTS, hidden, lanes, 2, 1, head=words)
    assert model.head is not None
    return replace(model, head=ScreenedLayer.of(model.head))


def made(case: str, **options: Any) -> Image:
    hidden, words, pes, lanes, top, digits, refined = CASES[case]
    model = screened(hidden, words, lanes)
    units = design_for(model, pes, lanes, largest=0).units
    sizes: dict[str, Any] = {"screen_digits": digits, "screen_lanes": refined * units}
    return compile_model(model, design_for(model, pes, lanes, largest=top, **sizes, **options))


def sequences(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.integers(-120, 120, (2 + n, INPUTS)) for n in range(count)]


def run(image: Image, folder: Path, count: int = 2, **options: Any) -> Verification:
    filled = None if options.get("load") else image
    files = emit_verilog(image.design, folder / "v", filled)
    for name, words in options.pop("other", {}).items():
        (path,) = files.folder.glob(f"*{name}.mem")
        write_mem(path, words, image.width(name))
    model = IntegerModel(image.model)
    return verify(
        model, image, files, sequences(count), folder / "w",
        **({"simulator": "icarus"} | options),
    )  # fmt: skip


@pytest.mark.quick(1)
@pytest.mark.parametrize("case", CASES)
def test_verilog_is_its_model(case: str, tmp_path: Path) -> None:
    image = made(case)
    found = run(image, tmp_path)
    assert found.exact, found.first or found.cycle_mismatch
    hidden, _, _, _, top, *_ = CASES[case]
    assert found.comparison.values == 5 * (2 * hidden + 2 * top)  # h and c; outputs and logits


#: Bits of the bus that planes come over, simulator, and whether everything is loaded.
OUTSIDE = [(128, "icarus", True), (256, "verilator", False)]
OUTSIDE += [(64, "verilator-free", False), (512, "verilator-free", True)]


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "simulator", "load"), OUTSIDE)
@pytest.mark.parametrize("case", CASES)
def test_planes_outside(case: str, bits: int, simulator: str, load: bool, tmp_path: Path) -> None:
    image = made(case, planes=bits)
    assert [name for name in image.memories if name.startswith("screen")] == ["screen_blocks"]
    found = run(image, tmp_path, 1 + (case != "one"), simulator=simulator, load=load)
    assert found.exact, found.first or found.cycle_mismatch


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_a_late_memory_changes_no_result(case: str, simulator: str, tmp_path: Path) -> None:
    """Addresses and beats wait at random, and so do both ends of the array."""
    image = made(case, planes=128)

    def late(files: VerilogFiles, job: Job, work: Path, **options: Any) -> VerilogRun:
        assert job.planes is not None
        planes = replace(job.planes, latency=(1, 90), waits=0.3, gaps=0.3, seed=5)
        given = replace(job, planes=planes, limit=100_000)
        return simulate_verilog(files, given, work, simulator=simulator, **options)

    pauses = {"idle": Pauses(0.4, 1), "stall": Pauses(0.6, 2)}
    found = run(image, tmp_path, 3, simulate=late, **pauses)
    assert found.comparison.mismatches == 0, found.first


def test_amaranth_takes_planes_from_outside() -> None:
    """Core and memory on Amaranth's simulator: values, logits and cycles are the model's."""
    image = made("one", planes=64)
    stimulus = Stimulus.of(image, sequences(2))
    traces = run_levels(IntegerModel(image.model), sequences(2))
    stimulus = stimulus.screening(states_screened(stimulus, traces))
    outcome = simulate_amaranth(image, Job.of(image, stimulus))
    assert compare(stimulus, outcome, traces).mismatches == 0
    assert np.array_equal(outcome.frame_cycles(image, 0), stimulus.schedule.frame_done)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_pauses_change_no_result(case: str, tmp_path: Path) -> None:
    pauses = {"idle": Pauses(0.4, 1), "stall": Pauses(0.6, 2)}
    found = run(made(case), tmp_path, 3, **pauses)
    assert found.exact, found.first


#: Arrays that a unit stands behind, each with what is loaded instead of in the memories at start.
ARRAYS: dict[str, dict[str, Any]] = {
    "streamed, planes outside": {"streamed": True, "planes": 256},
    "compact, planes outside": {"compact": True, "planes": 64},
    "deep, planes outside": {"deep": True, "planes": 64},
    "contexts, planes outside": {"contexts": 3, "planes": 128},
    "deep": {"deep": True},
    "streamed": {"streamed": True},
    "compact": {"compact": True},
    "contexts": {"contexts": 3},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARRAYS)
def test_every_array_loads_a_screened_model(kind: str, tmp_path: Path) -> None:
    image = made("odd", **ARRAYS[kind])
    contexts = image.design.contexts
    found = run(image, tmp_path, 3, load=True, contexts=contexts, simulator="verilator-free")
    assert found.exact, found.first or found.cycle_mismatch


#: Networks of other kinds than the above.
NETWORKS: dict[str, dict[str, Any]] = {
    "gru": {"cell": "gru"},
    "gru0": {"cell": "gru0"},
    "stacked": {"layers": 2},
    "narrow": {"value_bits": 8, "act_bits": 8},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS)
def test_other_networks(kind: str, tmp_path: Path) -> None:
    rng, own = np.random.default_rng(6), NETWORKS[kind]
    model = random_network(rng, INPUTS, 8, 4, (2, 2, 1), head=50, **own)
    assert model.head is not None
    model = replace(model, head=ScreenedLayer.of(model.head))
    image = compile_model(model, design_for(model, 8, 4, largest=8))
    found = run(image, tmp_path, simulator="verilator-free")
    assert found.exact, found.first or found.cycle_mismatch


@pytest.mark.slow
def test_both_memories_in_cplusplus_are_those_of_cocotb(tmp_path: Path) -> None:
    """Matrix and planes outside: every payload, and the cycle of every one, is cocotb's."""
    image = made("one", streamed=True, planes=64)
    free, icarus = (
        run(image, tmp_path / name, simulator=name) for name in ("verilator-free", "icarus")
    )
    assert free.exact, free.first or free.cycle_mismatch
    assert free.run.outcome == icarus.run.outcome


def test_a_memory_that_is_late_at_random_is_cocotb_s(tmp_path: Path) -> None:
    job, files = Job([], [], 1, planes=Planes(b"", 64)), cast(VerilogFiles, None)  # none is read
    late = replace(job, planes=Planes(b"", 64, latency=(1, 9)))
    with pytest.raises(ValueError, match=r"late at random: only sim\.run\.verilog"):
        simulate_free_running(files, late, tmp_path)
    with pytest.raises(ValueError, match=r"planes outside: only simulate_free_running"):
        record_activity(files, job, tmp_path, tmp_path / "a.saif")


@pytest.mark.slow
def test_a_wrong_logit_is_told(tmp_path: Path) -> None:
    """Biases of all rows are one too large in the unit alone."""
    image = made("one")
    words = [word + 1 for word in image.memories["screen_whole"]]
    found = run(image, tmp_path, other={"screen_whole": words})
    assert found.first is not None
    assert (found.first.state, found.first.step) == ("logit", 0)
    assert found.first.got == found.first.expected + 1
    assert found.first.where == "all states up to here are right; look at the screen unit"
