"""Controller: every output in every cycle of random programs, predicted by a plain model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.array.design import Design, bits_for
from compiler.array.program import Frame, Instruction, Op, Place, Sink
from csb_format.scales import MAX_ALIGN
from hdl.core.controller import Controller

BOOT = Controller.fetch  # cycles from reset to the first instruction
Condition = dict[str, int]


class Model:
    """What the controller must do, cycle by cycle, in plain numbers."""

    def __init__(self, design: Design, program: list[Instruction]):
        self.design, self.program = design, program
        self.pc, self.at, self.step = 0, BOOT, -1  # step: cycles of the pass so far, -1 before
        self.flying, self.buffer, self.fault = 0, 0, 0
        self.known = [False, False]  # in the cycle before: results to wait for, no room
        self.phases = [0] * design.contexts
        self.setup: tuple[int, tuple[int, int]] = (0, (0, 0))
        self.incoming = (0, 0)  # first, context
        self.current = (0, 0, 0, 0)  # first, context, phase, frames back
        self.past = [0] * 8  # contexts of the frames before, the latest first

    def cycle(self, t: int, given: Condition) -> dict[str, Any]:
        """All outputs of a cycle; a restart in it counts from the next on."""
        out: dict[str, Any] = {"setup": self.setup, "fault": self.fault}
        now = self.program[self.pc] if t >= self.at else None
        sent = 0
        if now and now.op == Op.HALT:
            out["halted"] = 1
        if now and now.op == Op.SETUP:
            self.setup = now.frame_beats, now.frame_bases
            self.go_on(now.next, t)
        if now and now.op == Op.PASS:
            sent = self.run_pass(now, t, given, out)
        self.flying += sent - given["home"]
        if given["restart"]:
            self.restart(t, given["restart_pc"])
        return out

    def restart(self, t: int, address: int) -> None:
        self.pc, self.at, self.step = address, t + 1 + Controller.fetch, -1
        self.flying = self.fault = 0
        self.phases, self.current = [0] * self.design.contexts, (0, 0, 0, 0)
        self.past = [0] * 8
        self.setup = 0, self.setup[1]

    def go_on(self, address: int, t: int) -> None:
        self.pc, self.at, self.step = address, max(t + 1, self.at + Controller.fetch), -1

    def run_pass(self, now: Instruction, t: int, given: Condition, out: dict[str, Any]) -> int:
        """A cycle of a pass; beats that are on their way from now on."""
        sent, word = 0, given["word_ready"]
        if self.step < 0:
            frame = self.offered() if now.advance else self.current
            waits = self.waits(now, frame, given)
            if self.design.deep:
                waits[1:], self.known = self.known, waits[1:]
                if t == self.at:
                    return 0
            out["waits"] = (*waits[:1], waits[1] > waits[0], waits[2] > max(waits[:2]))
            out["waits"] = (*map(int, out["waits"]), int(not any(waits) and not word))
            if any(waits) or not word:
                if now.frame == Frame.TRY and waits[0]:
                    self.pc, self.at = now.other, t + 1 + Controller.fetch
                return 0
            sent = self.begin(now, given, frame, out)
        if not word:
            out["waits"] = (0, 0, 0, 1)
            return sent
        rows = slots_of(self.design, now)
        starts = np.cumsum([0, *(interval for _, interval, *_ in rows)])
        slot = int(np.searchsorted(starts, self.step, "right")) - 1
        step = self.step - int(starts[slot])
        if step < rows[slot][0]:
            # what was taken with this pass counts from its first group on
            out["group"] = self.group(now, slot, step)
        self.step += 1
        if self.step == starts[-1]:
            out["release"] = int(now.release_frame)
            self.go_on(now.next, t)
        return sent

    def waits(self, now: Instruction, frame: tuple[int, ...], given: Condition) -> list[bool]:
        lead = now.leads[frame[3]]
        return [
            bool(now.frame) and not given["frame_ready"],
            self.flying > lead,
            now.emit and given["room"] < now.beats,
        ]

    def offered(self) -> tuple[int, int, int, int]:
        first, context = self.incoming
        most = self.design.frames_back - 1
        past = [self.current[1], *self.past][:most]
        known = not first and context in past
        return first, context, 1 - self.phases[context], past.index(context) if known else most

    def begin(self, now: Instruction, given: Condition, frame: Any, out: dict[str, Any]) -> int:
        self.step = 0
        if now.advance:
            self.past = [self.current[1], *self.past][:-1]
            self.current = frame
            self.phases[frame[1]] = frame[2]
        if now.frame:
            self.incoming = given["frame_first"], given["frame_context"]
            self.buffer = given["frame_buffer"]
        out |= {"take": int(bool(now.frame)), "promise": now.beats if now.emit else 0}
        return now.beats if now.sink != Sink.PARK else 0

    def group(self, now: Instruction, slot: int, step: int) -> dict[str, Any]:
        first, context, *_ = self.current
        cell = now.bias
        if self.design.contexts > 1:
            cell |= context << bits_for(self.design.cells)
        rows = slots_of(self.design, now)
        groups, _, turn, turns = rows[slot]
        found: dict[str, Any] = {
            "address": now.matrix + sum(row[0] for row in rows[:slot]) + step,
            "first": step == 0,
            "last": step == groups - 1,
            "parked": now.parked,
            "park": now.sink == Sink.PARK,
            "zero": now.recurrent and first,
            "base": self.region(now.source_kind, now.source, now.source_span),
            "slot": now.slot + slot,
            "aligns": now.align,
            "slot_first": slot == 0,
            "sink": now.sink,
        }
        told = {name: getattr(now, name) for name in ("write", "emit", "final", "beats", "bias")}
        target = self.region(now.target_kind, now.target, now.target_span)
        update = told | {"zero": first, "base": target, "cell": cell, "shift": now.shift}
        if self.design.collects:
            gates = tuple((4 * turn + pe) // turns for pe in range(4))
            found |= {"gates": gates, "aligns": tuple(now.align[gate] for gate in gates)}
            found |= {"ready": turn == turns - 1, "slot_first": slot == turn}
            update["block"] = turns - 1
        elif self.design.by_gate:
            found["aligns"] = (now.align[turn],)
            update |= {"turn": turn, "ready": turn == turns - 1}
        return {k: v if isinstance(v, tuple) else int(v) for k, v in found.items()} | {
            "update": {k: v if isinstance(v, tuple) else int(v) for k, v in update.items()}
        }

    def region(self, kind: Place, given: int, span: int) -> int:
        _, context, phase, _ = self.current
        region = {
            Place.FIXED: 0,
            Place.FRAME: self.setup[1][self.buffer],
            Place.OLD: (2 * context + 1 - phase) << span,
            Place.NEW: (2 * context + phase) << span,
        }
        return (given | region[kind]) & ((1 << bits_for(self.design.vector_depth)) - 1)


def slots_of(design: Design, now: Instruction) -> list[tuple[int, int, int, int]]:
    """Of each slot its groups and cycles, its turn in its round and how many these are."""
    if not design.by_gate:
        return [(now.groups, now.interval, 0, 1)] * now.slots
    found: list[tuple[int, int, int, int]] = []
    for turn in range(now.opening):
        each = now.opening_groups[turn], now.opening_intervals[turn]
        found.append((*each, turn, now.opening))
    while len(found) < now.slots:
        for turn in range(now.last_turn + 1):
            each = now.turn_groups[turn], now.turn_intervals[turn]
            found.append((*each, turn, now.last_turn + 1))
    return found


def check(machine: Any, program: list[Instruction]) -> None:
    """All outputs of all cycles against the model."""
    model = Model(machine.design, program)
    for t, (out, given) in enumerate(zip(machine.seen, machine.conditions, strict=True)):
        want = model.cycle(t, given)
        group = want.get("group", {})
        assert out["group"].valid == out["word_take"] == ("group" in want), t
        assert seen_group(out, group) == group, t
        for name, port in (("take", "frame_take"), ("release", "frame_release")):
            assert out[port] == want.get(name, 0), (t, port)
        for name in ("promise", "halted", "fault"):
            assert out[name] == want.get(name, 0), (t, name)
        waits = tuple(out["waits"][name] for name in ("frame", "state", "room", "word"))
        assert waits == want.get("waits", (0, 0, 0, 0)), t
        beats = out["frame_known"] and out["frame_last"] + 1
        assert (beats, tuple(out["frame_bases"])) == want["setup"], t


def plain(value: Any) -> Any:
    """A number, or the numbers of an array."""
    return value if isinstance(value, int) else tuple(value)


def seen_group(out: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    own = ("address", "aligns", "gates", "slot_first", "sink")
    if not like:
        return {}
    names = like.keys() - {"update"}
    found = {name: plain((out if name in own else out["group"])[name]) for name in names}
    return found | {"update": {name: plain(out["update"][name]) for name in like["update"]}}


def random_pass(rng: np.random.Generator, design: Design, frame: Frame) -> Instruction:
    """A pass whose fields use their whole ranges."""
    groups = int(rng.integers(1, design.row_groups + 1))
    slots = int(rng.integers(1, min(design.slots, design.matrix_depth // groups) + 1))
    longest = max(design.row_groups, design.units_per_slot, design.results_per_slot)
    vector, flags = design.vector_depth, rng.random(5) < 0.5
    return Instruction(
        Op.PASS,
        frame=frame,
        release_frame=bool(flags[0]),
        advance=bool(rng.random() < 0.4),
        recurrent=bool(flags[1]),
        parked=bool(flags[2]),
        sink=Sink(int(rng.integers(3))),
        write=bool(flags[3]),
        emit=bool(rng.random() < 0.3),
        final=bool(flags[4]),
        slot=int(rng.integers(design.slots - slots + 1)),
        slots=slots,
        groups=groups,
        interval=int(rng.integers(groups, longest + 1)),
        matrix=int(rng.integers(design.matrix_depth - slots * groups + 1)),
        source=int(rng.integers(vector)),
        source_kind=Place(int(rng.integers(4))),
        source_span=int(rng.integers(4)),
        target=int(rng.integers(vector)),
        target_kind=Place(int(rng.integers(4))),
        target_span=int(rng.integers(4)),
        align=tuple(rng.integers(MAX_ALIGN + 1, size=4).tolist()),
        shift=tuple(rng.integers(64, size=4).tolist()),
        beats=int(rng.integers(1, min(design.cells, design.output_depth) + 1)),
        bias=int(rng.integers(design.cells)),
        lead=int(rng.integers(12)),
        lead_other=int(rng.integers(12)),
        lead_more=tuple(rng.integers(12, size=design.frames_back - 2).tolist()),
    )


def with_turns(rng: np.random.Generator, design: Design, given: Instruction) -> Instruction:
    """The pass with slots that have groups of their own."""

    def drawn(count: int) -> dict[str, tuple[int, ...]]:
        groups = rng.integers(1, design.row_groups + 1, count)
        longest = design.row_groups + design.units_per_round
        return {
            "groups": tuple(groups.tolist()),
            "intervals": tuple(rng.integers(groups, longest + 1).tolist()),
        }

    last = int(rng.integers(design.turns))
    opening = int(rng.integers(last + 1)) if design.collects else 0
    rounds = int(rng.integers(not opening, (design.slots - opening) // (last + 1) + 1))
    fields = {f"turn_{name}": values for name, values in drawn(design.turns).items()}
    if design.collects:
        fields |= {f"opening_{n}": values for n, values in drawn(design.turns - 1).items()}
    more: dict[str, Any] = {"last_turn": last, "opening": opening, **fields}
    slots = opening + rounds * (last + 1)
    slot = int(rng.integers(design.slots - slots + 1))
    return replace(given, groups=0, interval=0, slots=slots, slot=slot, matrix=0, **more)


def random_program(rng: np.random.Generator, design: Design) -> list[Instruction]:
    """SETUP and passes in a random order of addresses, running round and round."""
    vector = design.vector_depth
    bases = tuple(int(v) for v in rng.integers(0, vector, 2))
    setup = Instruction(Op.SETUP, frame_beats=int(rng.integers(1, vector)), frame_bases=bases)  # type: ignore[arg-type]
    kinds = [Frame.WAIT, Frame.TRY, Frame.NONE, Frame.NONE, Frame.TRY, Frame.NONE]
    passes = [random_pass(rng, design, kind) for kind in kinds]
    if design.by_gate:
        passes = [with_turns(rng, design, given) for given in passes]
    code = [setup, *passes]
    places = [0, *(1 + rng.permutation(len(kinds))).tolist()]
    program = [Instruction()] * design.program_depth
    for i, instruction in enumerate(code):
        following = places[i + 1] if i + 1 < len(code) else places[1]
        other = places[int(rng.integers(1, len(places)))]
        program[places[i]] = replace(instruction, next=following, other=other)
    return program


SHARES: dict[str, dict[str, float]] = {
    "free": {},
    "few frames": {"frame_ready": 0.05},
    "slow results": {"home": 0.05},
    "little room": {"room": 0.05},
    "few words": {"word_ready": 0.2},
    "all": {"frame_ready": 0.2, "home": 0.3, "room": 0.2, "word_ready": 0.7},
}
CYCLES = 700


# of an LSTM, deep and not, and of a GRU
BY_GATE = [
    Design(8, 2, 2, 5, 90, 32, 12, 8, 9, 4, 8, 8, program_depth=8, by_gate=True),
    Design(
        16, 4, 1, 4, 90, 16, 9, 5, 5, 2, 8, 8, program_depth=8, contexts=3, deep=True, by_gate=True
    ),
    Design(3, 2, 1, 5, 90, 32, 12, 8, 9, 4, 8, 8, program_depth=8, cell="gru", by_gate=True),
]


@pytest.mark.parametrize("by_gate", BY_GATE, ids=lambda d: f"{d.cell}-M{d.pes}")
@pytest.mark.parametrize("share", ["free", "all"])
def test_slots_of_one_gate(run: Any, make_machine: Any, by_gate: Design, share: str) -> None:
    test_random_programs(run, make_machine, by_gate, SHARES[share], share == "all")


@pytest.mark.quick(12)
@pytest.mark.parametrize("restarts", [False, True], ids=["", "restarts"])
@pytest.mark.parametrize("share", SHARES.values(), ids=SHARES)
def test_random_programs(
    run: Any, make_machine: Any, design: Design, share: dict[str, float], restarts: bool
) -> None:
    rng = np.random.default_rng(7 + restarts)
    program = random_program(rng, design)
    words = [instruction.encode(design) for instruction in program]
    machine = make_machine(design, words, share)
    # in mid-pass as well as between passes
    when = {int(t) for t in rng.integers(0, CYCLES, 12 * restarts)}

    async def bench(ctx: Any) -> None:
        for t in range(CYCLES):
            await machine.cycle(ctx, restart=0 if t in when else None)

    run(machine, bench)
    assert any(out["frame_take"] for out in machine.seen)
    assert sum(out["group"].valid for out in machine.seen) >= 20
    check(machine, program)
