"""Where a comparison says that states differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.abi.states import Outcome
from engine.reference import Trace
from sim.check.compare import Mismatch


def outcome_of(case: Any, traces: list[Trace], payloads: Any) -> Outcome:
    beats = payloads(case.image, traces)
    return Outcome(beats, [3 * i for i in range(len(beats))], 3 * len(beats))


def copies(traces: list[Trace]) -> list[Trace]:
    return [Trace(t.hidden.copy(), t.cell.copy(), t.output.copy()) for t in traces]


def test_equal_states(case: Any, payloads: Any) -> None:
    comparison = case.compare(outcome_of(case, case.traces, payloads))
    assert (comparison.mismatches, comparison.first) == (0, None)
    assert comparison.values == 2 * 8 * 9  # h and c, frames, units
    np.testing.assert_array_equal(
        comparison.hidden, np.concatenate([t.hidden for t in case.traces])
    )


# sequences of 3, 1 and 4 frames
@pytest.mark.parametrize("place", [(0, 0), (0, 2), (1, 0), (2, 0), (2, 3)])
@pytest.mark.parametrize("state", ["h", "c"])
@pytest.mark.parametrize("unit", [0, 5, 8])
def test_one_wrong_state_is_located(
    case: Any, payloads: Any, place: tuple[int, int], state: str, unit: int
) -> None:
    sequence, step = place
    wrong = copies(case.traces)
    array = wrong[sequence].hidden if state == "h" else wrong[sequence].cell
    array[step, unit] ^= 1
    comparison = case.compare(outcome_of(case, wrong, payloads))
    frame = (0, 3, 4)[sequence] + step
    units = case.placement.beats
    assert comparison.mismatches == 1
    assert comparison.first == Mismatch(
        layer=0,
        sequence=sequence,
        step=step,
        unit=unit,
        state=state,
        expected=int(array[step, unit]) ^ 1,
        got=int(array[step, unit]),
        cycle=3 * (units * (frame + 1) - 1),
    )


def test_the_first_is_the_earliest_frame(case: Any, payloads: Any) -> None:
    wrong = copies(case.traces)
    wrong[2].hidden[1:] ^= 1
    wrong[2].cell[0, 4] ^= 1
    comparison = case.compare(outcome_of(case, wrong, payloads))
    assert comparison.mismatches == 3 * 9 + 1
    first = comparison.first
    assert first is not None
    assert (first.sequence, first.step, first.state, first.unit) == (2, 0, "c", 4)


def test_what_a_mismatch_says() -> None:
    found = Mismatch(0, 2, 5, 7, "h", expected=-3, got=12, cycle=456)
    assert str(found) == "layer 0, sequence 2, step 5: h[7] is 12, should be -3, cycle 456"
    found = replace(found, where="look there")
    assert str(found).endswith("h[7] is 12, should be -3, cycle 456: look there")
    found = replace(found, gate="g", row=25)
    assert str(found).endswith("should be -3; gate g, row 25, cycle 456: look there")
    found = replace(found, bank=3)
    assert str(found).endswith("should be -3; gate g, row 25, bank 3, cycle 456: look there")
    found = replace(found, matrix="weight_hh", got="unknown")
    place = "h[7] is unknown, should be -3; weight_hh gate g, row 25, bank 3, cycle"
    assert place in str(found)
    found = replace(found, matrix="weight_hr", gate=None)
    assert "should be -3; weight_hr row 25, bank 3, cycle 456" in str(found)
