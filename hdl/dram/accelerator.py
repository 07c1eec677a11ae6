"""The accelerator with a port to memory: it loads models by itself, and reads streamed matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import wiring

from compiler.abi.dma_registers import DMA, ENTRY
from compiler.array.design import Design

from ..bus.accelerator import Accelerator
from ..core.core import Core
from ..core.hierarchy import Hierarchy
from ..read_port import bus_members, forward_bus
from .reader import ReadBus
from .transfer import Transfers

if TYPE_CHECKING:
    from compiler.lower.image import Image

__all__ = ["DRAM_MODULE", "DramAccelerator"]

DRAM_MODULE = "sparseflow_dram"


class DramAccelerator(Accelerator):
    """An :class:`~hdl.bus.accelerator.Accelerator` that fills its memories from an AXI4 memory.

    It has the ports of that one but for ``s_axis_matrix_*``, and those of memory. While memories
    are filled packets wait, and writes that need an idle accelerator are refused; a soft reset
    gives the transfer up.

    Parameters
    ----------
    design : Design
    image, hierarchy, in_bits, out_bits
        As for :class:`~hdl.bus.accelerator.Accelerator`.
    bus : ReadBus, optional
        The port to memory.

    Members
    -------
    m_axi_* : AXI4 read master
        See :class:`~hdl.dram.reader.DramReader`.
    """

    def __init__(
        self,
        design: Design,
        image: Image | None = None,
        hierarchy: Hierarchy | None = None,
        *,
        in_bits: int = 64,
        out_bits: int = 64,
        bus: ReadBus | None = None,
    ):
        self._bus = bus or ReadBus()
        super().__init__(design, image, hierarchy, in_bits=in_bits, out_bits=out_bits)
        self.features = (*self.features, DMA)

    def _core_of(self, image: Image | None) -> Core:
        return Core(self.design, image, self.hierarchy, wide=not self.design.streamed)

    def _beside(self) -> dict[str, Any]:
        return bus_members(self._bus)

    def _memory(self, m: Module) -> None:
        """The transfers, their registers, and what they fill."""
        m.submodules.transfers = transfers = Transfers(self.design, self._bus, self.hierarchy)
        self._transfers, registers = transfers, self._registers
        forward_bus(m, self, transfers, self._bus)
        asked = (Value.cast(getattr(registers, register.name)) for register in ENTRY)
        stopped = registers.dma_stop_write & registers.dma_stop.stop
        m.d.comb += [
            transfers.start.eq(registers.dma_start_write),
            Value.cast(transfers.first).eq(Cat(asked)),
            transfers.stop.eq(stopped | (self._soft_reset & transfers.loading)),
            registers.dma_status.loading.eq(transfers.loading),
            registers.dma_status.streaming.eq(transfers.streaming),
            registers.dma_status.entry.eq(transfers.misfit),
            registers.dma_bus.data_bits.eq(self._bus.data_bits),
            registers.dma_bus.address_bits.eq(self._bus.address_bits),
        ]
        for name in transfers.errors.shape().members:
            m.d.comb += registers.dma_status[name].eq(transfers.errors[name])
        self._failed, self._done = transfers.failed, transfers.done
        if self.design.streamed:
            wiring.connect(m, transfers.matrix, self._core.matrix)
        else:
            m.d.comb += self._core.rows.eq(transfers.rows)

    def _words(self) -> list[tuple[Value, Value]]:
        return [*super()._words(), (self._transfers.load_valid, self._transfers.load_word)]

    def _occupied(self) -> list[Value]:
        return [*super()._occupied(), self._transfers.loading]

    def _errors(self, m: Module, stuck: Value) -> dict[str, Value]:
        return super()._errors(m, stuck) | {"dma": self._failed}

    def _happened(self, m: Module, busy: Value) -> dict[str, Value]:
        return super()._happened(m, busy) | {"loaded": self._done}
