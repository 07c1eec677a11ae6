"""The accelerator in the memory of a Zynq, through PYNQ; needs the board and Xilinx's package.

PYNQ is no dependency: it comes with the board's system image, and nothing else imports this
module. The overlay holds ``sparseflow_axi`` with its registers and an AXI DMA engine for both
directions, under the names that the project of a Zynq board (:mod:`boards.build.vendor`) gives
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .bus import Received

__all__ = ["PynqBus"]

REGISTERS, DMA = "accelerator", "dma"
BUFFER_WORDS = 1 << 14


class PynqBus:
    """Registers by memory-mapped accesses, streams by DMA; see :class:`boards.host.bus.Bus`.

    Written after PYNQ's documentation; it has not run on a board.

    Parameters
    ----------
    bitstream : str or pynq.Overlay
        A ``.bit`` file with its ``.hwh`` beside; or the overlay that it is, once it is loaded:
        loading it again would reset an accelerator that runs.
    accelerator, dma : str
        What the accelerator and its DMA engine are called in the overlay, where there are
        several.

    Raises
    ------
    RuntimeError
        If PYNQ is not installed.
    """

    def __init__(self, bitstream: Any, accelerator: str = REGISTERS, dma: str = DMA):
        try:
            import pynq
        except ImportError as error:
            raise RuntimeError(
                "pynq is not installed: run this on the board, with the system image of PYNQ"
            ) from error
        overlay: Any = pynq.Overlay(bitstream) if isinstance(bitstream, str) else bitstream
        self._registers = getattr(overlay, accelerator).mmio
        engine = getattr(overlay, dma)
        self._to, self._from = engine.sendchannel, engine.recvchannel
        self._given = pynq.allocate(BUFFER_WORDS, "u4")
        self._got = pynq.allocate(BUFFER_WORDS, "u4")
        self._sending = self._listening = False

    def read(self, address: int, count: int = 1) -> list[int]:
        """Words of registers at addresses that follow each other."""
        return [int(self._registers.read(address + 4 * n)) for n in range(count)]

    def write(self, address: int, words: Sequence[int]) -> None:
        """Write words one after the other to the same address."""
        for word in words:
            self._registers.write(address, int(word))

    def send(self, words: Sequence[int], last: bool) -> int:
        """Give a packet to the engine; none while it still sends the one before.

        Raises
        ------
        ValueError
            If the packet is longer than the buffer, or ends later.
        """
        if len(words) > BUFFER_WORDS or not last:
            raise ValueError(
                f"a packet of {len(words)} words: the engine takes whole ones of at most "
                f"{BUFFER_WORDS}; run shorter sequences with keep=True"
            )
        channel = self._to
        if self._sending and not channel.idle:
            return 0
        self._given[: len(words)] = words
        channel.transfer(self._given, nbytes=4 * len(words))
        self._sending = True
        return len(words)

    def receive(self, count: int) -> Received:
        """A packet that has come, whole; none while it has not ended."""
        channel = self._from
        if not self._listening:
            channel.transfer(self._got)
            self._listening = True
        if not channel.idle:
            return Received((), False)
        self._listening = False
        words = tuple(int(word) for word in self._got[: channel.transferred // 4])
        return Received(words, True)

    def close(self) -> None:
        """Free the buffers."""
        self._given.freebuffer()
        self._got.freebuffer()
