"""A whole verification: what it reports, and that it notices states and cycles."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler.array.latency import Latencies
from compiler.timing.cycle_model import CycleModel
from csb_format.random_models import random_frames
from engine.reference import IntegerModel
from hdl.verilog import VerilogFiles, emit_verilog
from sim.check.verify import CycleMismatch, verify
from sim.run.streams import Pauses


def test_an_exact_run(case: Any, files: VerilogFiles, work: Path) -> None:
    told: list[int] = []
    shown = verify(
        case.reference,
        case.image,
        files,
        case.sequences,
        work,
        simulator="icarus",
        progress=told.append,
    )
    assert shown.exact
    assert (shown.simulator, shown.sequences, shown.frames) == ("icarus", 3, 8)
    assert (shown.first, shown.cycle_mismatch) == (None, None)
    assert shown.comparison.values == 2 * 8 * 9
    np.testing.assert_array_equal(shown.steps, case.schedule.steps)
    np.testing.assert_array_equal(
        shown.comparison.hidden, np.concatenate([t.hidden for t in case.traces])
    )
    run = shown.run
    assert run.outcome.total > run.outcome.cycles[-1]
    assert run.cycles_per_second == run.outcome.total / run.seconds > 0
    assert told
    assert told == sorted(told)


def test_a_frame_out_of_schedule_is_reported(
    case: Any, files: VerilogFiles, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = CycleModel(case.image).run(1).frame_done[0]
    monkeypatch.setattr(Latencies, "output", property(lambda self: 3))
    shown = verify(case.reference, case.image, files, case.sequences[:1], work, simulator="icarus")
    assert shown.comparison.mismatches == 0
    assert not shown.exact
    assert shown.cycle_mismatch == CycleMismatch(0, int(expected) + 1, int(expected))
    assert str(shown.cycle_mismatch) == (
        f"frame 0 left in cycle {expected}, the cycle model says {expected + 1}"
    )


@pytest.mark.slow
def test_a_longer_bubble_is_noticed_at_the_second_frame(
    case: Any, files: VerilogFiles, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = CycleModel(case.image).run(2).frame_done[1]
    home = Latencies.home
    monkeypatch.setattr(Latencies, "home", lambda self, sink: home(self, sink) + 50)
    shown = verify(case.reference, case.image, files, case.sequences[:1], work, simulator="icarus")
    assert shown.cycle_mismatch is not None
    assert (shown.cycle_mismatch.frame, shown.cycle_mismatch.got) == (1, right)
    # hardware that is right seems to run ahead of such a model
    assert re.match(r"cycle \d+: instruction 2 \(layer 0 weight_hh\) ", shown.cycle_mismatch.where)


@pytest.mark.parametrize("pauses", [{"idle": Pauses(0.9, 1)}, {"stall": Pauses(0.9, 2)}])
def test_cycles_are_not_checked_with_pauses(
    case: Any, files: VerilogFiles, work: Path, pauses: dict[str, Any]
) -> None:
    sequences = case.sequences[:1]
    shown = verify(case.reference, case.image, files, sequences, work, simulator="icarus", **pauses)
    assert shown.exact
    late = shown.run.outcome.frame_cycles(case.image) - CycleModel(case.image).run(3).frame_done
    assert late[-1] > 0


def test_loaded_hardware_is_verified(
    other_case: Any, blank_files: VerilogFiles, work: Path
) -> None:
    shown = verify(
        other_case.reference,
        other_case.image,
        blank_files,
        other_case.sequences,
        work,
        simulator="icarus",
        load=True,
    )
    assert shown.exact


def test_a_mismatch_without_images_is_reported_undiagnosed(
    case: Any, other_case: Any, blank_files: VerilogFiles, work: Path
) -> None:
    """The image of one model against the states of another."""
    shown = verify(
        other_case.reference,
        case.image,
        blank_files,
        case.sequences,
        work,
        simulator="icarus",
        load=True,
    )
    assert not shown.exact
    assert shown.cycle_mismatch is None
    assert shown.first is not None
    assert (shown.first.sequence, shown.first.step) == (0, 0)
    assert shown.first.where == "not diagnosed (the image is of another model)"


def test_a_mismatch_of_loaded_hardware_is_diagnosed(
    case: Any, blank_files: VerilogFiles, work: Path, tmp_path: Path
) -> None:
    """Lanes that add a bias with a bit turned over, without images."""
    shutil.copytree(blank_files.folder, tmp_path / "faulty")
    faulty = replace(blank_files, folder=tmp_path / "faulty")
    lane = faulty.folder / "sparseflow_lane.v"
    text, count = re.subn(r"(biased_i <= [^;]+);", r"\1 ^ (1 << 9);", lane.read_text())
    assert count == 1
    lane.write_text(text)
    sequences = case.sequences[:1]
    options: dict[str, Any] = {"simulator": "icarus", "load": True}
    first = verify(case.reference, case.image, faulty, sequences, work, **options).first
    assert first is not None
    assert (first.step, first.gate, first.matrix) == (0, "i", "weight_hh")
    assert first.where.startswith("lane0.pre_i is ")


NETWORKS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"layers": 2, "projection": 6, "head": 5}, {"head": True, "contexts": 2}, False),
    ({"layers": 2, "directions": 2, "projection": 5}, {}, False),
    ({"directions": 2}, {"contexts": 3}, True),
    ({"layers": 3}, {}, True),
]


@pytest.mark.quick(1)
@pytest.mark.parametrize(("network", "options", "load"), NETWORKS)
def test_networks_are_verified(
    make_network: Any,
    work: Path,
    tmp_path: Path,
    network: dict[str, Any],
    options: dict[str, Any],
    load: bool,
) -> None:
    case = make_network(6, (4, 4), (3, 2, 1, 2), options=options, **network)
    files = emit_verilog(case.image.design, tmp_path / "v", None if load else case.image)
    contexts = options.get("contexts", 1)
    more: dict[str, Any] = {"simulator": "icarus", "load": load, "contexts": contexts}
    shown = verify(case.reference, case.image, files, case.sequences, work, **more)
    assert shown.exact
    levels = (*shown.before, shown)
    assert len(levels) == len(case.image.parts)
    for level in levels:
        assert level.frames == 8
        sizes = [v.shape[1] for v in level.comparison.outputs.values()]
        assert level.comparison.values >= 8 * sum(sizes) > 0


@pytest.mark.slow
def test_verilator_verifies(
    case: Any, verilator: Any, files: VerilogFiles, quick_builds: None
) -> None:
    shown = verify(
        case.reference, case.image, files, case.sequences, verilator.work,
        simulator="verilator", builds=verilator.builds,
    )  # fmt: skip
    assert shown.exact
    assert shown.simulator == "verilator"
    assert shown.run.build_seconds == 0


def test_a_verification_keeps_what_it_has_computed(
    case: Any, files: VerilogFiles, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """States and cycles of the models are worked out once; reports take them from there."""
    counts = {"states": 0, "cycles": 0}
    states, cycles = IntegerModel.run_levels, CycleModel.run

    def counted_states(self: IntegerModel, sequences: Any) -> Any:
        counts["states"] += 1
        return states(self, sequences)

    def counted_cycles(self: CycleModel, *given: Any) -> Any:
        counts["cycles"] += 1
        return cycles(self, *given)

    monkeypatch.setattr(IntegerModel, "run_levels", counted_states)
    monkeypatch.setattr(CycleModel, "run", counted_cycles)
    reference = IntegerModel(case.model)
    found = verify(reference, case.image, files, case.sequences, work, simulator="icarus")
    assert found.exact
    assert found.runs == (found,)
    assert found.schedule.frame_done[-1] == found.run.outcome.cycles[-1]
    assert [len(trace.hidden) for trace in found.traces[-1]] == [len(s) for s in case.sequences]
    assert counts == {"states": 1, "cycles": 1}


@pytest.mark.quick(1)
@pytest.mark.parametrize("seed", [1, 25])
def test_a_streamed_design_is_fed(seeded: Any, tmp_path: Path, seed: int) -> None:
    """Also where a network has two programs."""
    network, _ = seeded(seed, streamed=True)
    assert len(network.image.parts) == 1 + (seed == 25)
    sequences = random_frames(np.random.default_rng(8), network.model, [3, 2])
    files = emit_verilog(network.image.design, tmp_path / "v", network.image)
    found = verify(
        IntegerModel(network.model), network.image, files, sequences, tmp_path, simulator="icarus"
    )
    assert found.exact
