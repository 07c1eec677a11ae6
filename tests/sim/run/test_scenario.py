"""Jobs and outcomes: payloads against the hardware's layouts, and what a hang says."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.lib import data

from compiler.abi.states import Outcome, WireError
from hdl.core.layouts import frame_layout
from sim.run.errors import Hang
from sim.run.scenario import Job, read_job, run_job, write_job
from sim.run.streams import Pauses

GEOMETRIES = [
    # X, H, banks, k_ih, k_hh; M, N
    ((10, 9, 4, 2, 2), (4, 4)),
    ((7, 5, 1, 2, 3), (8, 1)),  # one lane
    ((13, 16, 8, 1, 1), (16, 8)),  # several element-wise lanes
    ((9, 11, 3, 1, 2), (8, 3)),
]


@pytest.mark.parametrize(("sizes", "array"), GEOMETRIES)
@pytest.mark.parametrize("bits", [(16, 16), (8, 9), (18, 18)])
def test_frames_are_the_layout_of_the_hardware(
    make_case: Any, sizes: Any, array: Any, bits: Any
) -> None:
    case = make_case(5, sizes, array, (2, 3), bits=bits)
    image, lanes = case.image, array[1]
    job = Job.of(image, case.sequences)
    assert len(job.frames) == 5 * image.parts[0].input_width
    beats = iter(job.frames)
    for sequence in case.sequences:
        for step, frame in enumerate(sequence):
            padded = [*frame.tolist(), *[0] * (lanes * image.parts[0].input_width - len(frame))]
            for place in range(image.parts[0].input_width):
                beat = data.Const(frame_layout(image.design), next(beats))
                assert beat.first == (step == 0)
                assert list(beat.data) == padded[place :: image.parts[0].input_width]


@pytest.mark.parametrize(("sizes", "array"), GEOMETRIES)
@pytest.mark.parametrize("bits", [(16, 16), (8, 9), (18, 18)])
def test_states_are_read_from_the_layout_of_the_hardware(
    make_case: Any, payloads: Any, sizes: Any, array: Any, bits: Any
) -> None:
    case = make_case(6, sizes, array, (2, 1), bits=bits)
    beats = payloads(case.image, case.traces)
    hidden, cell = Outcome(beats, list(range(len(beats))), 99).states(case.image)
    np.testing.assert_array_equal(hidden, np.concatenate([t.hidden for t in case.traces]))
    np.testing.assert_array_equal(cell, np.concatenate([t.cell for t in case.traces]))
    assert Job.of(case.image, case.sequences).beats_out == len(beats)


def test_extremes_survive(make_case: Any, payloads: Any) -> None:
    case = make_case(7, *GEOMETRIES[2], (2,))
    gate, state = case.image.design.gate, case.image.design.state
    trace = case.traces[0]
    trace.hidden[0], trace.hidden[1] = gate.min, gate.max
    trace.cell[0], trace.cell[1] = state.max, state.min
    hidden, cell = Outcome(payloads(case.image, [trace]), [], 0).states(case.image)
    np.testing.assert_array_equal(hidden, trace.hidden)
    np.testing.assert_array_equal(cell, trace.cell)


def test_frame_cycles_are_those_of_last_beats(case: Any) -> None:
    units = case.placement.beats
    cycles = [10 * i for i in range(3 * units)]
    got = Outcome([0] * len(cycles), cycles, 0).frame_cycles(case.image)
    assert got.tolist() == [10 * (units * frame - 1) for frame in (1, 2, 3)]


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_misplaced_last_is_an_error(case: Any, payloads: Any, shift: int) -> None:
    beats = payloads(case.image, case.traces)
    units = case.placement.beats
    mark = 1 << (beats[units - 1].bit_length() - 1)
    at = 2 * units - 1
    beats[at] ^= mark
    if shift > 0:  # too late: nothing in its place, the first beat of the next frame has it
        beats[at + 1] ^= mark
        place = units - 1
    else:
        beats[at - 1] ^= mark
        place = units - 2
    with pytest.raises(WireError, match=rf"`last` is wrong at beat {place} of frame 1 on"):
        Outcome(beats, [], 0).states(case.image)


def test_unknown_bits_are_an_error(case: Any, payloads: Any) -> None:
    beats = payloads(case.image, case.traces)
    beats[5] = -1
    with pytest.raises(WireError, match=r"beat 5 on `states` has unknown bits \(X\)"):
        Outcome(beats, [], 0).states(case.image)


def test_a_job_survives_its_file(case: Any, tmp_path: Path) -> None:
    job = replace(
        Job.of(case.image, case.sequences, load=True, idle=Pauses(0.25, 3), stall=Pauses(0.5, 4)),
        limit=17,
        probes=["pe0.product1"],
        cycles=9,
        matrix=[1 << 20_000, 7],  # more digits than Python writes in tens
    )
    write_job(tmp_path / "job.json", job)
    assert read_job(tmp_path / "job.json") == job
    assert max(json.loads((tmp_path / "job.json").read_text())["frames"]) > 2**53


class Device:
    """Streams that take and give as told, without any hardware behind them."""

    def __init__(self, takes: dict[str, int], gives: int = 0):
        self.takes, self.gives = dict(takes), gives
        self.inputs: dict[str, int] = {}
        self.order: list[tuple[str, int]] = []
        self.cycle = 0

    def get(self, name: str) -> int:
        port, _, signal = name.partition("__")
        if signal == "ready":
            return int(self.takes[port] > 0)
        return int(self.gives > 0) if signal == "valid" else 1000 + self.gives

    def set(self, name: str, value: int) -> None:
        self.inputs[name] = value

    async def settle(self) -> None:
        pass

    async def tick(self) -> None:
        self.cycle += 1
        for port in self.takes:
            if self.inputs.get(f"{port}__valid") and self.takes[port] > 0:
                self.takes[port] -= 1
                self.order.append((port, self.inputs[f"{port}__payload"]))
        if self.inputs.get("states__ready") and self.gives:
            self.gives -= 1


def run(job: Job, device: Device) -> Outcome:
    return asyncio.run(run_job(job, device))


def test_load_words_go_first_and_once() -> None:
    device = Device({"load": 99, "frames": 99}, gives=4)
    outcome = run(Job([1, 2, 3], [7, 8], 4), device)
    assert device.order == [("load", 7), ("load", 8), ("frames", 1), ("frames", 2), ("frames", 3)]
    assert outcome.payloads == [1004, 1003, 1002, 1001]


def test_cycles_count_from_the_first_frame_beat() -> None:
    loaded = run(Job([1, 2, 3], [7, 8, 9], 4), Device({"load": 99, "frames": 99}, gives=4))
    plain = run(Job([1, 2, 3], [], 4), Device({"load": 99, "frames": 99}, gives=4))
    assert loaded.cycles == plain.cycles == [0, 1, 2, 3]
    assert (loaded.total, plain.total) == (7, 4)


def test_probes_are_sampled_from_the_first_frame_beat_on() -> None:
    device = Device({"load": 99, "frames": 99}, gives=3)
    outcome = run(Job([1], [7], 3, probes=["states__payload"]), device)
    assert len(outcome.probed["states__payload"]) == len(outcome.cycles) == 3


@pytest.mark.parametrize("cycles", [2, 70])
def test_a_run_for_its_probes_ends_when_they_are_sampled(cycles: int) -> None:
    """Before all has come out, and long after nothing moves any more."""
    device = Device({"load": 99, "frames": 99}, gives=3)
    job = Job([1, 2], [], 3, limit=20, probes=["states__payload"], cycles=cycles)
    outcome = run(job, device)
    assert len(outcome.probed["states__payload"]) == cycles
    assert len(outcome.payloads) == min(3, cycles)


def test_a_run_for_its_probes_that_takes_no_frame_is_a_hang() -> None:
    device = Device({"load": 99, "frames": 0})
    job = Job([1, 2], [], 3, limit=20, probes=["states__payload"], cycles=70)
    with pytest.raises(Hang, match=r"took 0 of 2 frame beats"):
        run(job, device)


HANGS = [
    ({"load": 0, "frames": 9}, 0, "loaded 0 of 2 words, took 0 of 3 frame beats, gave 0 of 4"),
    ({"load": 1, "frames": 9}, 0, "loaded 1 of 2 words, took 0 of 3 frame beats, gave 0 of 4"),
    ({"load": 9, "frames": 2}, 0, "loaded 2 of 2 words, took 2 of 3 frame beats, gave 0 of 4"),
    ({"load": 9, "frames": 9}, 3, "loaded 2 of 2 words, took 3 of 3 frame beats, gave 3 of 4"),
]


@pytest.mark.parametrize(("takes", "gives", "text"), HANGS)
def test_a_hang_says_how_far_it_came(takes: dict[str, int], gives: int, text: str) -> None:
    device = Device(takes, gives)
    with pytest.raises(Hang, match=rf"^nothing moved for 50 cycles .*: {text} state"):
        run(Job([1, 2, 3], [7, 8], 4, limit=50), device)
    assert 50 < device.cycle < 70


def test_slow_streams_are_no_hang() -> None:
    device = Device({"load": 99, "frames": 99}, gives=20)
    job = Job([1] * 20, [], 20, idle=Pauses(0.9, 1), stall=Pauses(0.9, 2), limit=150)
    assert len(run(job, device).payloads) == 20
    assert device.cycle > job.limit


def test_progress_is_told() -> None:
    told: list[int] = []
    job = Job([1], [], 600, stall=Pauses(0.9, 2))
    asyncio.run(run_job(job, Device({"load": 0, "frames": 9}, gives=600), told.append))
    assert told[0] <= 1 < told[1] < 600
