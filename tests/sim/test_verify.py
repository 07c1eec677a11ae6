"""A whole verification: what it reports, and that it notices states and cycles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdl.latency import Latencies
from hdl.verilog import VerilogFiles
from sim.cycle_model import CycleModel
from sim.streams import Pauses
from sim.verify import CycleMismatch, verify


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
    np.testing.assert_array_equal(shown.steps, CycleModel(case.image).run(8).steps)
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


def test_a_longer_bubble_is_noticed_at_the_second_frame(
    case: Any, files: VerilogFiles, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = CycleModel(case.image).run(2).frame_done[1]
    longer = Latencies(case.image.design).bubble + 50
    monkeypatch.setattr(Latencies, "bubble", property(lambda self: longer))
    shown = verify(case.reference, case.image, files, case.sequences[:1], work, simulator="icarus")
    assert shown.cycle_mismatch is not None
    assert (shown.cycle_mismatch.frame, shown.cycle_mismatch.got) == (1, right)


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
    assert (shown.first.sequence, shown.first.step, shown.first.where) == (0, 0, "")


def test_verilator_verifies(case: Any, verilator: Any, files: VerilogFiles) -> None:
    shown = verify(case.reference, case.image, files, case.sequences, verilator.work)
    assert shown.exact
    assert shown.simulator == "verilator"
    assert shown.run.build_seconds == 0
