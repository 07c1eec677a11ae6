"""The accelerator on its buses, on Amaranth's simulator: rules that need no Verilog."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.registers import REGISTERS
from compiler.abi.states import outcome_of
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.lower.load import Space, header
from compiler.lower.parity import check_word
from compiler.lower.walk import walk_cycles
from csb_format.random_models import random_frames, random_model, random_network
from csb_format.scales import DesignError
from engine.reference import IntegerModel
from hdl.bus.accelerator import Accelerator
from sim.check.compare import compare
from tests.hdl.processor import OKAY, Processor, collector

PERIOD = 1e-6


def small(contexts: int = 1, **options: bool) -> tuple[Any, Image]:
    model = random_model(np.random.default_rng(1), 6, 5, 2, 1, 2)
    design = design_for(model, 4, 2, contexts=contexts, **options)
    return model, compile_model(model, design)


class Host(Processor):
    """A processor that starts an array by its register."""

    async def status(self) -> dict[str, int]:
        while (status := await self.fields("status"))["settling"]:
            pass
        return status

    async def start(self, image: Image) -> None:
        await self.write("frame", image.parts[0].frame_beats)
        for word in image.load_words():
            assert await self.write("load", word) == OKAY


@pytest.mark.parametrize(("contexts", "deep"), [(1, False), (2, True)])
def test_a_job_is_bit_exact(run: Any, contexts: int, deep: bool) -> None:
    model, image = small(contexts, deep=deep)
    dut, got = Accelerator(image.design), list[list[int]]()
    sequences = random_frames(np.random.default_rng(2), model, [3, 2])
    stimulus = Stimulus.of(image, sequences, contexts=contexts)
    packets = frame_packets(stimulus, 64)
    assert len(packets) == (2 if contexts == 1 else 5)  # in turns, a frame a packet

    async def host(ctx: Any) -> None:
        host = Host(ctx, dut)
        await host.start(image)
        await host.send(packets)
        while (await host.status())["busy"]:
            pass
        assert await host.read("frames_out") == 5
        assert await host.read("errors") == 0

    run(dut, host, background=[collector(dut, got)])
    levels = IntegerModel(model).run_levels(sequences)
    assert compare(stimulus, outcome_of(image, got, 64), levels).mismatches == 0


def test_states_and_results_leave_side_by_side(run: Any) -> None:
    """A packet of both kinds: the states of a layer, its projection, and exact logits."""
    rng = np.random.default_rng(1)
    model = random_network(rng, 6, 8, 2, (1, 2, 1), projection=4, head=3)
    image = compile_model(model, design_for(model, 4, 2, head=True), head=True)
    assert {emission.kind for emission in image.parts[0].emissions} > {"states"}
    dut, got = Accelerator(image.design), list[list[int]]()
    sequences = random_frames(np.random.default_rng(2), model, [2])
    stimulus = Stimulus.of(image, sequences)

    async def host(ctx: Any) -> None:
        host = Host(ctx, dut)
        await host.start(image)
        await host.send(frame_packets(stimulus, 64))
        while (await host.status())["busy"]:
            pass

    run(dut, host, background=[collector(dut, got)])
    levels = IntegerModel(model).run_levels(sequences)
    assert compare(stimulus, outcome_of(image, got, 64), levels).mismatches == 0


def test_a_checked_accelerator_tells_what_changed_and_starts_as_ever(run: Any) -> None:
    """By its register, after a soft reset, and not after a packet that has changed."""
    model, image = small(contexts=2, checked=True)
    dut, got = Accelerator(image.design), list[list[int]]()
    sequences = random_frames(np.random.default_rng(2), model, [3, 2])
    stimulus = Stimulus.of(image, sequences, contexts=2)
    packets = frame_packets(stimulus, 64)

    async def told(host: Host) -> list[str]:
        errors = await host.fields("errors")
        await host.write("errors", 0xFFFFFFFF)
        return [name for name, flag in errors.items() if flag]

    async def host(ctx: Any) -> None:
        host = Host(ctx, dut)
        await host.start(image)
        for again in ("start", "control", ""):
            await host.send(packets)
            while (await host.status())["busy"]:
                pass
            assert await told(host) == []
            if again:
                await host.write(again, int(again == "control"))
                assert not (await host.status())["halted"]
        for mark, bit in ((1, 1), (0, 0), (0, 16)):  # of a number, of both marks in the header
            changed = [list(packets[0])]
            changed[0][mark] ^= 1 << bit
            await host.send(changed)
            while (await host.status())["busy"]:
                pass
            assert (mark, bit, await told(host)) == (mark, bit, ["frame"])
            await host.write("control", 1)
            await host.status()
        words = image.load_words()
        words[3] ^= 1
        for word in words:
            await host.write("load", word)
        status = await host.status()
        assert (status["halted"], status["fault"]) == (0, 1)  # what ran before goes on
        assert await told(host) == ["packet"]

    run(dut, host, background=[collector(dut, got)])
    levels = IntegerModel(model).run_levels(sequences)
    for n in range(3):
        found = outcome_of(image, got[5 * n : 5 * n + 5], 64)
        assert compare(stimulus, found, levels).mismatches == 0


def test_registers_keep_their_values_over_a_soft_reset(run: Any) -> None:
    _, image = small()
    dut = Accelerator(image.design)

    async def host(ctx: Any) -> None:
        host = Host(ctx, dut)
        await host.start(image)
        assert not (await host.status())["halted"]
        await host.write("timeout", 99)
        await host.write("control", REGISTERS["control"].encode(soft_reset=1))
        assert await host.read("timeout") == 99
        assert await host.read("frame") == image.parts[0].frame_beats
        assert not (await host.status())["halted"]  # memories keep their contents

    run(dut, host)


def test_a_hard_reset_forgets_everything_but_memories(run: Any) -> None:
    _, image = small(deep=True)
    dut = Accelerator(image.design)

    async def host(ctx: Any) -> None:
        host = Host(ctx, dut)
        await host.write("timeout", 99)
        await host.write("load", 0xF000_0000)
        ctx.set(dut.aresetn, 0)
        await ctx.tick()
        ctx.set(dut.aresetn, 1)
        assert await host.read("timeout") == REGISTERS["timeout"].reset
        assert await host.read("errors") == 0

    run(dut, host)


def test_a_fault_of_a_packet_clears_with_the_next_start(run: Any) -> None:
    _, image = small()
    dut = Accelerator(image.design)

    async def host(ctx: Any) -> None:
        host = Host(ctx, dut)
        for word in (header(Space.BIAS, 99), 0):
            await host.write("load", word)
        status = await host.status()
        assert (status["fault"], status["stopped"], status["error"]) == (1, 1, 1)
        assert (await host.fields("errors"))["load"] == 1
        await host.start(image)
        status = await host.status()
        assert (status["fault"], status["stopped"]) == (0, 0)
        assert status["error"]  # until it is cleared
        await host.write("errors", 0xFFFFFFFF)
        assert not (await host.status())["error"]

    run(dut, host)


def test_no_packet_is_taken_until_something_runs(run: Any) -> None:
    model, image = small()
    dut, got = Accelerator(image.design), list[list[int]]()
    packets = frame_packets(
        Stimulus.of(image, random_frames(np.random.default_rng(2), model, [1])), 64
    )

    async def host(ctx: Any) -> None:
        host = Host(ctx, dut)
        await ctx.tick().repeat(40)
        ctx.set(dut.s_axis_tvalid, 1)
        ctx.set(dut.s_axis_tdata, packets[0][0])
        await ctx.tick().repeat(40)
        assert not ctx.get(dut.s_axis_tready)
        await host.start(image)
        await host.send(packets)
        await ctx.tick().until(dut.m_axis_tvalid)

    run(dut, host, background=[collector(dut, got)])


def test_a_walk_is_told_by_its_register_and_outlives_a_reset(run: Any) -> None:
    """Two flips in a word of a bias: the program stops."""
    _, image = small(checked=True, walk=True)
    dut, words = Accelerator(image.design), image.load_words()
    cycles = 3 * walk_cycles(image.design, len(image.memories["matrix_000"]))

    async def host(ctx: Any) -> None:
        host = Host(ctx, dut)
        await host.start(image)
        for reset in (0, 1):
            await host.write("control", reset)
            await ctx.tick().repeat(cycles)
            assert await host.read("walk") in (1, 2, 3)
            assert await host.read("errors") == 0
        at = words.index(header(Space.BIAS))
        count = 2 + words[at + 1] * -(-image.width("bias_000") // 32)
        words[at + 2] ^= 0b11
        words[at + count] = check_word(words[at : at + count])
        for word in words:
            await host.write("load", word)
        await ctx.tick().repeat(cycles)
        assert {name for name, flag in (await host.fields("errors")).items() if flag} == {"walk"}
        assert (await host.status())["fault"] == 1

    run(dut, host)


@pytest.mark.parametrize("name", ["in_bits", "out_bits"])
def test_widths_are_checked(name: str) -> None:
    _, image = small()
    widths: dict[str, Any] = {name: 24}
    with pytest.raises(DesignError, match=rf"{name} = 24: take 32, 64"):
        Accelerator(image.design, **widths)


def test_it_has_the_ports_of_the_standards() -> None:
    _, image = small()
    dut = Accelerator(image.design, in_bits=32, out_bits=128)
    names = set(dut.signature.members)
    assert {"aclk", "aresetn", "irq", "s_axi_awready", "s_axis_tlast", "m_axis_tdata"} <= names
    assert len(dut.s_axis_tdata) == 32
    assert len(dut.m_axis_tdata) == 128
    Simulator(dut)  # elaborates


def test_a_streamed_design_takes_its_matrix_from_a_stream() -> None:
    model = random_model(np.random.default_rng(1), 6, 5, 2, 1, 2)
    design = design_for(model, 4, 2, streamed=True)
    dut = Accelerator(design)
    assert len(dut.s_axis_matrix_tdata) == -(-4 * design.word_bits // 8) * 8
    Simulator(dut)
