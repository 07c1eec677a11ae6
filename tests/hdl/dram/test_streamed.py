"""A streamed matrix behind a late memory: every group, every cycle, every error, every abort."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.array.design import Design
from csb_format.scales import DesignError
from hdl.dram.matrix import MatrixImage, StreamedMatrix, lay_out
from hdl.dram.reader import ReadBus
from hdl.read_port import BOUNDARY
from sim.axi_memory import AxiMemory, Lateness
from sim.dram.stream_bench import GroupTaker, run_stream, simulate_stream
from sim.dram.stream_cycles import Pause, bursts, no_pause, stream_cycles
from sim.run.pysim import BlockPorts

# M, N, E; index and value bits: groups of 20, 96, 112, 384 and 1,088 bits
SHAPES = [(4, 1, 1, 1, 4), (8, 2, 1, 2, 4), (4, 2, 1, 2, 12), (8, 4, 1, 4, 8), (16, 4, 1, 1, 16)]
BASE = 3 * BOUNDARY


def small_design(pes: int, lanes: int, units: int, index: int, value: int) -> Design:
    return Design(pes, lanes, units, 4, 8, 16, 2, 8, 8, index, value, 8)


def random_image(design: Design, bus: ReadBus, groups: int, seed: int) -> MatrixImage:
    rng = np.random.default_rng(seed)
    size, mask = -(-design.word_bits // 8), (1 << design.word_bits) - 1
    words = [
        [int.from_bytes(rng.bytes(size)) & mask for _ in range(design.pes)] for _ in range(groups)
    ]
    return lay_out(words, design, bus.data_bits)


def passes(length: int, pause: int) -> Pause:
    """A program: so many groups one a cycle, then so many cycles for nothing."""
    return lambda group: pause if group % length == 0 else 0


@st.composite
def buses(draw: st.DrawFn) -> ReadBus:
    data_bits = draw(st.sampled_from([64, 128, 256, 512]))
    burst = 1 << draw(st.integers(0, 4))
    fifo = max(2, burst << draw(st.integers(0, 3)))
    return ReadBus(data_bits, draw(st.integers(15, 40)), burst, draw(st.integers(1, 6)), fifo)


@st.composite
def latenesses(draw: st.DrawFn) -> Lateness:
    low = draw(st.integers(1, 30))
    shares = st.sampled_from([0.0, 0.3, 0.7])
    seed = draw(st.integers(0, 999))
    return Lateness((low, low + draw(st.integers(0, 40))), draw(shares), draw(shares), seed)


@settings(max_examples=25)
@given(
    shape=st.sampled_from(SHAPES),
    bus=buses(),
    late=latenesses(),
    groups=st.integers(1, 12),
    first_beat=st.integers(0, 70),
    rows=st.sampled_from([4, 8]),
    pause=st.tuples(st.integers(1, 5), st.sampled_from([0, 0, 3, 40])),
    hold=st.sampled_from([0, 0, 1, 7]),
)
def test_every_group_comes_when_the_model_says(
    shape: tuple[int, ...],
    bus: ReadBus,
    late: Lateness,
    groups: int,
    first_beat: int,
    rows: int,
    pause: tuple[int, int],
    hold: int,
) -> None:
    design = small_design(*shape)
    image = random_image(design, bus, groups, seed=groups)
    base, frames = BASE + first_beat * bus.beat_bytes, 3
    memory = AxiMemory(bus, image.data, base, late)
    taker = GroupTaker(image, passes(*pause), lambda group: hold)
    simulate_stream(StreamedMatrix(design, bus, rows), memory, taker, frames)
    assert taker.wrong == []
    assert memory.traffic.violations == []
    wanted = list(bursts(bus, base, image.length)) * (frames + 1)
    seen = memory.traffic.bursts
    assert seen[: len(wanted)] == wanted[: len(seen)]
    model = stream_cycles(
        bus, image, frames, rows=rows, base=base, lateness=late, pause=passes(*pause),
        hold=lambda group: hold,
    )  # fmt: skip
    assert taker.cycles == model.taken
    assert memory.traffic.arrived[: len(model.arrived)] == model.arrived


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize(
    "bus",
    [ReadBus(64, 32, 8, 8, 64), ReadBus(128, 32, 4, 4, 64), ReadBus(512, 32, 4, 6, 32)],
    ids=["places", "bursts", "512 bits"],
)
def test_a_beat_a_cycle_up_to_the_covered_latency(bus: ReadBus, late: int) -> None:
    design = small_design(16, 4, 1, 1, 16)
    image = random_image(design, bus, 32, seed=5)  # a whole number of bursts
    latency = bus.covered_latency + late
    memory = AxiMemory(bus, image.data, BASE, Lateness((latency, latency)))
    taker = GroupTaker(image)
    simulate_stream(StreamedMatrix(design, bus), memory, taker, 3)
    arrived = memory.traffic.arrived
    lost = arrived[-1] - arrived[0] + 1 - len(arrived)
    assert (lost > 0) == bool(late)
    assert arrived[0] == 3 + latency
    assert taker.cycles[-1] == arrived[3 * image.beats - 1] + StreamedMatrix.latency


def test_pauses_between_passes_cost_the_bus_nothing() -> None:
    design, bus = small_design(16, 4, 1, 1, 16), ReadBus(256, 32, 8, 8, 128)
    image = random_image(design, bus, 24, seed=6)  # 4.25 beats a group
    memory = AxiMemory(bus, image.data, BASE, Lateness((5, 25), gaps=0.2, seed=3))
    taker = GroupTaker(image, passes(24, 40))
    simulate_stream(StreamedMatrix(design, bus), memory, taker, 4)
    still = stream_cycles(
        bus, image, 4, base=BASE, lateness=Lateness((5, 25), gaps=0.2, seed=3), pause=no_pause
    )
    assert memory.traffic.arrived[: len(still.arrived)] == still.arrived


class Session:
    """A streamed matrix, its memory, and a hand on the controls."""

    def __init__(self, seed: int = 1, data_bits: int = 64, **memory: Any):
        self.design, self.bus = small_design(4, 2, 1, 2, 12), ReadBus(data_bits, 32, 8, 4, 32)
        self.block = StreamedMatrix(self.design, self.bus, 4)
        self.image = random_image(self.design, self.bus, 30, seed)
        late = Lateness((3, 25), 0.4, 0.2, seed)
        self.memory = AxiMemory(self.bus, self.image.data, BASE, late, **memory)
        self.ports: Any = None

    def get(self, name: str) -> int:
        return int(self.ports.get(name))

    def set(self, name: str, value: int) -> None:
        self.ports.set(name, value)

    async def settle(self) -> None:
        pass

    async def tick(self) -> None:
        await self.ports.tick()

    async def idle(self, cycles: int, ready: int = 0) -> None:
        """Let the memory go on, from the cycle it has reached."""
        self.set("matrix__ready", ready)
        for _ in range(cycles):
            self.memory.step(self, self.cycle)
            await self.tick()
            self.cycle += 1
            self.set("start", 0)
            self.set("stop", 0)

    async def frames(self, count: int, taker: GroupTaker | None = None) -> GroupTaker:
        """A job from its start."""
        taker = taker or GroupTaker(self.image)
        self.set("matrix__ready", 0)
        self.cycle += await run_stream(self, _From(self.memory, self.cycle), taker, count, 5_000)
        return taker

    @property
    def errors(self) -> dict[str, int]:
        bits = self.get("errors")
        return {n: bits >> i & 1 for i, n in enumerate(["slave", "decode", "protocol", "setup"])}

    def play(self, run: Any, script: Any) -> None:
        async def bench(context: Any) -> None:
            self.ports, self.cycle = BlockPorts(self.block, context), 0
            await script(self)

        run(self.block, bench)


class _From(AxiMemory):
    """The same memory for a job that counts its cycles from 0."""

    def __init__(self, memory: AxiMemory, start: int):
        self.memory, self.start, self.base = memory, start, memory.base

    def step(self, ports: Any, cycle: int) -> None:
        self.memory.step(ports, self.start + cycle)


CLEAN = {"slave": 0, "decode": 0, "protocol": 0, "setup": 0}


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 5, 9, 17, 30, 61])
@pytest.mark.parametrize("how", ["stop", "start"])
def test_an_abort_drains_and_the_next_job_runs_clean(run: Any, after: int, how: str) -> None:
    session = Session(seed=after)

    async def script(s: Session) -> None:
        await s.frames(1)
        s.set("start", 1)
        await s.idle(1 + after, ready=after % 2)
        if how == "stop":
            s.set("stop", 1)
            await s.idle(1)
            assert s.get("running") == 0
            assert s.get("matrix__valid") == 0
            await s.idle(300)
            assert s.get("busy") == 0
            assert s.get("m_axi_arvalid") == 0
            counted = sum(beats for _, beats in s.memory.traffic.bursts)
            assert len(s.memory.traffic.arrived) == counted
        taker = await s.frames(2)
        assert taker.wrong == []
        assert s.errors == CLEAN
        assert s.memory.traffic.violations == []

    session.play(run, script)


@pytest.mark.parametrize("after", [4, 7, 12, 20, 33])
@pytest.mark.parametrize(("first", "second"), [(30, 7), (2, 30), (1, 2), (5, 1)])
def test_a_start_may_change_the_image(run: Any, after: int, first: int, second: int) -> None:
    """While bursts of the old image are under way, across its end too."""
    session = Session(seed=after)
    old, new = (random_image(session.design, session.bus, n, seed=n) for n in (first, second))
    gap = -len(old.data) % BOUNDARY + 40

    async def script(s: Session) -> None:
        s.image, s.memory.data = old, old.data + bytes(gap) + new.data
        for name, value in (("base", BASE), ("length", old.length), ("start", 1)):
            s.set(name, value)
        await s.idle(after, ready=1)
        place = _From(s.memory, s.cycle)
        place.base += len(old.data) + gap
        taker = GroupTaker(new)
        await run_stream(s, place, taker, 3, 5_000)
        assert taker.wrong == []
        assert s.errors == CLEAN
        assert s.memory.traffic.violations == []

    session.play(run, script)


@pytest.mark.parametrize("name", ["slave", "decode"])
def test_an_error_response_is_noted_and_nobody_waits(run: Any, name: str) -> None:
    bad = BASE + 40
    session = Session(seed=3, broken=lambda a: name == "slave" and a == bad)

    async def script(s: Session) -> None:
        if name == "decode":
            s.memory.data = s.image.data[:40]
        await s.frames(2)
        assert s.errors == CLEAN | {name: 1}
        s.memory.data, s.memory.broken = s.image.data, lambda a: False
        s.set("stop", 1)
        await s.idle(200)
        assert s.errors == CLEAN | {name: 1}  # until the next start
        taker = await s.frames(2)
        assert taker.wrong == []
        assert s.errors == CLEAN

    session.play(run, script)


@pytest.mark.parametrize("values", [{"rlast": 1}, {"rid": 1}, {"rresp": 1}])
def test_a_memory_that_breaks_the_rules_is_noted(run: Any, values: dict[str, int]) -> None:
    session = Session(seed=4)

    async def script(s: Session) -> None:
        answer = s.memory._answer

        def spoiled(ports: Any, cycle: int) -> None:
            answer(ports, cycle)
            if 5 < len(s.memory.traffic.arrived) < 8:
                for name, value in values.items():
                    s.set(f"m_axi_{name}", value)

        s.memory._answer = spoiled  # type: ignore[method-assign]
        taker = await s.frames(1)
        assert taker.wrong == []  # beats are counted
        assert s.errors == CLEAN | {"protocol": 1}

    session.play(run, script)


def test_a_beat_that_nobody_asked_for_is_dropped(run: Any) -> None:
    session = Session(seed=5)

    async def script(s: Session) -> None:
        s.set("m_axi_rvalid", 1)
        await s.tick()
        s.set("m_axi_rvalid", 0)
        await s.tick()
        assert s.errors == CLEAN | {"protocol": 1}
        taker = await s.frames(1)
        assert taker.wrong == []
        assert s.errors == CLEAN

    session.play(run, script)


@pytest.mark.parametrize(
    ("base", "length"),
    [(BASE + 4, 64), (BASE, 60), (BASE, 0), ((1 << 32) - 64, 128), (1 << 31, (1 << 32) - 8)],
    ids=["unaligned", "part of a beat", "empty", "beyond the end", "wraps"],
)
def test_an_impossible_image_is_not_started(run: Any, base: int, length: int) -> None:
    session = Session(seed=6)

    async def script(s: Session) -> None:
        for name, value in (("base", base), ("length", length), ("start", 1)):
            s.set(name, value)
        await s.idle(10)
        assert s.errors == CLEAN | {"setup": 1}
        assert not s.get("busy")
        assert s.memory.traffic.bursts == []
        taker = await s.frames(1)
        assert taker.wrong == []
        assert s.errors == CLEAN

    session.play(run, script)


def test_an_image_may_end_where_the_address_space_does(run: Any) -> None:
    session = Session(seed=7)
    session.memory.base = (1 << 32) - session.image.length

    async def script(s: Session) -> None:
        taker = await s.frames(2)
        assert taker.wrong == []
        assert s.errors == CLEAN

    session.play(run, script)


def test_bits_of_the_image() -> None:
    design = small_design(4, 1, 1, 1, 4)  # words of 5 bits, groups of 20
    image = lay_out([[1, 2, 3, 31], [4, 0, 16, 7]], design, 64)
    first = 1 | 2 << 5 | 3 << 10 | 31 << 15
    second = 4 | 16 << 10 | 7 << 15
    assert int.from_bytes(image.data, "little") == first | second << 20
    assert (image.length, image.beats, image.padding, image.groups) == (8, 1, 24, 2)
    assert [image.group(n) for n in (0, 1)] == [first, second]


def test_groups_lie_without_a_bit_between_them() -> None:
    design = small_design(8, 4, 1, 4, 8)
    image = random_image(design, ReadBus(512), 4, seed=8)
    assert image.length == 4 * 384 // 8
    assert image.padding == 0


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ([], r"the frame issues no group: a streamed matrix needs at least one"),
        ([[1, 2, 3, 4], [1, 2, 3]], r"group 1 has 3 words: must be one for each PE, 4"),
        ([[1, 2, 32, 4]], r"word 0x20 of PE 2 in group 0 must have 5 bits"),
        ([[1, 2, 3, -1]], r"word -0x1 of PE 3 in group 0 must have 5 bits"),
    ],
)
def test_words_that_make_no_image(words: list[list[int]], match: str) -> None:
    with pytest.raises(DesignError, match=match):
        lay_out(words, small_design(4, 1, 1, 1, 4), 64)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"data_bits": 96}, r"data_bits = 96: must be 64, 128, 256 or 512"),
        ({"data_bits": 512, "burst_beats": 128}, r"burst_beats = 128: .* at most 64 at 512 bits"),
        ({"burst_beats": 48}, r"burst_beats = 48: must be a power of two"),
        ({"burst_beats": 512, "data_bits": 64}, r"burst_beats = 512: .* at most 256"),
        ({"fifo_beats": 32}, r"fifo_beats = 32: .* at least max\(2, burst_beats\) = 64"),
        ({"outstanding": 0}, r"outstanding = 0: must be 1 to 256"),
        ({"address_bits": 65}, r"address_bits = 65: must be 13 to 64"),
    ],
)
def test_a_bus_that_cannot_be(values: dict[str, int], match: str) -> None:
    with pytest.raises(DesignError, match=match):
        ReadBus(**values)


@pytest.mark.parametrize("rows", [0, 2, 12])
def test_rows_that_cannot_be(rows: int) -> None:
    with pytest.raises(DesignError, match=rf"rows = {rows}: must be a power of two of at least 4"):
        StreamedMatrix(small_design(4, 1, 1, 1, 4), ReadBus(), rows)
