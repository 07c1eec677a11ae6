"""The Verilog of the top with a port to memory, on the masters and the memory of cocotbext-axi."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from boards.build.ip import write_block
from boards.build.tops.tops import Top
from compiler.abi.dma import PAGE, Entry, place
from compiler.abi.dma_registers import Kind
from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.registers import REGISTERS
from compiler.abi.states import outcome_of
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from hdl.dram.reader import ReadBus
from sim.bus.axi import AxiScript, Memory, simulate_axi
from sim.run.streams import Pauses
from tests.delivered import check_delivered

BASE = 4 * PAGE
BUS = ReadBus(64, 32, 8, 4, 64)
TOP = Top("dram", 64, BUS)


def cases(make_case: Any, streamed: bool = False) -> list[Any]:
    """Two models of one shape on 4 x 2 multipliers."""
    made = [make_case(seed, (6, 5, 2, 1, 2), (4, 2), (3, 2)) for seed in (1, 2)]
    design = design_for(made[0].model, 4, 2, streamed=streamed)
    return [replace(case, image=compile_model(case.model, design)) for case in made]


@pytest.mark.parametrize("streamed", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("simulator", "share"),
    [("icarus", 0.3), pytest.param("verilator", 0.0, marks=pytest.mark.slow)],
)
def test_two_models_from_memory_are_bit_exact(
    make_case: Any, work: Path, simulator: str, share: float, streamed: bool
) -> None:
    both = cases(make_case, streamed)
    design = both[0].image.design
    files = write_block(design, both[0].image, work / "v", TOP)
    placed = place([case.image for case in both], BASE, BUS.data_bits)
    script = AxiScript(64, 64, Pauses(share, 5), memory=Memory(placed.data, BASE))
    script.write("irq_enable", loaded=1)
    for case, (at,) in zip(both, placed.lists, strict=True):
        script.write("frame", beats=case.image.parts[0].frame_beats)
        script.transfer(Entry(Kind.LIST, at)).wait_irq().write("irq_status", loaded=1)
        script.wait("status", settling=0)
        for packet in frame_packets(Stimulus.of(case.image, case.sequences), 64):
            script.send(packet)
        script.receive(sum(map(len, case.sequences))).wait("status", busy=0)
    script.read("errors").read("dma_status")
    outcome = simulate_axi(files, script, work, simulator=simulator, timeout=400)
    packets = outcome.packets
    for case in both:
        count = sum(map(len, case.sequences))
        comparison = case.compare(outcome_of(case.image, packets[:count], 64))
        assert comparison.mismatches == 0, comparison.first
        packets = packets[count:]
    assert outcome.irqs == 2
    (_, errors), (_, status) = outcome.results[-2:]
    assert errors == 0
    assert status == REGISTERS["dma_status"].encode(streaming=int(streamed))


def test_what_is_delivered_reads_and_says_who_it_is(make_case: Any, work: Path) -> None:
    """Plain Verilog-2005 for Icarus, its own test bench; no warning of Verilator's lint."""
    case = cases(make_case)[0]
    files = write_block(case.image.design, case.image, work / "told", TOP, base=BASE)
    check_delivered(files)
    assert (files.folder / "sparseflow_model.bin").stat().st_size % (BUS.data_bits // 8) == 0
