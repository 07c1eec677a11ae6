"""The accelerator in the memory of a Zynq, through PYNQ; needs the board and Xilinx's package.

PYNQ is no dependency: it comes with the board's system image, and nothing else imports this
module. The overlay holds ``sparseflow_axi`` with its registers and an AXI DMA engine for both
directions, under the names that the project of a Zynq board (:mod:`boards.build.vendor`) gives
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from compiler.abi.dma import PAGE, Entry, place
from compiler.abi.dma_registers import Kind
from compiler.abi.registers import REGISTERS
from compiler.lower.image import Image

from .bus import Received
from .errors import AcceleratorError, StuckError

__all__ = ["PlacedModels", "PynqBus"]

ACCELERATOR, ENGINE = "accelerator", "dma"
BUFFER_WORDS = 1 << 14
POLLS = 1_000_000


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

    def __init__(self, bitstream: Any, accelerator: str = ACCELERATOR, dma: str = ENGINE):
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
        self._allocate, self._kept = pynq.allocate, _Kept()

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

    def keep(self, data: bytes) -> int:
        """Put bytes into memory, in the place of those before; their address, of a page."""
        return self._kept.keep(data, self._allocate)

    def close(self) -> None:
        """Free the buffers."""
        self._kept.close()
        self._given.freebuffer()
        self._got.freebuffer()


class _Kept:
    """Bytes in memory that lies in one piece and is not paged."""

    def __init__(self) -> None:
        self._buffer: Any = None

    def keep(self, data: bytes, allocate: Callable[[int, str], Any]) -> int:
        """Let go of what was there; address of these, the start of a page."""
        self.close()
        self._buffer = buffer = allocate(len(data) + PAGE, "u1")
        at = int(buffer.physical_address)
        base = -(-at // PAGE) * PAGE
        buffer[base - at : base - at + len(data)] = np.frombuffer(data, "u1")
        buffer.flush()
        return base

    def close(self) -> None:
        """Free the memory, if there is any."""
        if self._buffer is not None:
            self._buffer.freebuffer()
            self._buffer = None


class Board(Protocol):
    """What is needed of an :class:`boards.host.driver.Accelerator`."""

    def register(self, name: str) -> Mapping[str, int]:
        """Fields of a register."""

    def write(self, name: str, **fields: int) -> None:
        """Write a register."""

    def point(self, planes: int) -> None:
        """Tell a screen unit where its planes lie."""

    def load(self, image: Image, *, fill: Callable[[], None] | None = None) -> None:
        """Load a model, its memories by ``fill``."""


class PlacedModels:
    """Models of one design, laid out once in memory that the accelerator's port reads.

    Parameters
    ----------
    board : Board
        An :class:`boards.host.driver.Accelerator` with the top ``dram``.
    images : sequence of Image
        All of the board's design.
    allocate : callable
        Memory that lies in one piece and is not paged: takes a number of bytes and a type, as
        ``pynq.allocate`` does; what it returns is an array with ``physical_address``, ``flush``
        and ``freebuffer``.
    polls : int
        Reads of ``dma_status`` after which a load is given up.

    Raises
    ------
    DesignError
        If the images are of different designs.
    """

    def __init__(
        self,
        board: Board,
        images: Sequence[Image],
        allocate: Callable[[int, str], Any],
        polls: int = POLLS,
    ):
        self._board, self._images, self._polls = board, tuple(images), polls
        bits = board.register("dma_bus")["data_bits"]
        size = len(place(self._images, 0, bits).data)
        self._buffer = allocate(size + PAGE, "u1")
        at = int(self._buffer.physical_address)
        base = -(-at // PAGE) * PAGE
        self._placed = place(self._images, base, bits)
        self._buffer[base - at : base - at + size] = np.frombuffer(self._placed.data, "u1")
        self._buffer.flush()

    def load(self, number: int) -> None:
        """Load a model; what ran before is forgotten. Then ``run`` of the board runs it.

        Parameters
        ----------
        number : int
            Among the images.

        Raises
        ------
        IndexError
            If there is no such image.
        AcceleratorError
            If memory answered with an error, or the bitstream is of another design.
        StuckError
            If the load does not end.
        """
        if not 0 <= number < len(self._images):
            raise IndexError(f"model {number}: there are {len(self._images)}, counted from 0")
        first = self._placed.lists[number][0]
        self._board.load(self._images[number], fill=lambda: self._transfer(first))
        if self._placed.planes:
            self._board.point(self._placed.planes[number])

    def close(self) -> None:
        """Free the memory."""
        self._buffer.freebuffer()

    def _transfer(self, at: int) -> None:
        """Go along a list, and wait for its end."""
        start, *others = Entry(Kind.LIST, at).words().items()
        for name, word in (*others, start):
            self._board.write(name, **REGISTERS[name].decode(word))
        for _ in range(self._polls):
            status = self._board.register("dma_status")
            if not status["loading"]:
                break
        else:
            raise StuckError(f"the load did not end within {self._polls} reads of dma_status")
        if failed := [
            name for name in ("slave", "decode", "protocol", "setup", "entry") if status[name]
        ]:
            texts = (f"{name}: {REGISTERS['dma_status'].field(name).text}" for name in failed)
            raise AcceleratorError(f"the model at 0x{at:X} was not loaded. {' '.join(texts)}")
