"""What a serial port was set to, read back: setting it succeeds where it was done in part only."""

from __future__ import annotations

import struct
import sys
from typing import Any

from ..link.protocol import RATE_SLACK

__all__ = ["check_settings", "rate_now"]

_TERMIOS2 = struct.Struct("4I20B2I")  # four words of flags, discipline and characters, two rates


def check_settings(port: Any, name: str, baud: int) -> None:
    """Refuse a port that is not at a rate, or not raw with 8 bits, no parity, one stop bit.

    Parameters
    ----------
    port : object
        Of pyserial; one without a terminal of this machine behind it (a URL, Windows) is left
        alone: its own settings are refused by the system or the other end.
    name : str
    baud : int

    Raises
    ------
    ValueError
        Naming what it is at.
    """
    try:
        import termios

        device = port.fileno()
        flags = termios.tcgetattr(device)
    except (ImportError, AttributeError, OSError, termios.error):
        return
    now = rate_now(device)
    if now is not None and abs(now - baud) > baud // RATE_SLACK:
        raise ValueError(
            f"port {name!r} does not take {baud} baud, it is at {now}: take another adapter, or a "
            "bitstream of another rate"
        )
    framing = termios.CSIZE | termios.CSTOPB | termios.PARENB
    cooked = termios.ICANON | termios.ECHO | termios.ISIG
    if flags[2] & framing != termios.CS8 or flags[3] & cooked or flags[1] & termios.OPOST:
        raise ValueError(
            f"port {name!r} does not take raw bytes of 8 bits, no parity, one stop bit: take "
            "another adapter"
        )


def rate_now(device: int) -> int | None:
    """Baud of a terminal, 0 where its directions differ; None where the system does not tell.

    Parameters
    ----------
    device : int
        Its descriptor.
    """
    import fcntl
    import termios

    if sys.platform == "linux":
        from serial.serialposix import TCGETS2

        try:
            found = fcntl.ioctl(device, TCGETS2, bytes(_TERMIOS2.size))
        except OSError:  # an architecture without it
            found = b""
        if found:
            *_, into, out = _TERMIOS2.unpack(found)
            return int(out) if into == out else 0
    into, out = termios.tcgetattr(device)[4:6]
    if into != out:
        return 0
    rates = (name for name in dir(termios) if name[0] == "B" and name[1:].isdigit())
    return next((int(rate[1:]) for rate in rates if getattr(termios, rate) == out), None)
