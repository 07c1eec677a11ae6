"""What only Amaranth's simulator can show: one accelerator through several jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from compiler.abi.states import Outcome
from hdl.core.core import Core
from sim.run.errors import Hang
from sim.run.pysim import BlockPorts, simulate_amaranth
from sim.run.scenario import Job, run_job


def run_in_turn(core: Core, jobs: list[Job]) -> list[Outcome]:
    """Jobs one after another on the same accelerator, without a reset."""
    outcomes: list[Outcome] = []

    async def bench(context: Any) -> None:
        for job in jobs:
            outcomes.append(await run_job(job, BlockPorts(core, context)))

    simulator = Simulator(core)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return outcomes


def test_models_take_turns_on_one_accelerator(case: Any, other_case: Any) -> None:
    turns = [case, other_case, case]
    jobs = [Job.of(turn.image, turn.sequences, load=True) for turn in turns]
    outcomes = run_in_turn(Core(case.image.design), jobs)
    for turn, outcome in zip(turns, outcomes, strict=True):
        assert turn.compare(outcome).first is None
        cycles = outcome.frame_cycles(turn.image)
        np.testing.assert_array_equal(cycles, turn.schedule.frame_done)


def test_a_run_in_two_parts_gives_the_same_states(case: Any) -> None:
    parts = [case.sequences[:1], case.sequences[1:]]
    outcomes = run_in_turn(
        Core(case.image.design, case.image), [Job.of(case.image, part) for part in parts]
    )
    whole = Outcome(outcomes[0].payloads + outcomes[1].payloads, [], 0).states(case.image)
    np.testing.assert_array_equal(whole[0], np.concatenate([t.hidden for t in case.traces]))
    np.testing.assert_array_equal(whole[1], np.concatenate([t.cell for t in case.traces]))


def test_a_start_keeps_results_that_nobody_has_taken(case: Any) -> None:
    """They are of frames that were taken; an aborted job is dropped with a reset."""
    whole = Job.of(case.image, case.sequences, load=True)
    first = replace(whole, beats_out=whole.beats_out - 1)
    again = replace(whole, beats_out=whole.beats_out + 1)
    taken: list[list[int]] = []

    async def bench(context: Any) -> None:
        ports = BlockPorts(core, context)
        taken.append((await run_job(first, ports)).payloads)
        ports.set("states__ready", 0)
        for _ in range(500):
            await ports.tick()
        taken.append((await run_job(again, ports)).payloads)

    core = Core(case.image.design)
    simulator = Simulator(core)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert taken[0] + taken[1][:1] == taken[1][1:]


def test_blank_hardware_without_loading_hangs_with_a_message(case: Any) -> None:
    job = replace(Job.of(case.image, case.sequences), limit=200)
    with pytest.raises(Hang, match=r"nothing moved for 200 cycles.*loaded 0 of 0 words"):
        simulate_amaranth(case.image, job, loaded=False)


def test_probes_are_refused(case: Any) -> None:
    job = replace(Job.of(case.image, case.sequences), probes=["pe0.product1"])
    with pytest.raises(ValueError, match=r"probe pe0\.product1: only Verilog simulators"):
        simulate_amaranth(case.image, job)


def test_progress_is_told(case: Any) -> None:
    told: list[int] = []
    simulate_amaranth(case.image, Job.of(case.image, case.sequences), progress=told.append)
    assert told == [0]
