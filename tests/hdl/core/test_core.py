"""The whole core against the integer model, with and without stalls, and its cycles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.abi.frames import Stimulus
from compiler.abi.states import Outcome
from compiler.array.design import Design
from compiler.array.latency import LOGIC_WORDS, Latencies
from compiler.array.needs import design_for
from compiler.array.placement import Placement
from compiler.array.program import Sink
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.lower.load import Space, header
from compiler.timing.cycle_model import CycleModel
from csb_format import Csb, IntArray, Model
from csb_format.random_models import random_frames, random_model
from engine.reference import IntegerModel
from hdl.core.controller import Controller
from hdl.core.core import Core
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job, run_job
from sim.run.streams import Pauses

LENGTHS = [2, 1, 2]
# X, H, banks, k_ih, k_hh, value bits, act bits, M, N, E
CASES = {
    "one of each": (6, 5, 2, 1, 2, 16, 16, 8, 2, 1),
    "hidden size not divisible by banks": (7, 10, 4, 1, 2, 16, 16, 8, 4, 2),
    "more PEs than rows": (5, 3, 1, 2, 3, 16, 16, 16, 1, 1),
    "one lane of narrow numbers": (9, 7, 3, 1, 1, 4, 6, 4, 1, 1),
    "wide numbers": (8, 8, 4, 2, 2, 18, 18, 8, 4, 2),
    "no input weights": (6, 8, 2, 0, 2, 16, 16, 8, 2, 2),
    "no recurrent weights": (6, 8, 2, 2, 0, 12, 12, 8, 2, 1),
    "no weights": (4, 4, 2, 0, 0, 8, 8, 4, 2, 1),
    "one pass is one cycle": (4, 4, 4, 1, 1, 16, 16, 16, 4, 4),
    "lanes slower than products": (8, 16, 1, 1, 2, 16, 16, 16, 1, 1),
    "several lanes of several units": (5, 12, 2, 1, 2, 16, 16, 16, 2, 2),
    "merged banks": (16, 16, 8, 1, 1, 8, 12, 8, 2, 1),
    "banks of padding only": (13, 12, 8, 1, 1, 12, 8, 8, 8, 2),
    "dense": (6, 6, 2, 3, 3, 16, 18, 4, 2, 1),
    "input wider than hidden": (40, 4, 4, 5, 1, 16, 16, 4, 4, 1),
}


def build(case: tuple[int, ...], seed: int = 1, **options: bool) -> tuple[Model, Image]:
    *sizes, pes, lanes, units = case
    model = random_model(np.random.default_rng(seed), *sizes)
    return model, compile_model(model, design_for(model, pes, lanes, units, **options))


def job_of(image: Image, sequences: list[IntArray], **options: Any) -> Job:
    """A job that gives up soon."""
    return replace(Job.of(image, sequences, **options), limit=5000)


def reference(model: Model, sequences: list[IntArray]) -> tuple[IntArray, IntArray]:
    traces = IntegerModel(model).run(sequences)
    hidden = np.concatenate([trace.hidden for trace in traces])
    return hidden, np.concatenate([trace.cell for trace in traces])


def assert_same(found: tuple[IntArray, IntArray], expected: tuple[IntArray, IntArray]) -> None:
    for name, ours, theirs in zip("hc", found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.quick(9)
def test_states_equal_the_integer_model(case: tuple[int, ...]) -> None:
    model, image = build(case)
    sequences = random_frames(np.random.default_rng(2), model, LENGTHS)
    outcome = simulate_amaranth(image, job_of(image, sequences))
    expected = reference(model, sequences)
    assert expected[0].any()
    assert_same(outcome.states(image), expected)


@pytest.mark.quick(3)
def test_states_are_the_same_when_streams_pause(case: tuple[int, ...]) -> None:
    model, image = build(case, seed=3, deep=True)
    sequences = random_frames(np.random.default_rng(4), model, LENGTHS)
    expected = reference(model, sequences)
    # each alone and on whole networks: tests/hdl/core/test_core_networks.py
    pauses = {"idle": Pauses(0.7, 0), "stall": Pauses(0.8, 10)}
    outcome = simulate_amaranth(image, job_of(image, sequences, **pauses))
    assert_same(outcome.states(image), expected)


@pytest.mark.quick(3)
def test_states_are_the_same_where_memories_lie_in_blocks(case: tuple[int, ...]) -> None:
    """Whatever the model: its array may have been made for a larger one."""
    model, image = build(case, seed=7, deep=True)
    deep = (LOGIC_WORDS + 1) * image.design.write_ports
    large = replace(image.design, vector_depth=2 * deep, cells=LOGIC_WORDS + 1)
    assert Latencies(large).row == Latencies(image.design).row + 1
    image = compile_model(model, large)
    sequences = random_frames(np.random.default_rng(8), model, LENGTHS)
    stimulus = job_of(image, sequences)
    outcome = simulate_amaranth(image, stimulus)
    assert_same(outcome.states(image), reference(model, sequences))
    first = [n == 0 for length in LENGTHS for n in range(length)]
    expected = CycleModel(image).run(sum(LENGTHS), first)
    np.testing.assert_array_equal(
        np.diff(outcome.frame_cycles(image)), np.diff(expected.frame_done)
    )


@pytest.mark.quick(3)
def test_states_are_the_same_when_memories_are_loaded(case: tuple[int, ...]) -> None:
    model, image = build(case, seed=5)
    sequences = random_frames(np.random.default_rng(6), model, LENGTHS[:2])
    pauses = {"idle": Pauses(0.4, 1), "stall": Pauses(0.5, 2)}
    job = job_of(image, sequences, load=True, **pauses)
    outcome = simulate_amaranth(image, job, loaded=False)
    assert_same(outcome.states(image), reference(model, sequences))


@pytest.mark.quick(4)
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    "name", ["one of each", "dense", "lanes slower than products", "one pass is one cycle"]
)
def test_step_takes_the_cycles_of_the_architecture(name: str, deep: bool) -> None:
    model, image = build(CASES[name], deep=deep)
    sequences = random_frames(np.random.default_rng(5), model, [12])
    job = job_of(image, sequences)
    cycles = simulate_amaranth(image, job).frame_cycles(image)
    # short passes take the time of a fetch; a deep controller pauses before each
    busy = [max(p.cycles + deep, Controller.fetch) for p in image.parts[0].passes]
    step = max(sum(busy), chain(image), image.parts[0].frame_beats)
    assert set(np.diff(cycles)[3:]) == {step}


def chain(image: Image) -> int:
    """Cycles from a recurrent pass to the one that reads its state: its length and the wait."""
    (now,) = (p.instruction for p in image.parts[0].passes if p.sink == Sink.UNITS)
    placement, design = image.parts[0].emissions[0].placement, image.design
    assert isinstance(placement, Placement)
    per_slot, latencies = design.units_per_slot, Latencies(design)
    # cycle, from the start, from which each beat may be read
    home = [
        beat // per_slot * now.interval
        + (now.groups - 1)
        + (latencies.row + latencies.lane(Sink.UNITS) + 2 - latencies.read)
        + beat % per_slot
        for beat in range(placement.beats)
    ]
    turns = design.lanes // design.units
    reads = [max(0, placement.bank_width - now.groups + g) for g in range(now.groups)]
    needed = max(home[(place + 1) * turns - 1] - g for g, place in enumerate(reads))
    # it starts as a beat comes home
    return min(at for at in home if at >= needed)


def test_same_inputs_take_the_same_cycles() -> None:
    model, image = build(CASES["one of each"])
    sequences = random_frames(np.random.default_rng(6), model, LENGTHS)
    job = job_of(image, sequences, idle=Pauses(0.3, 1), stall=Pauses(0.3, 2))
    assert simulate_amaranth(image, job) == simulate_amaranth(image, job)


def test_largest_numbers_everywhere() -> None:
    """Every weight and bias at its most negative value: gates saturate, nothing wraps."""
    model, image = build(CASES["dense"])
    layer = model.layers[0]
    ih, hh = (
        Csb(m.geometry, np.full_like(m.values, -(1 << 15)), m.indices)
        for m in (layer.weight_ih, layer.weight_hh)
    )
    bias = np.full_like(layer.bias, layer.state.min)
    model = replace(model, layers=(replace(layer, weight_ih=ih, weight_hh=hh, bias=bias),))
    image = compile_model(model, image.design)
    for value in (layer.input.min, layer.input.max):
        sequences = [np.full((4, layer.input_size), value)]
        outcome = simulate_amaranth(image, job_of(image, sequences))
        assert_same(outcome.states(image), reference(model, sequences))


class Ports:
    """A core's ports by their Verilog names."""

    def __init__(self, core: Core, ctx: Any):
        self.core, self.ctx = core, ctx

    def find(self, name: str) -> Any:
        stream, _, member = name.partition("__")
        value = getattr(getattr(self.core, stream), member)
        return value.as_value() if hasattr(value, "as_value") else value

    def get(self, name: str) -> int:
        return int(self.ctx.get(self.find(name)))

    def set(self, name: str, value: int) -> None:
        self.ctx.set(self.find(name), value)

    async def settle(self) -> None:
        pass

    async def tick(self) -> None:
        await self.ctx.tick()


def test_another_model_can_be_loaded_when_idle(run: Any) -> None:
    shapes = [CASES["input wider than hidden"], (9, 8, 4, 2, 2, 16, 16, 4, 4, 1)]
    models = [random_model(np.random.default_rng(7), *shape[:7]) for shape in shapes]
    sizes: list[dict[str, Any]] = [dict(vars(design_for(model, 4, 4, 1))) for model in models]
    sizes[0]["screen"] = sizes[1]["screen"] = ()  # neither has one
    most: dict[str, Any] = {name: max(size[name] for size in sizes) for name in sizes[0]}
    design = Design(**most | {"screen": None})
    images = [compile_model(model, design) for model in models]
    core, outcomes = Core(design), []
    order = [0, 1, 0]
    sequences = [random_frames(np.random.default_rng(8), models[i], LENGTHS) for i in order]

    async def bench(ctx: Any) -> None:
        for i, frames in zip(order, sequences, strict=True):
            job = job_of(images[i], frames, load=True)
            outcomes.append(await run_job(job, Ports(core, ctx)))

    run(core, bench)
    for i, frames, outcome in zip(order, sequences, outcomes, strict=True):
        found: Outcome = outcome
        assert_same(found.states(images[i]), reference(models[i], frames))


def test_halted_and_faults_reach_the_ports(run: Any) -> None:
    _, image = build(CASES["one of each"])
    core = Core(image.design)

    async def send(ctx: Any, words: list[int]) -> None:
        for word in words:
            ctx.set(core.load.payload, word)
            ctx.set(core.load.valid, 1)
            await ctx.tick().until(core.load.ready)
        ctx.set(core.load.valid, 0)
        await ctx.tick().repeat(8)

    async def bench(ctx: Any) -> None:
        await ctx.tick().repeat(8)
        assert (ctx.get(core.halted), ctx.get(core.fault)) == (1, 0)  # nothing is loaded
        await send(ctx, image.load_words())
        assert (ctx.get(core.halted), ctx.get(core.fault)) == (0, 0)
        await send(ctx, [header(Space.PROGRAM, 0, 0), 1, 3, *[0] * (program_chunks - 1)])
        await send(ctx, [header(Space.START)])
        assert (ctx.get(core.halted), ctx.get(core.fault)) == (0, 1)  # no such operation
        unused = len(image.program)
        await send(ctx, [header(Space.START, 0, unused)])
        assert (ctx.get(core.halted), ctx.get(core.fault)) == (1, 0)  # the unused part halts
        await send(ctx, [header(Space.MATRIX, image.design.pes, 0), 0])
        assert ctx.get(core.fault)

    program_chunks = -(-image.width("program") // 32)
    run(core, bench)


def test_frames_are_held_back_until_there_is_room(run: Any) -> None:
    """Nobody takes states: the output fills, then the frame buffers, and nothing is lost."""
    model, image = build(CASES["one of each"])
    core = Core(image.design, image)
    (frames,) = random_frames(np.random.default_rng(9), model, [9])
    payloads = Stimulus.of(image, [frames]).payloads()
    taken: list[int] = []

    async def source(ctx: Any) -> None:
        ports = Ports(core, ctx)
        for payload in payloads:
            ports.set("frames__payload", payload)
            ports.set("frames__valid", 1)
            await ctx.tick().until(core.frames.ready)
            taken.append(payload)
        ctx.set(core.frames.valid, 0)

    async def sink(ctx: Any) -> None:
        await ctx.tick().repeat(600)
        # two frames of output have room; one more is parked, and two are buffered
        assert len(taken) == 5 * image.parts[0].frame_beats
        found: list[int] = []
        ctx.set(core.states.ready, 1)
        while len(found) < len(frames) * image.parts[0].beats_out:
            _, _, valid, payload = await ctx.tick().sample(
                core.states.valid, core.states.payload.as_value()
            )
            found += [payload] if valid else []
        outcome = Outcome(found, [], 0)
        assert_same(outcome.states(image), reference(model, [frames]))

    run(core, source, sink)
