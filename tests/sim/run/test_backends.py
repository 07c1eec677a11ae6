"""One scenario on Amaranth's simulator, Icarus and Verilator: the same bits, the same cycles."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from compiler.abi.states import Outcome
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job
from sim.run.streams import Pauses

PAUSES: dict[str, dict[str, Any]] = {
    "steady": {},
    "source idles": {"idle": Pauses(0.9, 7), "stall": Pauses(0.2, 8)},
    "sink stalls": {"idle": Pauses(0.2, 9), "stall": Pauses(0.9, 10)},
}


@pytest.fixture(scope="session")
def on_amaranth(case: Any) -> Any:
    """Outcome on Amaranth's simulator, once for each kind of pauses."""

    @cache
    def run(name: str) -> Outcome:
        return simulate_amaranth(case.image, Job.of(case.image, case.sequences, **PAUSES[name]))

    return run


def check_states(case: Any, outcome: Outcome) -> None:
    comparison = case.compare(outcome)
    assert comparison.first is None
    assert comparison.mismatches == 0
    assert comparison.values == 2 * sum(map(len, case.sequences)) * 9
    np.testing.assert_array_equal(
        comparison.hidden, np.concatenate([t.hidden for t in case.traces])
    )


def check_cycles(case: Any, outcome: Outcome) -> None:
    cycles = outcome.frame_cycles(case.image)
    np.testing.assert_array_equal(cycles, case.schedule.frame_done)


@pytest.mark.parametrize("pauses", PAUSES)
def test_same_bits_and_cycles_everywhere(
    case: Any, backend: Any, on_amaranth: Any, pauses: str
) -> None:
    outcome = backend.run(Job.of(case.image, case.sequences, **PAUSES[pauses]))
    check_states(case, outcome)
    reference = on_amaranth(pauses)
    assert outcome.payloads == reference.payloads
    assert outcome.cycles == reference.cycles
    assert outcome.total == reference.total
    if pauses == "steady":
        check_cycles(case, outcome)


def test_pauses_slow_the_run_down(on_amaranth: Any) -> None:
    totals = {name: on_amaranth(name).total for name in PAUSES}
    assert totals["steady"] < totals["source idles"]
    assert totals["steady"] < totals["sink stalls"]


def test_another_model_is_loaded_over_the_image(backend: Any, other_case: Any) -> None:
    outcome = backend.run(Job.of(other_case.image, other_case.sequences, load=True))
    check_states(other_case, outcome)
    check_cycles(other_case, outcome)


def test_the_image_is_not_the_other_model(case: Any, other_case: Any, backend: Any) -> None:
    """Without loading the same frames give other states, so the tests of loading can fail."""
    outcome = backend.run(Job.of(other_case.image, other_case.sequences))
    assert other_case.compare(outcome).mismatches > 0


BLANK = ["amaranth", "icarus", pytest.param("verilator", marks=pytest.mark.slow)]


@pytest.mark.parametrize("name", BLANK)
def test_blank_hardware_is_loaded_and_loaded_again(
    case: Any, other_case: Any, make_backend: Any, name: str
) -> None:
    backend = make_backend(name)
    first = backend.run(Job.of(case.image, case.sequences, load=True), blank=True)
    check_states(case, first)
    check_cycles(case, first)
    job = Job.of(other_case.image, other_case.sequences, load=True)
    both = replace(job, load=case.image.load_words() + job.load)
    second = backend.run(both, blank=True)
    check_states(other_case, second)
    check_cycles(other_case, second)
    assert not any(backend.build_seconds[1:])  # one hardware


def test_loading_does_not_mind_pauses(case: Any, make_backend: Any) -> None:
    pauses = {"idle": Pauses(0.5, 1), "stall": Pauses(0.5, 2)}
    job = Job.of(case.image, case.sequences, load=True, **pauses)
    check_states(case, make_backend("amaranth").run(job, blank=True))
