"""The transposed product: blocks in a chain against W^T d, cycle for cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Elaboratable, Module

from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.learn.transposed import scattered, sum_bits, transposed_cycles
from csb_format.csb import Csb
from hdl.core.learn.scatter import Scatter
from tests.engine.learn.networks import network

GRADIENT_BITS = 8
CASES: list[tuple[int, int, int, dict[str, Any]]] = [
    (4, 4, 8, {"k": (1, 1, 1)}),
    (8, 2, 8, {"k": (3, 4, 1)}),
    (16, 4, 16, {"value_bits": 16}),
    (4, 1, 8, {"k": (1, 1, 1)}),
]


class Chain(Elaboratable):
    """PEs one after the other: a drain reaches each a cycle after the one before."""

    def __init__(self, design: Design, bits: int, rows: int):
        self.elements = [Scatter(design, bits, rows, design.pes) for _ in range(design.pes)]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for n, element in enumerate(self.elements):
            m.submodules[f"pe{n}"] = element
            if n:
                before = self.elements[n - 1]
                m.d.sync += [element.drain.eq(before.drain), element.place.eq(before.place)]
                m.d.comb += element.incoming.eq(before.sums)
        return m


def placed(csb: Csb, pes: int) -> np.ndarray:
    """Rows of PEs, (M, slots)."""
    rows = np.arange(-(-csb.geometry.rows // pes) * pes)
    return np.where(rows < csb.geometry.rows, rows, -1).reshape(-1, pes).T


@pytest.mark.parametrize(("pes", "lanes", "bits", "more"), CASES)
def test_sums_and_cycles_are_those_of_the_model(
    run: Any, pes: int, lanes: int, bits: int, more: dict[str, Any]
) -> None:
    model = network(**more)
    design = design_for(model, pes, lanes)
    csb = model.layers[0].weight_hh.merge_banks(model.layers[0].weight_hh.geometry.banks // lanes)
    geometry, rng = csb.geometry, np.random.default_rng(pes)
    rows, top = placed(csb, pes), (1 << (bits - 1)) - 1
    chain = Chain(design, bits, rows.shape[1])
    found: list[list[int]] = []

    async def bench(ctx: Any) -> None:
        for _ in range(2):  # what has left is gone
            gradients = rng.choice([-top, top, 0, 3, -1], geometry.rows)
            cycles = await gather(ctx, gradients)
            dense = csb.to_dense().T @ gradients
            sums = np.array(found).T.ravel()[: geometry.columns]
            assert (sums == dense).all()
            per_pe = [scattered(csb, gradients, one) for one in rows]
            assert (np.sum(per_pe, axis=0).ravel()[: geometry.columns] == dense).all()
            assert np.abs(per_pe).max() < 1 << (sum_bits(design, bits, rows.shape[1]) - 1)
            groups = rows.shape[1] * geometry.nonzeros
            assert cycles == transposed_cycles(groups, geometry.bank_width, pes)

    async def gather(ctx: Any, gradients: Any) -> int:
        cycles = 0
        for slot in range(rows.shape[1]):
            for group in range(geometry.nonzeros):
                for pe, element in enumerate(chain.elements):
                    row = int(rows[pe, slot])
                    ctx.set(element.valid, 1)
                    for lane in range(lanes):
                        value = int(csb.values[row, group, lane]) * int(gradients[row])
                        ctx.set(element.lanes[lane].product, value if row >= 0 else 0)
                        place = int(csb.indices[row, group, lane])
                        ctx.set(element.lanes[lane].place, place)
                await ctx.tick()
                cycles += 1
        for element in chain.elements:
            ctx.set(element.valid, 0)
        await ctx.tick()
        cycles += 1
        found.clear()
        first, last = chain.elements[0], chain.elements[-1]
        ready = cycles + pes - 1 + Scatter.latency
        for place in range(geometry.bank_width + pes + 1):
            ctx.set(first.drain, int(place < geometry.bank_width))
            ctx.set(first.place, min(place, geometry.bank_width - 1))
            if cycles >= ready and len(found) < geometry.bank_width:
                found.append([ctx.get(last.sums[lane]) for lane in range(lanes)])
                if len(found) == geometry.bank_width:
                    return cycles
            await ctx.tick()
            cycles += 1
        return cycles

    run(chain, bench)
