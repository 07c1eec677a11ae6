"""What went wrong is told apart by class and data, across processes too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from compiler.abi.states import WireError
from sim.run import errors
from sim.run.errors import Hang, Mismatched, SimulationError, Timeout, ToolFailed, note_hang, noted
from sim.run.processes import watched


def run(tmp_path: Path, program: str, timeout: float = 30) -> None:
    watched("it", [sys.executable, "-c", program], tmp_path / "log", timeout)


def test_a_failed_tool_has_its_status_and_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match=r"(?s)^it failed \(exit 3\)\n.*nothing moved") as failed:
        run(tmp_path, "print('nothing moved for 3 cycles', flush=True); raise SystemExit(3)")
    assert (failed.value.status, failed.value.kind) == (3, "crash")


def test_a_signal_is_a_status_below_zero(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed) as failed:
        run(tmp_path, "import os; os.kill(os.getpid(), 11)")
    assert failed.value.status == -11


def test_what_takes_too_long_has_the_time_that_it_had(tmp_path: Path) -> None:
    with pytest.raises(Timeout, match=r"^it killed after 0\.2 s") as killed:
        run(tmp_path, "import time; time.sleep(60)", 0.2)
    assert (killed.value.seconds, killed.value.kind) == (0.2, "timeout")


def test_a_hang_crosses_from_process_to_process(tmp_path: Path) -> None:
    assert noted(tmp_path) is None
    note_hang(tmp_path, Hang("nothing moved for 7 cycles"))
    assert noted(tmp_path) == "nothing moved for 7 cycles"


def test_every_kind_is_a_wire_error_with_its_name() -> None:
    kinds: dict[type[WireError], str] = {WireError: "mismatch", SimulationError: "crash"}
    kinds |= {Hang: "hang", Timeout: "timeout", ToolFailed: "crash", Mismatched: "mismatch"}
    assert {error: error.kind for error in kinds} == kinds
    assert all(issubclass(getattr(errors, name), WireError) for name in ("Hang", "Timeout"))
