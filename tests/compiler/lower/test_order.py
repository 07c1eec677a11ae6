"""The compiled program, replayed cycle by cycle: nothing is read, lost or overwritten wrongly.

The replay knows the controller's rules and the blocks' latencies, and reads the actual
indices of the actual matrix words; it shares no code with the scheduler or the cycle model.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from compiler.array.design import Design
from compiler.array.latency import Latencies, home_delay, projector_exact
from compiler.array.program import Frame, Instruction, Op, Place, Sink
from compiler.lower.image import Image
from compiler.lower.order import Order, parks_meet
from csb_format import IntArray
from hdl.core.controller import Controller
from hdl.core.lanes.lstm import ElementwiseLane


@dataclass(frozen=True)
class World:
    """Frames, and how late everything around the accelerator is.

    ``gap``: most cycles between frames; ``stall``: most cycles that a pass that emits waits
    for room; ``dry``: share of cycles without a word, on a streamed design; ``limit``: cycles.
    """

    frames: list[tuple[bool, int]]  # first of a sequence, context
    seed: int = 0
    gap: int = 0
    stall: int = 0
    dry: float = 0.0
    limit: int = 120_000


class Replay:
    """One program of an image, under way."""

    def __init__(self, image: Image, number: int, world: World, role: Any):
        self.role = partial(role, image, number)
        self.image, self.design, self.part = image, image.design, image.parts[number]
        self.regions = self.part.needs.regions(number)
        self.world, self.random = world, random.Random(world.seed)
        self.words = [used(self.design, group) for group in image.matrix_words]
        self.memory = np.full((self.design.vector_depth, self.design.lanes), -1)
        self.versions: dict[Hashable, int] = {}
        self.pc, self.at = self.part.entry, Controller.fetch  # the first is loaded after a fetch
        self.flying = self.known = self.free_at = 0
        self.latencies = Latencies(self.design)
        self.reading: dict[int, tuple[int, int, int, Any]] = {}
        self.phases: dict[int, int] = {}
        self.taken, self.current, self.first, self.context = 0, -1, False, 0
        self.back = 1  # frames since the last one of this context
        self.past = [0] * 8  # contexts of the frames before, the latest first
        self.steps: dict[int, int] = {}  # frame that a context saw last
        self.parked: dict[int, tuple[int, int]] = {}
        self.cells: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self.gates: dict[int, list[tuple[int, int]]] = {}  # z of a cell whose reset comes first
        self.homes: set[int] = set()
        self.port: dict[int, tuple[int, IntArray, int]] = {}
        self.out: dict[int, Hashable] = {}
        self.issued: Counter[tuple[Any, ...]] = Counter()
        self.addresses: list[int] = []
        self.tried = self.missed = 0
        self.started = False
        self.slot = self.step = self.turn = self.round = self.dealt = self.words_read = 0
        self.hold = self.beat = self.filled = self.due = 0
        # cycles from which frames may be loaded, and taken
        self.free, self.ready = [0, 0], list[int]()
        for layer, base in enumerate(self.regions.states):
            for context in range(self.design.contexts):
                at = base + 2 * context * self.regions.sizes[layer]
                old = self.version("state", layer, ("given", context))
                self.memory[at : at + self.regions.sizes[layer]] = old

    def version(self, *what: Hashable) -> int:
        """A number for what is written."""
        return self.versions.setdefault(what, len(self.versions))

    def run(self) -> Replay:
        """Until every frame has left."""
        wanted = len(self.world.frames) * self.part.beats_out
        for t in range(self.world.limit):
            self.cycle(t)
            if len(self.out) == wanted and t > max(self.out):
                self.check_end()
                return self
        raise AssertionError(f"{len(self.out)} of {wanted} beats have left")

    def cycle(self, t: int) -> None:
        """Beats come home, a frame's beat comes in, groups read, memories are written."""
        self.known = self.flying  # a deep design's controller looks at the cycle before
        self.flying -= t - 1 in self.homes
        self.load(t)
        if t in self.reading:
            base, address, expected, where = self.reading.pop(t)
            banks, indices = self.words[address]
            assert (self.memory[base | indices, banks] == expected).all(), where
        if t in self.port:
            place, banks, version = self.port.pop(t)
            self.memory[place + banks // self.design.lanes, banks % self.design.lanes] = version
        if t >= self.at:
            self.control(t)

    def load(self, t: int) -> None:
        """A beat of a frame, if a buffer is free and the write port too."""
        frame = self.filled
        setup = self.part.frame_beats if t > Controller.fetch else 0
        if frame == len(self.world.frames) or not setup or t + 1 in self.port:
            return
        if frame >= len(self.free) or t < max(self.due, self.free[frame]):
            return
        base = self.regions.frames[frame % 2]
        ports = self.design.frame_ports
        banks = np.arange(self.design.lanes * ports)
        self.port[t + 1] = (base + self.beat * ports, banks, self.version("frame", frame))
        self.beat += 1
        if self.beat == setup:
            self.beat, self.filled = 0, frame + 1
            self.ready.append(t + 1)
            self.due = t + 1 + self.random.randint(0, self.world.gap)

    def control(self, t: int) -> None:
        """What the controller does in a cycle with an instruction."""
        now = self.image.program[self.pc]
        if now.op == Op.SETUP:
            assert now.frame_beats == self.part.frame_beats
            assert now.frame_bases == self.regions.frames
            self.step_to(now.next, t)
            return
        assert now.op == Op.PASS
        if not self.started and not self.may_start(now, t):
            return
        if self.random.random() < self.world.dry:
            return
        if not self.started:
            self.begin(now)
        groups, interval = self.row(now)
        if self.step < groups:
            self.issue(now, self.slot, self.step, t)
            self.words_read += 1
        self.step += 1
        if self.step < interval:
            return
        self.step, self.slot, self.turn = 0, self.slot + 1, self.turn + 1
        if self.turn == self.turns(now):
            self.turn, self.round = 0, self.round + 1
        if self.slot == now.slots:
            if now.release_frame:
                self.free.append(t + self.latencies.read + 1)
            self.step_to(now.next, t)

    def row(self, now: Instruction) -> tuple[int, int]:
        """Groups and cycles of a row of the slot."""
        if not self.design.by_gate:
            return now.groups, now.interval
        if self.round == 0 and now.opening:
            return now.opening_groups[self.turn], now.opening_intervals[self.turn]
        return now.turn_groups[self.turn], now.turn_intervals[self.turn]

    def turns(self, now: Instruction) -> int:
        """Slots of the round."""
        return now.opening if self.round == 0 and now.opening else now.last_turn + 1

    def step_to(self, address: int, t: int) -> None:
        self.pc, self.at = address, max(t + 1, self.at + Controller.fetch)
        self.started = False
        self.hold = t + 1 + self.random.randint(0, self.world.stall)

    def may_start(self, now: Instruction, t: int) -> bool:
        if self.design.deep and t == self.at:
            return False  # what is registered tells of the instruction before
        there = self.taken < len(self.ready) and self.ready[self.taken] <= t
        self.tried += now.frame == Frame.TRY
        if now.frame == Frame.TRY and not there:
            self.missed += 1
            self.pc, self.at = now.other, t + 1 + Controller.fetch
            return False
        back = self.offered[2] if now.advance else self.back
        flying = self.known if self.design.deep else self.flying
        free = flying <= now.leads[back - 1]
        return (there or not now.frame) and free and (not now.emit or t >= self.hold)

    @property
    def offered(self) -> tuple[bool, int, int]:
        """First, context, and how far back its last frame is, of the frame taken."""
        first, context = self.world.frames[self.taken - 1]
        most = self.design.frames_back
        past = self.past[: most - 1]
        return first, context, most if first or context not in past else past.index(context) + 1

    def begin(self, now: Instruction) -> None:
        """A pass starts."""
        self.started = True
        self.slot = self.step = self.turn = self.round = self.dealt = self.words_read = 0
        self.taken += now.frame != Frame.NONE
        if now.advance:
            self.steps[self.context] = self.current
            self.first, self.context, self.back = self.offered
            self.past = [self.context, *self.past][:8]
            self.current += 1
            assert self.taken == self.current + 1  # the frame taken last, and each in turn
            self.phases[self.context] = 1 - self.phases.get(self.context, 0)
        self.flying += now.beats if now.sink != Sink.PARK else 0

    def region(self, kind: Place, given: int, span: int) -> int:
        """The controller's address."""
        phase = self.phases.get(self.context, 0) ^ (kind == Place.OLD)
        if kind in (Place.OLD, Place.NEW):
            return given | (2 * self.context + phase) << span
        frame = self.regions.frames[(self.taken - 1) % 2]
        return given | (frame if kind == Place.FRAME else 0)

    def reads(self, now: Instruction) -> int | None:
        """What the pass must find; None if it is taken as zero."""
        matrix, layer = self.role(now)
        if now.source_kind == Place.FRAME:
            return self.version("frame", self.taken - 1)
        if now.source_kind == Place.OLD:
            before = self.steps.get(self.context, -1)
            step = before if before >= 0 else ("given", self.context)
            return None if self.first else self.version("state", layer, step)
        if now.source_kind == Place.FIXED:
            return self.version("hidden" if matrix == "hr" else "reset", layer, self.current)
        return self.version("state", layer - (matrix == "ih"), self.current)

    def issue(self, now: Instruction, slot: int, step: int, t: int) -> None:
        """A group: what it reads, and at the row's ends where sums come from and go."""
        matrix, layer = self.role(now)
        address = now.matrix + self.words_read
        self.addresses.append(address)
        frame = self.taken - 1 if now.source_kind == Place.FRAME else self.current
        self.issued[frame, matrix, layer, now.slot + slot, address] += 1
        expected = self.reads(now)
        if expected is not None:
            base = self.region(now.source_kind, now.source, now.source_span)
            where = t, self.pc, matrix, layer, frame
            self.reading[t + self.latencies.read] = base, address, expected, where
        if step == 0 and now.parked:
            assert self.parked.pop(now.slot + slot) == (layer, frame)
        last = step == self.row(now)[0] - 1
        if last and now.sink == Sink.PARK:
            assert now.slot + slot not in self.parked
            self.parked[now.slot + slot] = layer, frame
        if last and now.sink != Sink.PARK:
            self.deal(now, layer, t)

    def deal(self, now: Instruction, layer: int, t: int) -> None:
        """The results of a slot on their way: each row's, or with the last those of whole units."""
        design, units = self.design, now.sink == Sink.UNITS
        done, turns = t + self.latencies.row, self.turns(now)
        per_slot = design.units_per_slot if units else design.results_per_slot
        kept = units and design.by_gate and design.cell == "lstm"
        if kept and self.turn < turns - 1:
            return
        assert done >= self.free_at  # the results before have been dealt
        latency = self.latencies.lane(now.sink)
        first, last = self.dealt, self.dealt + per_slot * (turns if kept else 1)
        beats = range(first, min(now.beats, last))
        self.free_at = done + len(beats)
        if self.turn < turns - 1:
            return  # of a gate that stays in the lanes
        self.dealt = last
        for beat in beats:
            at = done + beat - first
            home = at + home_delay(design, latency)
            assert home not in self.homes  # one pulse would count for two
            self.homes.add(home)
            if units:
                looks = {"lstm": self.cell, "gru0": self.reset_first}
                if look := looks.get(design.cell):
                    look(now, beat, at)
            if now.write:
                self.write(now, layer, beat, at + latency + 1)
            if now.emit:
                leaves = at + (latency if units else projector_exact(design))
                assert leaves not in self.out
                kind = "states" if units else "output" if now.write else "linear"
                self.out[leaves] = (self.current, kind, self.part.layers[layer], beat)

    def write(self, now: Instruction, layer: int, beat: int, at: int) -> None:
        """A beat at the write port."""
        assert at not in self.port
        lanes = self.design.units if now.sink == Sink.UNITS else self.design.projectors
        place, bank = divmod(beat * lanes, self.design.lanes)
        base = self.region(now.target_kind, now.target, now.target_span) | place
        fixed = "reset" if self.image.design.cell == "gru0" else "hidden"
        kind = fixed if now.target_kind == Place.FIXED else "state"
        self.port[at] = (base, bank + np.arange(lanes), self.version(kind, layer, self.current))

    def cell(self, now: Instruction, beat: int, at: int) -> None:
        """The cell memory gives the state of the context's step before, and takes the new one."""
        history = self.cells.setdefault((now.bias + beat, self.context), [(-1, -1)])
        read = at + ElementwiseLane.gates_delay(self.design) - 1
        known = [frame for when, frame in history if when < read]
        if not self.first:
            assert known[-1] == self.steps.get(self.context, -1)
        history.append((at + ElementwiseLane.cell_delay(self.design), self.current))

    def reset_first(self, now: Instruction, beat: int, at: int) -> None:
        """Rows r and n find the state of the step before, rows n find z of their own step."""
        r, z, n = range(3)
        place, gate = now.bias + beat, at + ElementwiseLane.gates_delay(self.design)
        kept = self.cells.setdefault((place, self.context), [(-1, -1)])
        if now.kind in (r, n) and not self.first:
            before = [frame for when, frame in kept if when < gate - 1]
            assert before[-1] == self.steps.get(self.context, -1)
        gates = self.gates.setdefault(place, [])
        if now.kind == z:
            gates.append((gate, self.current))
        if now.kind == n:
            assert [frame for when, frame in gates if when < gate][-1] == self.current
            kept.append((at + self.latencies.lane(Sink.UNITS) - 1, self.current))

    def check_end(self) -> None:
        """Every slot of every matrix once a frame, and everything that leaves in its order."""
        frames = range(len(self.world.frames))
        slots = {key[1:]: n for key, n in self.issued.items() if key[0] == 0}
        assert set(slots.values()) == {1}
        wanted = {(frame, *key): 1 for frame in frames for key in slots}
        done = {key: n for key, n in self.issued.items() if key[0] in frames}
        assert done == wanted
        rows = {address for *_, address in slots}
        assert rows == set(range(min(rows), max(rows) + 1))
        order = [
            (frame, emission.kind, emission.layer, beat)
            for frame in frames
            for emission in self.part.emissions
            for beat in range(emission.placement.beats)
        ]
        assert [self.out[t] for t in sorted(self.out)] == order
        if self.design.streamed:
            each = list(range(min(rows), max(rows) + 1))
            assert self.addresses == (each * len(self.addresses))[: len(self.addresses)]


def used(design: Design, words: Any) -> tuple[IntArray, IntArray]:
    """Banks and indices that a group multiplies by something, in any PE."""
    entries = [
        (lane, word >> lane * design.entry_bits & ((1 << design.entry_bits) - 1))
        for word in words
        for lane in range(design.lanes)
    ]
    mask = (1 << design.value_bits) - 1
    found = sorted({(n, e >> design.value_bits) for n, e in entries if e & mask})
    pairs = np.array(found, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def replay_all(network: Any, role: Any, pick: Any) -> list[Replay]:
    """Every program, with contexts in any order and surroundings of all kinds."""
    found = []
    for number in range(len(network.image.parts)):
        frames = [(pick(0, 3) == 0, pick(0, network.contexts - 1)) for _ in range(pick(2, 6))]
        gap, stall = [0, 0, 5, 60, 400][pick(0, 4)], [0, 0, 30, 200][pick(0, 3)]
        dry = [0.0, 0.1, 0.5, 0.9][pick(0, 3)] * network.image.design.streamed
        world = World(frames, pick(0, 9999), gap, stall, dry)
        found.append(Replay(network.image, number, world, role).run())
    return found


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize("streamed", [False, True], ids=["on chip", "streamed"])
@settings(max_examples=40, deadline=None, suppress_health_check=QUIET, derandomize=True)
@given(data=st.data())
def test_random_networks_in_random_worlds(
    draw: Any, role: Any, streamed: bool, data: st.DataObject
) -> None:
    in_a_random_world(draw, role, data, streamed=streamed)


@settings(max_examples=20, deadline=None, suppress_health_check=QUIET, derandomize=True)
@given(data=st.data())
def test_random_networks_whose_reset_comes_first(draw: Any, role: Any, data: st.DataObject) -> None:
    in_a_random_world(draw, role, data, cell="gru0", streamed=data.draw(st.booleans()))


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru0"])
@settings(max_examples=12, deadline=None, suppress_health_check=QUIET, derandomize=True)
@given(data=st.data())
def test_random_networks_with_k_per_gate(
    draw: Any, role: Any, cell: str, data: st.DataObject
) -> None:
    in_a_random_world(draw, role, data, cell=cell, by_gate=True, streamed=data.draw(st.booleans()))


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru0"])
@settings(max_examples=12, deadline=None, suppress_health_check=QUIET, derandomize=True)
@given(data=st.data())
def test_random_networks_on_uneven_arrays(
    draw: Any, role: Any, cell: str, data: st.DataObject
) -> None:
    """Idle PEs, more lanes than banks, many contexts."""
    in_a_random_world(draw, role, data, cell=cell, uneven=True)


def in_a_random_world(draw: Any, role: Any, data: st.DataObject, **fixed: Any) -> None:
    def pick(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    network = draw(pick, **fixed)
    for replay in replay_all(network, role, pick):
        event("late" if replay.missed else "never late")


@pytest.mark.slow
@pytest.mark.parametrize("streamed", [False, True], ids=["on chip", "streamed"])
@pytest.mark.parametrize("cell", ["lstm", "gru0"])
@pytest.mark.parametrize("block", range(10))
def test_many_random_networks(
    seeded: Any, role: Any, streamed: bool, cell: str, block: int
) -> None:
    for seed in range(100 * block, 100 * block + 100):
        network, pick = seeded(seed, streamed=streamed, cell=cell)
        replay_all(network, role, pick)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru", "gru0"])
@pytest.mark.parametrize("block", range(4))
def test_many_random_networks_with_k_per_gate(
    seeded: Any, role: Any, cell: str, block: int
) -> None:
    for seed in range(100 * block, 100 * block + 100):
        network, pick = seeded(seed, streamed=seed % 3 == 0, cell=cell, by_gate=True)
        replay_all(network, role, pick)


@pytest.mark.parametrize("padded", [False, True], ids=["slots of one gate", "padded"])
def test_rows_of_fewer_weights_do_not_read_too_early(seeded: Any, role: Any, padded: bool) -> None:
    """Their first groups read places that the first groups of full rows do not."""
    images = [seeded(seed, by_gate=True, padded=padded)[0].image for seed in range(12)]
    assert any(image.design.by_gate for image in images) != padded
    for image in images:
        Replay(image, 0, FOUR, role).run()


@pytest.mark.parametrize("contexts", [False, True], ids=["one context", "interleaved"])
@pytest.mark.parametrize("gap", [0, 40, 400])
def test_the_fast_and_the_late_path_are_taken(
    seeded: Any, role: Any, gap: int, contexts: bool
) -> None:
    tried = missed = 0
    for seed in range(8):
        network, _ = seeded(seed, directions=1, layers=1 + seed % 3)
        streams = network.contexts if contexts else 1
        frames = [(n < streams, n % streams) for n in range(10)]
        replay = Replay(network.image, 0, World(frames, seed, gap), role).run()
        tried, missed = tried + replay.tried, missed + replay.missed
    assert tried > missed
    assert gap == 0 or missed


@pytest.mark.parametrize("more", [{}, {"layers": 2}, {"directions": 2}], ids=str)
def test_projections_in_two_passes(make_network: Any, role: Any, more: dict[str, Any]) -> None:
    """First groups of all rows do not wait for the last places, and are parked where none is."""
    network = {"hidden_size": 24, "projection": 22, "k": (1, 2, 5)} | more
    options = {"shallow": True, "projectors": 8}
    image = make_network(3, (8, 4), options=options, **network).image
    assert {p.skips for part in image.parts for p in part.whole} > {0}
    for number in range(len(image.parts)):
        for gap in (0, 5, 60):
            frames = [(n % 3 == 0, 0) for n in range(5)]
            Replay(image, number, World(frames, gap, gap), role).run()


def test_a_projection_stays_whole_where_that_is_as_early(make_network: Any) -> None:
    for options in ({"projectors": 8}, {"shallow": True, "projectors": 1}):
        network = {"hidden_size": 24, "projection": 22, "k": (1, 2, 5)}
        image = make_network(3, (8, 4), options=options, **network).image
        assert {p.skips for p in image.parts[0].whole} == {0}


def test_sums_that_would_meet_are_found(make_network: Any) -> None:
    network = {"hidden_size": 24, "projection": 22, "k": (1, 2, 5)}
    image = make_network(3, (8, 4), options={"shallow": True, "projectors": 8}, **network).image
    frame = image.parts[0].passes
    begun = next(n for n, p in enumerate(frame) if p.sink == Sink.PARK and p.matrix == "weight_hr")
    entry = tuple(p for p in image.parts[0].whole if p.reads[0] == "frame")
    assert not parks_meet(Order(entry, frame, ()))
    moved = frame[begun].at(slot=frame[begun].instruction.slot - 1)
    assert not parks_meet(Order((), frame[begun : begun + 2], ()))
    assert parks_meet(Order((), (frame[begun], moved), ()))


FOUR = World([(n == 0, 0) for n in range(4)], limit=3000)


def test_the_replay_finds_leads_that_are_too_long(seeded: Any, role: Any) -> None:
    """A checker that cannot fail proves nothing."""
    broken = 0
    for seed in range(12):
        image = seeded(seed)[0].image
        program = tuple(replace(now, lead=now.lead + 2) for now in image.program)
        try:
            Replay(replace(image, program=program), 0, FOUR, role).run()
        except AssertionError:
            broken += 1
    assert broken >= 6


CHANGES: list[dict[str, Any]] = [
    {"slots": 1},
    {"source_kind": Place.NEW},
    {"target_kind": Place.OLD},
    {"advance": False},
    {"parked": False},
    {"emit": False},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_the_replay_finds_a_wrong_instruction(
    seeded: Any, role: Any, change: dict[str, Any]
) -> None:
    image = seeded(2, layers=1, directions=1, projection=False)[0].image
    at = next(n for n, now in enumerate(image.program) if now.recurrent and now.slots > 1)
    program = list(image.program)
    program[at] = replace(program[at], **change)
    with pytest.raises((AssertionError, ValueError)):  # ValueError: reads from no region
        Replay(replace(image, program=tuple(program)), 0, FOUR, role).run()
