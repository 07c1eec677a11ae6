"""Lines that carry bytes to a board and back; what the link needs of a transport."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from .errors import LinkError, LinkTimeoutError
from .line_settings import check_settings

__all__ = ["Line", "SerialLine", "port_and_baud"]

WRITE_TIMEOUT = 10.0  # seconds; a frame takes one of them at 9600 baud


class Line(Protocol):
    """A serial line, or what stands for one."""

    def write(self, data: bytes) -> None:
        """Give bytes to the board."""

    def read(self, timeout: float) -> bytes:
        """Bytes from the board as soon as there are any; none after ``timeout`` seconds."""

    def close(self) -> None:
        """Give the line back; closing twice is fine."""


_FASTEST = 100_000_000


def port_and_baud(target: str, baud: int) -> tuple[str, int]:
    """``PORT`` or ``PORT?baud=RATE``, what follows ``serial:``.

    Parameters
    ----------
    target : str
    baud : int
        Where none is named.

    Raises
    ------
    ValueError
        For a rate that is none, or no port.
    """
    port, asked, text = target.partition("?baud=")
    if not port:
        raise ValueError(f"serial:{target} names no port: give serial:PORT?baud=RATE")
    if not asked:
        return port, baud
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:10]) <= _FASTEST):
        raise ValueError(
            f"baud {text!r}: give the bitstream's rate as a whole number, 1 to {_FASTEST}, such "
            f"as serial:{port}?baud={baud}"
        )
    return port, int(text)


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
    ValueError
        If it is a URL of a kind that pyserial does not know, or a rate that it cannot set, or that
        the port is not at when the settings are read back.

    Notes
    -----
    A port that takes no bytes for ten seconds is a `LinkTimeoutError`, one that
    goes away in use a `LinkError`.
    """

    def __init__(self, port: str, baud: int):
        import serial

        try:
            self._port: Any = serial.serial_for_url(
                port, baudrate=baud, timeout=0, write_timeout=WRITE_TIMEOUT
            )
        except ValueError as error:
            raise ValueError(
                f"port {port!r} at {baud} baud: pyserial cannot open it; name a port as the "
                "operating system does (/dev/ttyUSB0, COM3) and the bitstream's rate"
            ) from error
        except OSError as error:
            raise OSError(
                error.errno or errno.ENOTTY,
                "cannot be opened as a serial port: plug the board in, name its port "
                "(`python -m serial.tools.list_ports` lists them) and see that you may use it",
                port,
            ) from error
        try:
            check_settings(self._port, port, baud)
            self._port.reset_input_buffer()
        except BaseException:
            self._port.close()
            raise
        self._name, self._late = port, serial.SerialTimeoutException

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong in the port as errors of the link."""
        try:
            yield
        except self._late:
            raise LinkTimeoutError(
                f"{self._name} took no bytes for {WRITE_TIMEOUT:g} s: check cable and power"
            ) from None
        except OSError as error:
            raise LinkError(
                f"{self._name} is gone ({error}): plug the board in and open it again"
            ) from error

    def write(self, data: bytes) -> None:
        """Give bytes to the board."""
        with self._told():
            self._port.write(data)

    def read(self, timeout: float) -> bytes:
        """Bytes as soon as there are any."""
        deadline = time.monotonic() + timeout
        with self._told():
            self._port.timeout = timeout
            first = self._port.read(1)
            self._port.timeout = max(0.0, deadline - time.monotonic())
            return bytes(first + self._port.read(self._port.in_waiting if first else 0))

    def close(self) -> None:
        """Close the port."""
        self._port.close()
