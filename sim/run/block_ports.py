"""Ports of any block on Amaranth's simulator, by the names that they have in Verilog."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Value
from amaranth.lib import wiring

__all__ = ["BlockPorts"]


class BlockPorts:
    """:class:`~sim.run.streams.Ports` of a block.

    Parameters
    ----------
    block : wiring.Component
    context : SimulatorContext
        Of the test bench that drives it.
    """

    def __init__(self, block: wiring.Component, context: Any):
        self._context = context
        self._values = {
            "__".join(map(str, path)): Value.cast(value)
            for path, _, value in block.signature.flatten(block)
        }

    def get(self, name: str) -> int:
        """Settled value of a port, unsigned."""
        value = self._values[name]
        return int(self._context.get(value)) & ((1 << len(value)) - 1)

    def set(self, name: str, value: int) -> None:
        """Drive an input port for the coming edge."""
        self._context.set(self._values[name], value)

    async def settle(self) -> None:
        """Nothing: what is read has settled."""

    async def tick(self) -> None:
        """Pass the next rising edge."""
        await self._context.tick()
