"""Models in the memory of a processor, which an accelerator with a port to memory loads by itself.

Each is a list of transfers (:mod:`compiler.abi.dma`), so that changing the model is a few
writes, however large it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compiler.abi.dma import PAGE, Entry, place
from compiler.abi.dma_registers import Kind
from compiler.abi.registers import REGISTERS
from compiler.lower.image import Image

from .driver import Accelerator
from .errors import AcceleratorError, StuckError

__all__ = ["PlacedModels"]

POLLS = 1_000_000


class PlacedModels:
    """Models of one design, laid out once in memory that the accelerator's port reads.

    Parameters
    ----------
    board : Accelerator
        With the top ``dram``.
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
        board: Accelerator,
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
