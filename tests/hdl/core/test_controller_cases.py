"""Controller: what it waits for, where it goes on, regions and restarts, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.array.design import Design
from compiler.array.program import Frame, Instruction, Op, Place, Sink
from hdl.core.controller import Controller

UNKNOWN = 3  # an operation code that does not exist
BOOT = Controller.fetch  # cycles from reset to the first instruction
SMALL = Design(4, 2, 1, 8, 16, 32, 4, 6, 6, 1, 8, 8, program_depth=8, contexts=3)


def words_of(program: list[Instruction]) -> list[int]:
    return [instruction.encode(SMALL) for instruction in program]


def plain_pass(following: int, cycles: int = 1, **fields: Any) -> Instruction:
    return Instruction(Op.PASS, following, slots=1, groups=cycles, interval=cycles, **fields)


def issues(machine: Any) -> list[int]:
    return [t for t, out in enumerate(machine.seen) if out["group"].valid]


@pytest.fixture
def play_program(run: Any, make_machine: Any) -> Any:
    """Runs a program for some cycles; what a cycle does not say is random."""

    def played(program: list[Instruction] | list[int], cycles: list[dict[str, Any]]) -> Any:
        words = [w if isinstance(w, int) else w.encode(SMALL) for w in program]
        machine = make_machine(SMALL, words)

        async def bench(ctx: Any) -> None:
            for cycle in cycles:
                await machine.cycle(ctx, **cycle)

        run(machine, bench)
        return machine

    return played


@pytest.mark.parametrize("cycles", [1, 2, 3, 4, 8])
def test_passes_as_long_as_a_fetch_have_no_gap_between_them(play_program: Any, cycles: int) -> None:
    machine = play_program([plain_pass(1, cycles), plain_pass(0, cycles)], [{}] * 60)
    period = max(cycles, Controller.fetch)
    assert issues(machine) == [t for t in range(BOOT, 60) if (t - BOOT) % period < cycles]
    assert Controller.fetch == 3


WAITS = {
    "frame_ready": (0, 1, {"frame": Frame.WAIT}),
    "room": (4, 5, {"emit": True, "sink": Sink.UNITS, "beats": 5}),
    "word_ready": (0, 1, {}),
}


@pytest.mark.parametrize(("condition", "wait"), WAITS.items(), ids=WAITS)
def test_a_pass_waits_until_it_may_start(
    play_program: Any, condition: str, wait: tuple[int, int, dict[str, Any]]
) -> None:
    missing, there, fields = wait
    after = there if condition == "word_ready" else missing  # a pass asks once, but for words
    cycles = [{condition: missing}] * 20 + [{condition: there}] + [{condition: after}] * 9
    machine = play_program([plain_pass(1, 3, **fields), Instruction()], cycles)
    assert issues(machine) == [20, 21, 22]
    name = condition.partition("_")[0]
    assert [t for t, out in enumerate(machine.seen) if out["waits"][name]] == [*range(BOOT, 20)]
    assert machine.seen[-1]["halted"]


@pytest.mark.parametrize("lead", [0, 1, 2, 5])
def test_a_pass_waits_for_beats_on_their_way(play_program: Any, lead: int) -> None:
    """Of five beats, one comes home in each tenth cycle."""
    first = plain_pass(1, 4, sink=Sink.UNITS, beats=5)
    program = [first, plain_pass(2, 4, lead=9), plain_pass(3, 4, lead=lead), Instruction()]
    homes = [20, 30, 40, 50, 60]
    cycles = [{"home": int(t in homes)} for t in range(80)]
    machine = play_program(program, cycles)
    start = BOOT + 8 if lead == 5 else homes[4 - lead] + 1
    assert issues(machine) == [*range(BOOT, BOOT + 8), *range(start, start + 4)]


def test_try_goes_on_at_other_without_a_frame(play_program: Any) -> None:
    program = [
        plain_pass(1, 4, frame=Frame.TRY, other=2),
        plain_pass(1, 4),
        plain_pass(0, 4, matrix=8),
    ]
    machine = play_program(program, [{"frame_ready": int(t > 20)} for t in range(40)])
    addresses = [machine.seen[t]["address"] for t in issues(machine)]
    late = BOOT + 1 + Controller.fetch
    assert issues(machine)[:4] == [*range(late, late + 4)]
    assert addresses[:12] == [8, 9, 10, 11] * 3  # round and round while there is none
    assert set(addresses[addresses.index(0) :]) == {0, 1, 2, 3}  # then the pass, and the next
    assert sum(out["frame_take"] for out in machine.seen) == 1


def test_regions_of_a_context_change_places_with_its_frames(play_program: Any) -> None:
    step = plain_pass(1, 4, source=16, source_kind=Place.OLD, source_span=1, target_kind=Place.NEW)
    step = replace(step, advance=True, recurrent=True, target_span=1, bias=2, lead=9, lead_other=9)
    program = [plain_pass(1, 4, frame=Frame.WAIT), replace(step, next=0)]
    contexts = [0, 0, 2, 0, 2, 1]
    firsts = [1, 0, 1, 1, 0, 0]
    cycles = [
        {"frame_context": contexts[n], "frame_first": firsts[n]}
        for n in np.clip(np.arange(60) - BOOT, 0, 47) // 8
    ]
    machine = play_program(program, cycles[: BOOT + 48])
    starts = [machine.seen[BOOT + 8 * n + 4] for n in range(6)]
    assert [out["group"].base - 16 for out in starts] == [0, 2, 8, 0, 10, 4]
    assert [out["update"].base for out in starts] == [2, 0, 10, 2, 8, 6]
    assert [out["group"].zero for out in starts] == firsts
    assert [out["update"].zero for out in starts] == firsts
    assert [out["update"].cell for out in starts] == [2 | context << 3 for context in contexts]


def test_another_context_or_sequence_takes_the_other_lead(play_program: Any) -> None:
    """A pass that waits for ever with one lead starts at once with the other."""
    other: dict[str, Any] = {"lead_other": 9, "lead_more": (9,)}
    step = plain_pass(2, 4, advance=True, sink=Sink.UNITS, beats=1, **other)
    free = {"lead": 9, **other}
    program = [plain_pass(1, 4, frame=Frame.WAIT, **free), step, plain_pass(0, 4, **free)]
    # of the same stream none, of another one, new sequences all
    for context, first, starts in ((0, 0, 1), (1, 0, 2), (0, 1, 4)):
        given = {"frame_context": 0, "frame_first": 0, "home": 0}
        then = given | {"frame_context": context, "frame_first": first}
        machine = play_program(program, [given] * (BOOT + 10) + [then] * 36)
        sinks = [out for out in machine.seen if out["group"].valid and out["sink"] == Sink.UNITS]
        assert len(sinks) == 4 * starts


@pytest.mark.parametrize("address", [0, 3])
def test_halts_until_it_is_restarted(run: Any, make_machine: Any, address: int) -> None:
    program = [plain_pass(1, 4), Instruction(), Instruction(), plain_pass(1, 2)]
    machine = make_machine(SMALL, words_of(program))

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


def restarted(at: int, address: int, cycles: int) -> list[dict[str, Any]]:
    return [{"restart": address if t == at else None} for t in range(cycles)]


def test_restart_leaves_a_pass_that_waits_for_a_frame(play_program: Any) -> None:
    program = [plain_pass(0, 4, frame=Frame.WAIT), plain_pass(2, 5), Instruction()]
    cycles = [cycle | {"frame_ready": 0} for cycle in restarted(15, 1, 40)]
    start = 15 + 1 + Controller.fetch
    assert issues(play_program(program, cycles)) == list(range(start, start + 5))


@pytest.mark.parametrize("at", range(BOOT, BOOT + 10))
def test_restart_leaves_a_pass_in_the_middle(play_program: Any, at: int) -> None:
    """What it sent is forgotten: the next pass would wait for ever for the beats."""
    program = [
        Instruction(Op.PASS, 1, slots=3, groups=2, interval=3, sink=Sink.UNITS, beats=4, slot=1),
        plain_pass(2, 3, matrix=8),
        Instruction(),
    ]
    cycles = [cycle | {"home": 0} for cycle in restarted(at, 1, 40)]
    machine = play_program(program, cycles)
    start = at + 1 + Controller.fetch
    found = [(t, machine.seen[t]["address"]) for t in issues(machine) if t > at]
    assert found == [(start, 8), (start + 1, 9), (start + 2, 10)]


def test_unknown_operation_is_a_fault_until_a_restart(play_program: Any) -> None:
    words = words_of([plain_pass(1, 3), Instruction(), plain_pass(3, 4), Instruction()])
    words[1] |= UNKNOWN
    machine = play_program(words, restarted(30, 2, 60))
    assert [out["fault"] for out in machine.seen] == [BOOT + 3 < t <= 30 for t in range(60)]
    start = 31 + Controller.fetch
    assert issues(machine) == [*range(BOOT, BOOT + 3), *range(start, start + 4)]
    assert [t for t, out in enumerate(machine.seen) if out["halted"]] == list(range(start + 4, 60))


def test_restart_takes_no_frame_before_the_next_setup(play_program: Any) -> None:
    setup = Instruction(Op.SETUP, 1, frame_beats=3, frame_bases=(0, 4))
    program = [setup, Instruction(), Instruction(), replace(setup, next=1)]
    machine = play_program(program, restarted(15, 3, 30))
    again = 15 + 1 + Controller.fetch
    expected = [3 * (BOOT < t <= 15 or t > again) for t in range(30)]
    assert [out["frame_known"] and out["frame_last"] + 1 for out in machine.seen] == expected


def test_memory_that_was_never_loaded_halts(play_program: Any) -> None:
    machine = play_program([], [{}] * 20)
    assert [out["halted"] for out in machine.seen] == [t >= BOOT for t in range(20)]
