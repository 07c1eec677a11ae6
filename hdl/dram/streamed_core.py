"""The accelerator with its matrices in DRAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from compiler.array.design import Design
from csb_format.scales import DesignError

from ..core.core import Core
from ..core.hierarchy import Hierarchy
from .gearbox import ROWS
from .matrix import StreamedMatrix
from .reader import ReadBus

if TYPE_CHECKING:
    from compiler.lower.image import Image

__all__ = ["StreamedCore"]


class StreamedCore(wiring.Component):
    """A :class:`~hdl.core.core.Core` of a streamed design, fed by a :class:`.StreamedMatrix`.

    It has the ports of both but for ``matrix``, which joins them.

    Parameters
    ----------
    design : Design
        With ``streamed``.
    bus : ReadBus
    image : Image, optional
        Contents of the core's memories at start.
    rows : int
        See :class:`.StreamedMatrix`.
    hierarchy : Hierarchy, optional

    Raises
    ------
    DesignError
        If the design has its matrices on chip.
    """

    def __init__(
        self,
        design: Design,
        bus: ReadBus,
        image: Image | None = None,
        rows: int = ROWS,
        hierarchy: Hierarchy | None = None,
    ):
        if not design.streamed:
            raise DesignError(
                "the design has its matrices on chip: generate it with streamed=True, "
                "or take the plain core"
            )
        hierarchy = hierarchy or Hierarchy()
        self._blocks = Core(design, image, hierarchy), StreamedMatrix(design, bus, rows, hierarchy)
        members = (block.signature.members.items() for block in self._blocks)
        super().__init__({n: m for both in members for n, m in both if n != "matrix"})

    def elaborate(self, platform: object) -> Module:
        """The two side by side."""
        m = Module()
        m.submodules.core, m.submodules.streamed = core, streamed = self._blocks
        wiring.connect(m, streamed.matrix, core.matrix)
        for block in self._blocks:
            for name, member in block.signature.members.items():
                if name != "matrix":
                    _expose(m, getattr(self, name), getattr(block, name), member)
        return m


def _expose(m: Module, outer: object, inner: object, member: wiring.Member) -> None:
    """Let a port of a block be one of the component around it."""
    if member.is_signature:
        wiring.connect(m, wiring.flipped(outer), inner)
    else:
        m.d.comb += outer.eq(inner) if member.flow == Out else inner.eq(outer)  # type: ignore[attr-defined]
