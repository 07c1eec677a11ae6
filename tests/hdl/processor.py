"""A processor beside an accelerator in pysim: registers, streams, without stalls."""

from __future__ import annotations

from typing import Any

from compiler.abi.registers import REGISTERS

__all__ = ["OKAY", "SLVERR", "Processor", "collector"]

OKAY, SLVERR = 0, 2  # responses of AXI


class Processor:
    """Writes and reads registers, sends packets.

    Parameters
    ----------
    ctx : SimulatorContext
    dut : Component
        With ``s_axi``, ``s_axis`` and ``m_axis``.
    """

    def __init__(self, ctx: Any, dut: Any):
        self.ctx, self.dut = ctx, dut
        for name in ("aresetn", "s_axi_bready", "s_axi_rready", "m_axis_tready"):
            ctx.set(getattr(dut, name), 1)

    async def write(self, name: str, data: int) -> int:
        """The response."""
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.s_axi_awaddr, REGISTERS[name].address)
        ctx.set(dut.s_axi_wdata, data)
        ctx.set(dut.s_axi_wstrb, 15)
        for channel in ("aw", "w"):
            ctx.set(getattr(dut, f"s_axi_{channel}valid"), 1)
        await ctx.tick()
        for channel in ("aw", "w"):
            ctx.set(getattr(dut, f"s_axi_{channel}valid"), 0)
        (response,) = (await ctx.tick().sample(dut.s_axi_bresp).until(dut.s_axi_bvalid))[:1]
        return int(response)

    async def read(self, name: str) -> int:
        """What it holds."""
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.s_axi_araddr, REGISTERS[name].address)
        ctx.set(dut.s_axi_arvalid, 1)
        await ctx.tick()
        ctx.set(dut.s_axi_arvalid, 0)
        (data,) = (await ctx.tick().sample(dut.s_axi_rdata).until(dut.s_axi_rvalid))[:1]
        return int(data)

    async def fields(self, name: str) -> dict[str, int]:
        """What it holds, by its fields."""
        return REGISTERS[name].decode(await self.read(name))

    async def send(self, packets: list[list[int]]) -> None:
        """Packets of beats, one behind the other."""
        ctx, dut = self.ctx, self.dut
        for packet in packets:
            for i, beat in enumerate(packet):
                ctx.set(dut.s_axis_tdata, beat)
                ctx.set(dut.s_axis_tlast, int(i == len(packet) - 1))
                ctx.set(dut.s_axis_tvalid, 1)
                await ctx.tick().until(dut.s_axis_tready)
            ctx.set(dut.s_axis_tvalid, 0)


def collector(dut: Any, got: list[list[int]]) -> Any:
    """A bench that keeps what leaves, packet by packet."""

    async def collect(ctx: Any) -> None:
        beats: list[int] = []
        watch = (dut.m_axis_tvalid, dut.m_axis_tready, dut.m_axis_tdata, dut.m_axis_tlast)
        async for _, _, valid, ready, data, last in ctx.tick().sample(*watch):
            if valid and ready:
                beats.append(data)
                if last:
                    got.append(beats)
                    beats = []

    return collect
