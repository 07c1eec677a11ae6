"""Switching activity: what Verilator counts is what a count of our own of its changes gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler.abi.frames import Stimulus
from hdl.verilog import emit_verilog
from sim.check.activity import Block, read_saif
from sim.run.free_running import record_activity
from sim.run.scenario import Job
from sim.run.streams import Pauses

SAIF = r"""(SAIFILE
(TIMESCALE 1ns)
(DURATION 40)
 (INSTANCE TOP
  (NET
   (clk (T0 20) (T1 20) (TZ 0) (TX 0) (TB 0) (TC 7))
  )
  (INSTANCE core
   (NET
    (a\[0\] (T0 40) (T1 0) (TZ 0) (TX 0) (TB 0) (TC 0))
    (a\[1\] (T0 30) (T1 10) (TZ 0) (TX 0) (TB 0) (TC 2))
   )
   (INSTANCE ram
   )
  )
 )
)
"""


def test_blocks_are_told_apart() -> None:
    found = read_saif(SAIF.splitlines())
    assert found.cycles == 4
    assert found.blocks == (Block("TOP", 1, 7), Block("TOP/core", 2, 2))
    assert found.changes == 9


def test_a_file_that_does_not_add_up_is_told() -> None:
    with pytest.raises(ValueError, match="30 \\+ 9 is not the duration, 40"):
        read_saif(SAIF.replace("(T1 10)", "(T1 9)").splitlines())
    with pytest.raises(ValueError, match="no duration"):
        read_saif(["(SAIFILE", ")"])


def variables(lines: Iterator[str]) -> list[tuple[str, str]]:
    """Path of the block and code of every variable of a VCD, once for each of its bits."""
    path: list[str] = []
    found = []
    for words in map(str.split, lines):
        if words[:1] == ["$scope"]:
            path.append(words[2])
        elif words[:1] == ["$upscope"]:
            path.pop()
        elif words[:1] == ["$var"]:
            found.append(("/".join(path), words[3]))
        elif words[:1] == ["$enddefinitions"]:
            return found
    raise AssertionError("no end of definitions")


def changes(path: Path) -> Counter[str]:
    """Changed bits of every block, counted one value after the other."""
    counts: Counter[str] = Counter()
    held: dict[str, int] = {}
    with path.open() as lines:
        declared = variables(lines)
        for line in map(str.strip, lines):
            if line[:1] not in "01b" or not line:
                continue
            value, code = line[1:].split() if line[0] == "b" else (line[0], line[1:])
            now = int(value, 2)
            counts[code] += (held.get(code, now) ^ now).bit_count()
            held[code] = now
    found: Counter[str] = Counter()
    for block, code in declared:
        found[block] += counts[code]
    return found


@pytest.fixture(scope="module")
def run(make_case: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("activity")
    case = make_case(1, (6, 5, 2, 1, 2), (4, 2), (2, 1))
    files = emit_verilog(case.image.design, folder / "v", case.image)
    job = Job.of(case.image, Stimulus.of(case.image, case.sequences), load=False)

    def recorded(form: str, idle: Pauses | None = None) -> Path:
        into = folder / f"{bool(idle)}.{form}"
        paused = replace(job, idle=idle or job.idle)
        outcome = record_activity(files, paused, folder / "work", into, form).outcome
        assert case.compare(outcome).mismatches == 0
        return into

    return recorded


@pytest.mark.slow
def test_counts_agree_with_the_changes_themselves(run: Any) -> None:
    with run("saif").open() as lines:
        counted = read_saif(lines)
    own = changes(run("vcd"))
    clear = {block.path: block.changes for block in counted.blocks}
    assert counted.changes > 10_000
    assert clear == {at: own[at] for at in clear}
    assert sum(own.values()) == counted.changes


@pytest.mark.slow
def test_an_array_that_waits_changes_nothing_but_its_clock(run: Any) -> None:
    found = []
    for idle in (None, Pauses(0.95, 1)):
        with run("saif", idle).open() as lines:
            found.append(read_saif(lines))
    busy, waiting = found
    more = waiting.cycles - busy.cycles
    assert more > 20
    for before, after in zip(busy.blocks, waiting.blocks, strict=True):
        # the clock's two; what the ends of a wait change is in no proportion to its length
        assert after.changes - before.changes < 3 * more + before.bits
