"""The order in which frames go in, and runs that go on where others ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.abi.frames import Stimulus
from compiler.timing.cycle_model import CycleModel
from sim.check.compare import compare
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job


def places(stimulus: Stimulus) -> list[tuple[int, int, int]]:
    columns = (stimulus.sequence, stimulus.step, stimulus.context)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_sequences_one_after_the_other(case: Any) -> None:
    stimulus = Stimulus.of(case.image, case.sequences)
    assert places(stimulus) == [(s, t, 0) for s, n in enumerate((3, 1, 4)) for t in range(n)]
    np.testing.assert_array_equal(stimulus.frames[:, 0], np.concatenate(case.sequences))
    assert stimulus.first.tolist() == [1, 0, 0, 1, 1, 0, 0, 0]


@pytest.fixture(scope="session")
def streams(make_network: Any) -> Any:
    return make_network(1, (4, 4), (3, 1, 0, 4), options={"contexts": 2})


def test_streams_take_turns_and_free_ones_take_the_next(streams: Any) -> None:
    stimulus = Stimulus.of(streams.image, streams.sequences, contexts=2)
    assert places(stimulus) == [
        *((0, 0, 0), (1, 0, 1), (0, 1, 0), (3, 0, 1), (0, 2, 0)),
        *((3, 1, 1), (3, 2, 1), (3, 3, 1)),
    ]
    for frame, (sequence, step, _) in zip(stimulus.frames[:, 0], places(stimulus), strict=True):
        np.testing.assert_array_equal(frame, streams.sequences[sequence][step])


def test_the_second_direction_starts_from_the_end(make_network: Any) -> None:
    case = make_network(1, (4, 4), (3, 2), directions=2)
    stimulus = Stimulus.of(case.image, case.sequences)
    for frame, (sequence, step, _) in zip(stimulus.frames, places(stimulus), strict=True):
        given = case.sequences[sequence]
        np.testing.assert_array_equal(frame, [given[step], given[-1 - step]])


def test_some_frames(streams: Any) -> None:
    stimulus = Stimulus.of(streams.image, streams.sequences, contexts=2)
    assert places(stimulus.only(np.array([1, 3]))) == [(1, 0, 1), (3, 0, 1)]
    assert places(stimulus.only(stimulus.step == 2)) == [(0, 2, 0), (3, 2, 1)]
    alone = stimulus.alone(3, 3)
    assert places(alone) == [(3, 0, 0), (3, 1, 0), (3, 2, 0)]
    np.testing.assert_array_equal(alone.frames[:, 0], streams.sequences[3][:3])


@pytest.mark.parametrize("contexts", [0, 3])
def test_contexts_that_the_design_lacks_are_refused(streams: Any, contexts: int) -> None:
    with pytest.raises(ValueError, match=rf"contexts {contexts}: the design keeps 2; generate"):
        Stimulus.of(streams.image, streams.sequences, contexts=contexts)


@pytest.mark.parametrize("sequences", [[], [np.zeros((0, 10), np.int64)]])
def test_no_frames_are_refused(case: Any, sequences: Any) -> None:
    with pytest.raises(ValueError, match=r"no frames to run: give at least one sequence"):
        Stimulus.of(case.image, sequences)


@pytest.mark.parametrize("context", [0, 1])
def test_a_run_goes_on_from_a_given_state(make_network: Any, context: int) -> None:
    """Two layers, the first projected state and cells loaded, in either context."""
    case = make_network(2, (4, 4), (5,), options={"contexts": 2}, layers=2, projection=6)
    whole = Stimulus.of(case.image, case.sequences)
    rest = whole.only(whole.step >= 2)
    rest = replace(rest, context=rest.context + context)
    job = Job.of(case.image, rest)
    given = [
        word
        for layer, (trace,) in enumerate(case.levels)
        for word in case.image.state_words(layer, trace.cell[1], trace.output[1], context)
    ]
    outcome = simulate_amaranth(case.image, replace(job, load=given + case.image.start_words()))
    comparison = compare(rest, outcome, case.levels)
    assert (comparison.mismatches, comparison.first) == (0, None)
    assert comparison.values == 3 * (2 * 9 + 6)
    schedule = CycleModel(case.image).run(3, [False] * 3, [context] * 3)
    cycles = outcome.frame_cycles(case.image)
    np.testing.assert_array_equal(cycles, schedule.frame_done)
    zero = simulate_amaranth(case.image, job)
    assert compare(rest, zero, case.levels).mismatches > 0
