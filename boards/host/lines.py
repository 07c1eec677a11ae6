"""Lines that carry bytes to a board and back; what the link needs of a transport."""

from __future__ import annotations

import time
from typing import Any, Protocol

__all__ = ["Line", "SerialLine"]


class Line(Protocol):
    """A serial line, or what stands for one."""

    def write(self, data: bytes) -> None:
        """Give bytes to the board."""

    def read(self, timeout: float) -> bytes:
        """Bytes from the board as soon as there are any; none after ``timeout`` seconds."""

    def close(self) -> None:
        """Give the line back; closing twice is fine."""


class SerialLine:
    """A serial port of this machine.

    Parameters
    ----------
    port : str
        As the operating system names it, or a URL of pyserial.
    baud : int
        That of the bitstream.

    Raises
    ------
    OSError
        If the port cannot be opened.
    """

    def __init__(self, port: str, baud: int):
        import serial

        self._port: Any = serial.serial_for_url(port, baudrate=baud, timeout=0)
        self._port.reset_input_buffer()

    def write(self, data: bytes) -> None:
        """Give bytes to the board."""
        self._port.write(data)

    def read(self, timeout: float) -> bytes:
        """Bytes as soon as there are any."""
        deadline = time.monotonic() + timeout
        self._port.timeout = timeout
        first = self._port.read(1)
        self._port.timeout = max(0.0, deadline - time.monotonic())
        return bytes(first + self._port.read(self._port.in_waiting if first else 0))

    def close(self) -> None:
        """Close the port."""
        self._port.close()
