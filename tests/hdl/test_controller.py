"""Controller: every output in every cycle of random programs, predicted from what it waits for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Elaboratable, Module

from csb_format.design import MAX_ALIGN, Design
from hdl.controller import Controller
from hdl.hierarchy import Hierarchy, Ram
from hdl.program import Instruction, Op

UNKNOWN = 3  # an operation code that does not exist
BOOT = Controller.fetch  # cycles from reset to the first instruction
Condition = dict[str, int]


class Machine(Elaboratable):
    """A controller, its program, and random events around it."""

    def __init__(self, design: Design, words: list[int], share: dict[str, float] | None = None):
        self.design, self.rng = design, np.random.default_rng(0)
        self.share = {"frame_ready": 1.0, "room": 1.0, "finishing": 1.0} | (share or {})
        self.controller = Controller(design)
        width = self.controller.instruction.shape().size
        depth = design.program_depth
        self.program = Ram(width, depth, hierarchy=Hierarchy(), init=words)
        self.conditions: list[Condition] = []
        self.seen: list[dict[str, Any]] = []
        self.unfinished = False  # an element-wise pass whose `finishing` has not come

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.controller = controller = self.controller
        m.submodules.program = program = self.program
        m.d.comb += [
            program.read_addr.eq(controller.pc),
            controller.instruction.eq(program.read_data),
        ]
        return m

    def draw(self, restart: int | None) -> Condition:
        chances = {name: int(self.rng.random() < share) for name, share in self.share.items()}
        most = self.design.output_depth
        return {
            "frame_ready": chances["frame_ready"],
            "frame_first": int(self.rng.integers(2)),
            "room": most if chances["room"] else int(self.rng.integers(most)),
            "finishing": int(self.unfinished and chances["finishing"]),
            "restart": int(restart is not None),
            "restart_pc": restart or 0,
        }

    async def cycle(self, ctx: Any, restart: int | None = None, **fixed: int) -> dict[str, Any]:
        """One cycle under random conditions, except for the ``fixed`` ones."""
        ports = self.controller
        now = self.draw(restart) | fixed
        for name, value in now.items():
            ctx.set(getattr(ports, name), value)
        seen = {name: ctx.get(getattr(ports, name)) for name in OUTPUTS}
        last = seen["group"].valid and seen["group"].last and seen["slot_last"]
        if now["finishing"]:
            self.unfinished = False
        if last and not seen["group"].park:
            self.unfinished = True
        await ctx.tick()
        self.conditions.append(now)
        self.seen.append(seen)
        return seen


OUTPUTS = [
    *("frame_take", "frame_release", "frame_beats", "frame_bases", "address", "group"),
    "aligns",
    *("slot_first", "slot_last", "update", "promise", "halted", "fault"),
]


def predict(program: list[Instruction], conditions: list[Condition]) -> list[dict[str, Any]]:
    """What must happen: the events of every cycle, from the conditions that it ran under."""
    cycles = len(conditions)
    events: list[dict[str, Any]] = [{} for _ in range(cycles)]
    address, at, first, since = 0, BOOT, 0, -1  # since: start of the pass not finished yet
    while at < cycles:
        now, end = program[address], at
        if now.op == Op.HALT:
            for t in range(at, cycles):
                events[t]["halted"] = True
            break
        if now.op == Op.SETUP:
            events[at]["setup"] = (now.frame_beats, now.frame_bases)
        if now.op == Op.PASS:
            ready = (t for t in range(at, cycles) if may_start(now, conditions, t, since))
            start = next(ready, cycles)
            if start == cycles:
                break
            zero = first and now.elementwise
            first = conditions[start]["frame_first"] if now.wait_frame else first
            end = add_pass(events, now, start, int(zero))
            since = start if now.elementwise else since
        address, at = now.next, max(end + 1, at + Controller.fetch)
    return events


def may_start(now: Instruction, conditions: list[Condition], at: int, since: int) -> bool:
    """Whether everything is there that a pass waits for."""
    finished = since < 0 or any(c["finishing"] for c in conditions[since + 1 : at])
    frame = bool(conditions[at]["frame_ready"]) or not now.wait_frame
    room = finished and conditions[at]["room"] >= now.units
    return frame and (room or not now.elementwise)


def add_pass(events: list[dict[str, Any]], now: Instruction, start: int, zero: int) -> int:
    """Note all events of a pass; its last cycle."""
    end = start + now.slots * now.interval - 1
    for slot in range(now.slots):
        for step in range(now.groups):
            at = start + slot * now.interval + step
            if at < len(events):
                events[at]["group"] = group_of(now, slot, step, zero)
    events[start]["take"] = now.wait_frame
    events[start]["promise"] = now.units if now.elementwise else 0
    if now.elementwise and start + 1 < len(events):
        update = {"zero": zero, "units": now.units, "base": now.target, "shift": now.shift}
        events[start + 1]["update"] = update
    if end < len(events):
        events[end]["release"] = now.release_frame
    return end


def group_of(now: Instruction, slot: int, step: int, zero: int) -> dict[str, Any]:
    group: dict[str, Any] = {
        "address": now.matrix + slot * now.groups + step,
        "first": step == 0,
        "last": step == now.groups - 1,
        "parked": now.parked,
        "park": not now.elementwise,
        "zero": zero,
        "base": now.source,
        "slot": slot,
        "aligns": now.align,
    }
    if step == now.groups - 1:
        group |= {"slot_first": slot == 0, "slot_last": slot == now.slots - 1}
    return {k: v if isinstance(v, tuple) else int(v) for k, v in group.items()}


def compare(seen: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    """All outputs of all cycles against the prediction."""
    update: dict[str, int] = {}
    setup: tuple[int, tuple[int, int]] = (0, (0, 0))
    for t, (out, event) in enumerate(zip(seen, events, strict=True)):
        assert out["group"].valid == ("group" in event), t
        assert seen_group(out, event.get("group", {})) == event.get("group", {}), t
        assert out["frame_take"] == event.get("take", 0), t
        assert out["frame_release"] == event.get("release", 0), t
        assert out["promise"] == event.get("promise", 0), t
        assert out["halted"] == ("halted" in event), t
        update = event.get("update", update)
        assert {name: plain(out["update"][name]) for name in update} == update, t
        assert (out["frame_beats"], tuple(out["frame_bases"])) == setup, t
        setup = event.get("setup", setup)
        assert not out["fault"], t


def plain(value: Any) -> Any:
    """A number, or the numbers of an array."""
    return value if isinstance(value, int) else tuple(value)


def seen_group(out: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    own = ("address", "aligns", "slot_first", "slot_last")
    return {name: plain(out[name] if name in own else out["group"][name]) for name in like}


def random_pass(rng: np.random.Generator, design: Design, elementwise: bool) -> Instruction:
    """A pass whose fields use their whole ranges."""
    groups = int(rng.integers(1, design.row_groups + 1))
    slots = int(rng.integers(1, min(design.slots, design.matrix_depth // groups) + 1))
    longest = max(design.row_groups, design.units_per_slot)
    vector = design.vector_depth - 1
    return Instruction(
        Op.PASS,
        wait_frame=not elementwise and bool(rng.integers(2)),
        release_frame=bool(rng.integers(2)),
        elementwise=elementwise,
        parked=bool(rng.integers(2)),
        slots=slots,
        groups=groups,
        interval=int(rng.integers(groups, longest + 1)),
        matrix=int(rng.integers(design.matrix_depth - slots * groups + 1)),
        source=int(rng.integers(vector + 1)),
        align=tuple(rng.integers(MAX_ALIGN + 1, size=4).tolist()),
        target=int(rng.integers(vector + 1)),
        units=int(rng.integers(1, min(design.cells, design.output_depth) + 1)),
        shift=tuple(rng.integers(64, size=4).tolist()),
    )


def random_program(rng: np.random.Generator, design: Design) -> list[Instruction]:
    """SETUP and passes in a random order of addresses, running round and round."""
    vector = design.vector_depth
    bases = tuple(int(v) for v in rng.integers(0, vector, 2))
    setup = Instruction(Op.SETUP, frame_beats=int(rng.integers(1, vector)), frame_bases=bases)  # type: ignore[arg-type]
    passes = [random_pass(rng, design, bool(rng.random() < 0.6)) for _ in range(6)]
    code = [setup, *passes]
    places = [0, *(1 + rng.permutation(len(passes))).tolist()]
    program = [Instruction()] * design.program_depth
    for i, instruction in enumerate(code):
        following = places[i + 1] if i + 1 < len(code) else places[1]
        program[places[i]] = replaced(instruction, following)
    return program


def replaced(instruction: Instruction, following: int) -> Instruction:
    return Instruction(**(vars(instruction) | {"next": following}))


def words_of(program: list[Instruction], design: Design) -> list[int]:
    return [instruction.encode(design) for instruction in program]


SHARES: dict[str, dict[str, float]] = {
    "free": {},
    "few frames": {"frame_ready": 0.05},
    "slow lanes": {"finishing": 0.05},
    "little room": {"room": 0.05},
    "all": {"frame_ready": 0.2, "finishing": 0.2, "room": 0.2},
}


@pytest.mark.parametrize("share", SHARES.values(), ids=SHARES)
def test_random_programs(run: Any, design: Design, share: dict[str, float]) -> None:
    rng = np.random.default_rng(7)
    program = random_program(rng, design)
    machine = Machine(design, words_of(program, design), share)

    async def bench(ctx: Any) -> None:
        for _ in range(700):
            await machine.cycle(ctx)

    run(machine, bench)
    events = predict(program, machine.conditions)
    assert sum("promise" in event for event in events) >= 10  # passes that started
    compare(machine.seen, events)


def plain_pass(following: int, cycles: int = 1, **fields: Any) -> Instruction:
    return Instruction(Op.PASS, following, slots=1, groups=cycles, interval=cycles, **fields)


def issues(machine: Machine) -> list[int]:
    return [t for t, out in enumerate(machine.seen) if out["group"].valid]


SMALL = Design(4, 2, 1, 8, 16, 8, 4, 6, 6, 1, 8, 8, program_depth=8)


@pytest.mark.parametrize("cycles", [1, 2, 3, 4, 8])
def test_passes_as_long_as_a_fetch_have_no_gap_between_them(run: Any, cycles: int) -> None:
    program = [plain_pass(1, cycles), plain_pass(0, cycles)]
    machine = Machine(SMALL, words_of(program, SMALL))

    async def bench(ctx: Any) -> None:
        for _ in range(60):
            await machine.cycle(ctx)

    run(machine, bench)
    period = max(cycles, Controller.fetch)
    expected = [t for t in range(BOOT, 60) if (t - BOOT) % period < cycles]
    assert issues(machine) == expected
    assert Controller.fetch == 3


WAITS = {
    "frame_ready": (0, 1, {"wait_frame": True}),
    "room": (4, 5, {"elementwise": True, "units": 5}),
}


@pytest.mark.parametrize(("condition", "wait"), WAITS.items(), ids=WAITS)
def test_a_pass_waits_until_it_may_start(
    run: Any, condition: str, wait: tuple[int, int, dict[str, Any]]
) -> None:
    missing, there, fields = wait
    machine = Machine(SMALL, words_of([plain_pass(1, 3, **fields), Instruction()], SMALL))

    async def bench(ctx: Any) -> None:
        for _ in range(20):
            await machine.cycle(ctx, **{condition: missing})
        await machine.cycle(ctx, **{condition: there})
        for _ in range(9):  # a pass that has started does not ask again
            await machine.cycle(ctx, **{condition: missing})

    run(machine, bench)
    assert issues(machine) == [20, 21, 22]
    assert machine.seen[-1]["halted"]


def test_an_elementwise_pass_waits_for_the_one_before(run: Any) -> None:
    rows = {"elementwise": True, "units": 1}
    program = [plain_pass(1, 4, **rows), plain_pass(2, 4), plain_pass(3, 4, **rows), Instruction()]
    machine = Machine(SMALL, words_of(program, SMALL))

    async def bench(ctx: Any) -> None:
        for t in range(60):
            await machine.cycle(ctx, finishing=int(t == 40))

    run(machine, bench)
    # the pass between them does not wait, the third starts in the cycle after `finishing`
    assert issues(machine) == [*range(BOOT, BOOT + 8), 41, 42, 43, 44]


@pytest.mark.parametrize("address", [0, 3])
def test_halts_until_it_is_restarted(run: Any, address: int) -> None:
    program = [plain_pass(1, 4), Instruction(), Instruction(), plain_pass(1, 2)]
    machine = Machine(SMALL, words_of(program, SMALL))

    async def bench(ctx: Any) -> None:
        while not (await machine.cycle(ctx))["halted"]:
            pass
        for _ in range(10):
            assert (await machine.cycle(ctx))["halted"]
        await machine.cycle(ctx, restart=address)
        for _ in range(20):
            await machine.cycle(ctx)

    run(machine, bench)
    again = BOOT + 4 + 11 + 1 + Controller.fetch  # halted, eleven cycles of it, restart, fetch
    assert issues(machine) == [
        *range(BOOT, BOOT + 4),
        *range(again, again + 4 - 2 * (address == 3)),
    ]
    assert machine.seen[-1]["halted"]
    assert not machine.seen[again]["halted"]


def test_restart_leaves_a_pass_that_waits_for_a_frame(run: Any) -> None:
    program = [plain_pass(0, 4, wait_frame=True), plain_pass(2, 5), Instruction()]
    machine = Machine(SMALL, words_of(program, SMALL), {"frame_ready": 0.0})

    async def bench(ctx: Any) -> None:
        for t in range(40):
            await machine.cycle(ctx, restart=1 if t == 15 else None)

    run(machine, bench)
    start = 15 + 1 + Controller.fetch
    assert issues(machine) == list(range(start, start + 5))


def test_unknown_operation_is_a_fault_until_a_restart(run: Any) -> None:
    words = words_of([plain_pass(1, 3), Instruction(), plain_pass(3, 4), Instruction()], SMALL)
    words[1] |= UNKNOWN
    machine = Machine(SMALL, words)

    async def bench(ctx: Any) -> None:
        for t in range(60):
            await machine.cycle(ctx, restart=2 if t == 30 else None)

    run(machine, bench)
    assert [out["fault"] for out in machine.seen] == [BOOT + 3 < t <= 30 for t in range(60)]
    start = 31 + Controller.fetch
    assert issues(machine) == [*range(BOOT, BOOT + 3), *range(start, start + 4)]
    assert [t for t, out in enumerate(machine.seen) if out["halted"]] == list(range(start + 4, 60))


def test_restart_takes_no_frame_before_the_next_setup(run: Any) -> None:
    setup = Instruction(Op.SETUP, 1, frame_beats=3, frame_bases=(0, 4))
    program = [setup, Instruction(), Instruction(), replaced(setup, 1)]
    machine = Machine(SMALL, words_of(program, SMALL))

    async def bench(ctx: Any) -> None:
        for t in range(30):
            await machine.cycle(ctx, restart=3 if t == 15 else None)

    run(machine, bench)
    again = 15 + 1 + Controller.fetch
    expected = [3 * (BOOT < t <= 15 or t > again) for t in range(30)]
    assert [out["frame_beats"] for out in machine.seen] == expected


def test_memory_that_was_never_loaded_halts(run: Any) -> None:
    machine = Machine(SMALL, [])

    async def bench(ctx: Any) -> None:
        for _ in range(20):
            await machine.cycle(ctx)

    run(machine, bench)
    assert [out["halted"] for out in machine.seen] == [t >= BOOT for t in range(20)]
