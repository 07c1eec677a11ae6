"""Ram: latency, contents at the start, writes and reads at the same time."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.core.hierarchy import Hierarchy, Ram


class Adder(wiring.Component):
    pair: list[Signal]
    sum: Signal

    def __init__(self) -> None:
        super().__init__({"pair": In(4).array(2), "sum": Out(5)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.sum.eq(self.pair[0] + self.pair[1])
        return m


@pytest.mark.parametrize(("width", "depth"), [(1, 1), (8, 2), (5, 7), (33, 16), (120, 40)])
def test_reads_what_was_written_two_cycles_before(play: Any, width: int, depth: int) -> None:
    rng = np.random.default_rng(width)
    cells = [int.from_bytes(rng.bytes(16)) % (1 << width) for _ in range(depth // 2)]
    ram = Ram(width, depth, hierarchy=Hierarchy(), init=tuple(cells))
    cells += [0] * (depth - len(cells))
    cycles, expected = [], []
    for _ in range(200):
        cycle = {
            "write_en": int(rng.integers(2)),
            "write_addr": int(rng.integers(depth)),
            "write_data": int.from_bytes(rng.bytes(16)) % (1 << width),
            "read_addr": int(rng.integers(depth)),
        }
        expected.append(cells[cycle["read_addr"]])  # as it was before this cycle's write
        if cycle["write_en"]:
            cells[cycle["write_addr"]] = cycle["write_data"]
        cycles.append(cycle)
    seen = play(ram, cycles, ["read_data"], extra=Ram.latency)
    assert [data for (data,) in seen[Ram.latency :]] == expected
    assert Ram.latency == 2  # what sparseflow_ram.v does


def in_verilog(*blocks: Any) -> str:
    top = Module()
    for i, block in enumerate(blocks):
        top.submodules[f"block{i}"] = block
    text: str = rtlil.convert(top, name="top", ports=(), emit_src=False)
    return text


@pytest.mark.parametrize(("images", "image"), [(False, ""), (True, "weights.mem")])
def test_verilog_gets_an_instance(images: bool, image: str) -> None:
    hierarchy = Hierarchy(instances=True, images=images)
    text = in_verilog(Ram(12, 20, hierarchy=hierarchy, image="weights", init=[0xABC]))
    assert re.findall(r"cell \\(\w+)", text) == ["sparseflow_ram"]
    parameters = dict(re.findall(r"parameter \\(\w+) (\S+)", text))
    assert parameters == {"WIDTH": "12", "DEPTH": "20", "ADDR": "5", "INIT": f'"{image}"'}
    ports = ["clk", "read_addr", "read_data", "write_addr", "write_data", "write_en"]
    assert sorted(re.findall(r"connect \\(\w+)", text)) == ports


def test_verilog_gets_one_module_however_often_a_block_is_placed() -> None:
    hierarchy = Hierarchy(instances=True)
    blocks = [hierarchy.place("lane", lambda: Adder()) for _ in range(3)]
    assert len(set(map(id, blocks))) == 3
    assert list(hierarchy.modules) == ["lane"]
    text = in_verilog(*blocks)
    assert len(re.findall(r"cell \\lane ", text)) == 3
    ports = ["clk", "pair__0", "pair__1", "rst", "sum"]
    assert sorted(set(re.findall(r"connect \\(\w+)", text))) == ports
    assert "$add" not in text
    assert "$add" in in_verilog(hierarchy.modules["lane"])


def test_the_simulator_gets_ordinary_submodules() -> None:
    hierarchy = Hierarchy()
    text = in_verilog(*[hierarchy.place("lane", lambda: Adder()) for _ in range(3)])
    assert hierarchy.modules == {}
    assert text.count("$add") == 3
