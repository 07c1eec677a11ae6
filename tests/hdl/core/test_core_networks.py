"""Networks of random shape on random arrays: every bit and every cycle as the models say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Value

from compiler.abi.frames import Stimulus
from compiler.abi.states import Outcome
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.timing.cycle_model import CycleModel
from csb_format import IntArray, Model
from csb_format.random_models import random_frames, random_network
from engine.reference import IntegerModel, LayerModel
from hdl.core.core import Core
from hdl.verilog import emit_verilog
from sim.check.compare import compare
from sim.check.verify import verify
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job, run_job
from sim.run.streams import Pauses, Source

# the shapes that the dozen must have among them, so that luck does not leave one out
FIXED: dict[int, dict[str, Any]] = {
    0: {"layers": 1, "directions": 1, "projection": False},
    1: {"layers": 1, "directions": 1, "projection": True},
    2: {"layers": 2, "directions": 1, "projection": False},
    3: {"layers": 2, "directions": 1, "projection": True},
    4: {"layers": 1, "directions": 2, "projection": False},
    5: {"layers": 2, "directions": 2, "projection": True},
    6: {"layers": 3, "directions": 1, "projection": True},
}
PAUSES: list[dict[str, Any]] = [
    {},
    {"idle": Pauses(0.9, 1)},  # frames come late
    {"stall": Pauses(0.8, 2)},
    {"idle": Pauses(0.6, 3), "stall": Pauses(0.6, 4)},
]


def check(network: Any, sequences: list[IntArray], contexts: int, **pauses: Any) -> None:
    """All programs of a network, the outputs of one the inputs of the next."""
    image: Image = network.image
    levels = IntegerModel(network.model).run_levels(sequences)
    for part in range(len(image.parts)):
        inputs = [trace.output for trace in levels[part - 1]] if part else sequences
        stimulus = Stimulus.of(image, inputs, part, contexts=contexts)
        job = replace(Job.of(image, stimulus, **pauses), limit=20_000)
        outcome = simulate_amaranth(image, job)
        comparison = compare(stimulus, outcome, levels)
        assert comparison.values
        assert comparison.first is None, str(comparison.first)
        if not pauses:
            assert outcome.frame_cycles(image, part).tolist() == cycles_of(stimulus)


def cycles_of(stimulus: Stimulus) -> list[int]:
    first, context = stimulus.first.tolist(), stimulus.context.tolist()
    schedule = CycleModel(stimulus.image, stimulus.part).run(len(first), first, context)
    done: list[int] = schedule.frame_done.tolist()
    return done


def frames_of(network: Any, seed: int, lengths: Sequence[int]) -> list[IntArray]:
    return random_frames(np.random.default_rng(seed), network.model, list(lengths))


@pytest.mark.quick(2)
@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seeded: Any, seed: int) -> None:
    network, _ = seeded(seed, **FIXED.get(seed, {}))
    check(network, frames_of(network, seed, [2, 1, 2]), network.contexts)


@pytest.mark.quick(2)
@pytest.mark.parametrize("seed", range(12))
def test_random_networks_with_k_per_gate(seeded: Any, seed: int) -> None:
    """Gates in slots of their own, in passes of their own, and padded."""
    cell, layers = ("lstm", "gru", "lstm", "gru0")[seed % 4], 1 + seed // 2 % 2
    fixed = {"directions": 1 + (seed == 6), "streamed": seed == 4, "padded": seed in (8, 9)}
    network, _ = seeded(seed, by_gate=True, cell=cell, layers=layers, **fixed)
    assert any(g.parts for s in network.model.shape.layers for g in s.geometries.values())
    assert network.image.design.by_gate == (cell != "gru0" and not fixed["padded"])
    check(network, frames_of(network, seed, [2, 1, 2]), network.contexts)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_a_hundred_random_networks_with_k_per_gate(seeded: Any, block: int) -> None:
    for seed in range(10 * block, 10 * block + 10):
        cell = ("lstm", "lstm", "gru", "lstm", "gru0")[seed % 5]
        fixed = {"streamed": seed % 4 == 3, "padded": seed % 8 == 7}
        network, pick = seeded(2000 + seed, cell=cell, by_gate=True, **fixed)
        lengths = [pick(1, 4) for _ in range(pick(1, 4))]
        contexts = pick(1, network.contexts)
        check(network, frames_of(network, seed, lengths), contexts, **PAUSES[seed % 4])


@pytest.mark.quick(2)
@pytest.mark.parametrize("seed", range(1, 5))
def test_late_frames_and_a_slow_sink_change_nothing(seeded: Any, seed: int) -> None:
    """Frames that come late take the other path of the program."""
    network, _ = seeded(seed, layers=1 + seed % 2, directions=1)
    sequences = frames_of(network, seed, [2, 1, 2])
    check(network, sequences, network.contexts, **PAUSES[1 + seed % 3])


# layers and directions, projections and cells of networks whose layers have reaches of their own
REACHES: list[dict[str, Any]] = [
    {"layers": 2, "directions": 1, "projection": True},
    {"layers": 3, "directions": 1, "cell": "gru"},
    {"layers": 1, "directions": 2, "projection": False},
    {"layers": 2, "directions": 1, "cell": "gru0"},
    {"layers": 3, "directions": 1, "by_gate": True},
    {"layers": 2, "directions": 2, "cell": "gru"},
    {"layers": 2, "directions": 1, "streamed": True, "projection": False},
]


@pytest.mark.quick(4)
@pytest.mark.parametrize("number", range(len(REACHES)))
def test_layers_of_several_reaches(seeded: Any, number: int) -> None:
    network, _ = seeded(40 + number, reaches=True, **REACHES[number])
    used = {layer.arithmetic.reach for layer in network.model.layers}
    assert set(network.image.design.reaches) == used
    assert len(used) > 1
    check(network, frames_of(network, number, [2, 1]), network.contexts)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_a_hundred_networks_of_several_reaches_in_verilog(
    seeded: Any, block: int, tmp_path: Path
) -> None:
    """Bits and cycles of each."""
    for seed in range(10 * block, 10 * block + 10):
        network, pick = seeded(5000 + seed, reaches=True, **REACHES[seed % len(REACHES)])
        check_verilog(network, pick, seed, tmp_path / str(seed))


GRUS: dict[int, dict[str, Any]] = {
    0: {"layers": 2, "directions": 1},
    1: {"layers": 1, "directions": 2},
    2: {"layers": 1, "directions": 1, "streamed": True},
}


@pytest.mark.parametrize("cell", ["gru", "gru0"])
@pytest.mark.parametrize("seed", GRUS)
def test_random_networks_of_a_gru(seeded: Any, seed: int, cell: str) -> None:
    network, _ = seeded(seed, cell=cell, **GRUS[seed])
    assert network.image.design.cell == cell
    check(network, frames_of(network, seed, [2, 1]), network.contexts)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["gru", "gru0"])
@pytest.mark.parametrize("block", range(10))
def test_a_hundred_random_networks_of_a_gru(seeded: Any, block: int, cell: str) -> None:
    for seed in range(10 * block, 10 * block + 10):
        fixed = {"streamed": seed % 5 == 4} if cell == "gru0" else {}
        network, pick = seeded(1000 + seed, cell=cell, **fixed)
        lengths = [pick(1, 4) for _ in range(pick(1, 4))]
        contexts = pick(1, network.contexts)
        check(network, frames_of(network, seed, lengths), contexts, **PAUSES[seed % 4])


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_many_random_networks(seeded: Any, block: int) -> None:
    for seed in range(100 + 12 * block, 112 + 12 * block):
        network, pick = seeded(seed)
        lengths = [pick(1, 4) for _ in range(pick(1, 4))]
        contexts = pick(1, network.contexts)
        check(network, frames_of(network, seed, lengths), contexts, **PAUSES[seed % 4])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_random_networks_in_verilog(seeded: Any, seed: int, tmp_path: Path) -> None:
    network, _ = seeded(seed, **FIXED.get(seed, {}))
    image: Image = network.image
    files = emit_verilog(image.design, tmp_path / "v", image)
    sequences = frames_of(network, seed, [3, 2, 4])
    reference = IntegerModel(network.model)
    options = {"contexts": network.contexts}
    found = verify(reference, image, files, sequences, tmp_path / "work", **options)
    assert (found.exact, found.first, found.cycle_mismatch) == (True, None, None)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["gru", "gru0"])
@pytest.mark.parametrize("block", range(10))
def test_a_hundred_networks_of_a_gru_in_verilog(
    seeded: Any, block: int, cell: str, tmp_path: Path
) -> None:
    """Bits and cycles of each, also stacked, of two directions, of several streams."""
    for seed in range(10 * block, 10 * block + 10):
        network, pick = seeded(3000 + seed, cell=cell)
        check_verilog(network, pick, seed, tmp_path / str(seed))


def check_verilog(network: Any, pick: Any, seed: int, folder: Path) -> None:
    """Every bit and cycle of some sequences, in some streams."""
    files = emit_verilog(network.image.design, folder / "v", network.image)
    sequences = frames_of(network, seed, [pick(1, 4) for _ in range(pick(1, 4))])
    found = verify(
        IntegerModel(network.model),
        network.image,
        files,
        sequences,
        folder / "work",
        simulator="icarus",
        contexts=pick(1, network.contexts),
    )
    assert (found.exact, found.first, found.cycle_mismatch) == (True, None, None)


State = tuple[IntArray, IntArray]  # cell, output


def run_from(model: Model, states: list[State], frames: IntArray) -> Iterator[list[State]]:
    """States of all layers after every frame, from given ones."""
    layers = [LayerModel(layer) for layer in model.layers]
    states = list(states)
    for x in frames:
        for n, layer in enumerate(layers):
            cell, output = states[n]
            hidden, cell = layer.step(x, output, cell)
            x = layer.project(hidden)
            states[n] = cell, x
        yield list(states)


def random_states(rng: np.random.Generator, model: Model) -> list[State]:
    return [
        (
            rng.integers(layer.state.min, layer.state.max + 1, layer.hidden_size),
            rng.integers(layer.output.min, layer.output.max + 1, layer.output_size),
        )
        for layer in model.layers
    ]


@dataclass
class Bench:
    """A core that runs one job after the other."""

    image: Image
    words: Source | None = None  # of a streamed design

    def run(self, run: Any, jobs: list[Job], loaded: bool = True) -> list[Outcome]:
        core, outcomes = Core(self.image.design, self.image if loaded else None), []

        async def bench(ctx: Any) -> None:
            ports = Ports(core, ctx, self.words)
            outcomes.extend([await run_job(replace(job, limit=20_000), ports) for job in jobs])

        run(core, bench)
        return outcomes


class Ports:
    """A core's ports by their Verilog names; words of the matrices come beside."""

    def __init__(self, core: Core, ctx: Any, words: Source | None):
        self._ctx, self._words, self._cycle = ctx, words, 0
        flat = core.signature.flatten(core)
        self._values = {"__".join(map(str, path)): Value.cast(value) for path, _, value in flat}

    def get(self, name: str) -> int:
        value = self._values[name]
        return int(self._ctx.get(value)) & ((1 << len(value)) - 1)

    def set(self, name: str, value: int) -> None:
        self._ctx.set(self._values[name], value)

    async def settle(self) -> None:
        pass

    async def tick(self) -> None:
        if self._words:
            self._words.step(self, self._cycle)
        self._cycle += 1
        await self._ctx.tick()


def going_on(image: Image, frames: IntArray, context: int = 0) -> Stimulus:
    """Frames none of which is the first of a sequence."""
    steps = np.arange(1, len(frames) + 1)
    same = np.zeros(len(frames), np.int64)
    return Stimulus(image, 0, frames[:, None], same, steps, same + context)


NETWORKS: list[dict[str, Any]] = [
    {},
    {"layers": 2, "projection": 4},
    {"layers": 3, "value_bits": 8, "act_bits": 8},
]


def small(more: dict[str, Any], contexts: int = 1, **options: bool) -> tuple[Model, Image]:
    sizes: dict[str, Any] = {"input_size": 6, "hidden_size": 6, "banks": 2, "k": (1, 2, 1)}
    model = random_network(np.random.default_rng(9), **(sizes | more))
    design = design_for(model, 8, 2, contexts=contexts, **options)
    return model, compile_model(model, design)


def assert_outputs(image: Image, outcome: Outcome, states: Sequence[list[State]]) -> None:
    """What left is the last layer's; a projection's output, else h and c."""
    for emitted in outcome.emitted(image):
        cell = np.stack([step[-1][0] for step in states])
        output = np.stack([step[-1][1] for step in states])
        wanted = {"c": cell, "r": output}
        if image.model.layers[-1].projection is None:
            wanted["h"] = output
        for name in emitted.values.keys() & wanted.keys():
            np.testing.assert_array_equal(emitted.values[name], wanted[name], err_msg=name)


@pytest.mark.quick(3)
@pytest.mark.parametrize("more", NETWORKS, ids=str)
@pytest.mark.parametrize("context", [0, 2])
def test_a_given_state_is_where_a_stream_goes_on(
    run: Any, more: dict[str, Any], context: int
) -> None:
    model, image = small(more, contexts=3)
    rng = np.random.default_rng(5)
    states, (frames,) = random_states(rng, model), random_frames(rng, model, [3])
    load = [w for n, state in enumerate(states) for w in image.state_words(n, *state, context)]
    job = Job.of(image, going_on(image, frames, context))
    (outcome,) = Bench(image).run(run, [replace(job, load=[*load, *image.start_words()])])
    assert_outputs(image, outcome, list(run_from(model, states, frames)))


@pytest.mark.parametrize("more", NETWORKS, ids=str)
def test_a_state_is_kept_between_jobs(run: Any, more: dict[str, Any]) -> None:
    """The second job comes without a start: its frames go on where the first one's ended."""
    model, image = small(more)
    (frames,) = random_frames(np.random.default_rng(6), model, [6])
    jobs = [Job.of(image, [frames[:2]]), Job.of(image, going_on(image, frames[2:]))]
    first, second = Bench(image).run(run, jobs)
    drawn = random_states(np.random.default_rng(0), model)
    zero = [(np.zeros_like(cell), np.zeros_like(output)) for cell, output in drawn]
    steps = list(run_from(model, zero, frames))
    assert_outputs(image, first, steps[:2])
    assert_outputs(image, second, steps[2:])


@pytest.mark.quick(3)
@pytest.mark.parametrize("more", NETWORKS, ids=str)
@pytest.mark.parametrize("pauses", PAUSES[::3])
def test_contexts_do_not_mix(more: dict[str, Any], pauses: dict[str, Any]) -> None:
    """More sequences than contexts, of different lengths, a frame of each in turn."""
    model, image = small(more, contexts=3)
    sequences = random_frames(np.random.default_rng(7), model, [3, 1, 4, 2, 1])
    levels = IntegerModel(model).run_levels(sequences)
    stimulus = Stimulus.of(image, sequences, contexts=3)
    assert set(stimulus.context) == {0, 1, 2}
    outcome = simulate_amaranth(image, Job.of(image, stimulus, **pauses))
    assert compare(stimulus, outcome, levels).first is None


@pytest.mark.quick(3)
@pytest.mark.parametrize("seed", [1, 6])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_words_of_a_streamed_design_may_pause(
    run: Any, seeded: Any, seed: int, share: float
) -> None:
    """Also in mid-pass, when beats come home earlier than the last group's issue says.

    Where leads counted on the distance of slots, one network read old states, one hung.
    """
    network, _ = seeded(seed, streamed=True, directions=1, layers=1 + seed % 2)
    model, image = network.model, network.image
    sequences = random_frames(np.random.default_rng(8), model, [3, 2])
    stimulus = Stimulus.of(image, sequences)
    each = image.stream_payloads()
    source = Source("matrix", each * (len(stimulus.frames) + 1), Pauses(share, 3))
    job = replace(Job.of(image, stimulus), matrix=[])  # the source has it
    (outcome,) = Bench(image, source).run(run, [job])
    assert compare(stimulus, outcome, IntegerModel(model).run_levels(sequences)).first is None
    if share == 0:
        assert outcome.frame_cycles(image).tolist() == cycles_of(stimulus)
