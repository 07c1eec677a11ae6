"""A block with free inputs: what proofs make their assumptions and assertions about."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In


class FreeBlock(wiring.Component):
    """A block whose inputs are all free, and inputs of the solver's own."""

    def __init__(self, block: Any, **chosen: Any):
        self._block = block
        free = {
            "__".join(map(str, path)): In(Value.cast(value).shape())
            for path, member, value in block.signature.flatten(block)
            if member.flow == In
        }
        super().__init__(free | {name: In(shape) for name, shape in chosen.items()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.block = block = self._block
        for path, member, value in block.signature.flatten(block):
            if member.flow == In:
                m.d.comb += Value.cast(value).eq(getattr(self, "__".join(map(str, path))))
        self.state(m, block)
        return m

    def state(self, m: Module, block: Any) -> None:
        """Assumptions and assertions."""
