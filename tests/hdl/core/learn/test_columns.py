"""The transposed product of N sequences at once: blocks in a chain against W^T D."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Elaboratable, Module

from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.learn.transposed import COLUMNS_APART, column_bits, columns_cycles
from csb_format.csb import Csb
from csb_format.scales import DesignError
from hdl.core.learn.columns import Columns
from tests.engine.learn.networks import network

CASES: list[tuple[int, int, int, dict[str, Any]]] = [
    (4, 4, 8, {"k": (1, 1, 1)}),
    (8, 4, 16, {"value_bits": 16, "k": (1, 3, 1)}),
    (4, 8, 8, {"banks": 8, "k": (1, 1, 1)}),
]


class Chain(Elaboratable):
    """PEs one after the other: a drain reaches each a cycle after the one before."""

    def __init__(self, design: Design, bits: int, rows: int):
        self.elements = [Columns(design, bits, rows, design.pes) for _ in range(design.pes)]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for n, element in enumerate(self.elements):
            m.submodules[f"pe{n}"] = element
            if n:
                m.d.comb += element.incoming.eq(self.elements[n - 1].sums)
        return m


@pytest.mark.parametrize(("pes", "lanes", "bits", "more"), CASES)
def test_sums_and_cycles_are_those_of_the_matrix(
    run: Any, pes: int, lanes: int, bits: int, more: dict[str, Any]
) -> None:
    csb: Csb = (model := network(**more)).layers[0].weight_hh
    design, geometry, rng = design_for(model, pes, lanes), csb.geometry, np.random.default_rng(pes)
    slots, top = geometry.rows // pes, (1 << (bits - 1)) - 1
    chain, depth = Chain(design, bits, slots), 1 << column_bits(design)

    async def bench(ctx: Any) -> None:
        for _ in range(2):  # what has left is gone
            gradients = rng.choice([-top, top, 0, 3, -1], (geometry.rows, lanes))
            cycles = await weights(ctx, gradients) + COLUMNS_APART - 1
            for _ in range(COLUMNS_APART - 1):
                await ctx.tick()
            found, left = await leave(ctx)
            places = found.reshape(lanes, -1, lanes)[:, : geometry.bank_width]
            sums = places.reshape(-1, lanes)[: geometry.columns]
            assert (sums == csb.to_dense().T @ gradients).all()
            assert cycles + left == columns_cycles(design, slots * geometry.nonzeros, pes)

    async def weights(ctx: Any, gradients: Any) -> int:
        order = list(np.ndindex(slots, geometry.nonzeros, lanes))
        for slot, group, lane in order:
            for pe, element in enumerate(chain.elements):
                row = slot * pes + pe
                place = int(csb.indices[row, group, lane]) | lane << design.index_bits
                value = int(csb.values[row, group, lane])
                ctx.set(element.valid, 1)
                ctx.set(element.column, place)
                for n in range(lanes):
                    ctx.set(element.products[n], value * int(gradients[row, n]))
            await ctx.tick()
        for element in chain.elements:
            ctx.set(element.valid, 0)
        return len(order)

    async def leave(ctx: Any) -> tuple[np.ndarray, int]:
        found: list[list[int]] = []
        ready = pes - 1 + Columns.latency
        for cycle in range(depth + ready):
            for pe, element in enumerate(chain.elements):
                ctx.set(element.drain, int(0 <= cycle - pe < depth))
                ctx.set(element.column, max(0, min(cycle - pe, depth - 1)))
            if cycle >= ready:
                found.append([ctx.get(chain.elements[-1].sums[n]) for n in range(lanes)])
            if len(found) == depth:
                await ctx.tick()
                return np.array(found), cycle
            await ctx.tick()
        raise AssertionError("some sums have not left")

    run(chain, bench)


def test_few_lanes_are_refused() -> None:
    with pytest.raises(DesignError, match="lanes = 2: recurrent layers learn on"):
        Columns(design_for(network(), 4, 2), 8, 4)
