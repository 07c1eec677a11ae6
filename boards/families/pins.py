"""Pins of a board: what a table of a board file says of one, looked at before it is used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from csb_format.arguments import shown, whole

__all__ = [
    "INPUTS",
    "LEVELS",
    "MOST_DRIVE",
    "PULLS",
    "SIGNALS",
    "BoardError",
    "Pin",
    "pin_of",
    "pins_of",
]

#: Of the board itself.
SIGNALS = ("clk", "rx", "tx", "led")
INPUTS = ("clk", "rx")  # of them
PULLS = ("up", "down", "none")
LEVELS = (0, 1)
BALL = re.compile(r"[A-Z]{0,2}[0-9]{1,3}")
SIGNAL = re.compile(r"[a-z][a-z0-9_]{0,30}")
TAKEN = {"clock", "locked", "boot", "rst", "link", "pll", "lit"}  # names in the board's top
MOST_DRIVE = 24  # mA


class BoardError(ValueError):
    """A board that is not known or not described well."""


@dataclass(frozen=True)
class Pin:
    """Where a signal leaves the device.

    Parameters
    ----------
    pin : str
        The ball or pin, as the vendor calls it.
    standard : str
        Electrical standard in the words of the vendor's tools; empty for their default.
    pull : {"", "up", "down", "none"}
        Resistor inside the device; empty for the tool's default.
    drive : int
        Current of an output, mA; 0 for the tool's default.
    active_low : bool
        The signal is the other way round outside: a light that 0 lights.
    level : {None, 0, 1}
        What an output is held at that the accelerator does not drive.
    """

    pin: str
    standard: str = ""
    pull: str = ""
    drive: int = 0
    active_low: bool = False
    level: int | None = None


def pins_of(given: object) -> dict[str, Pin]:
    """The table ``pins`` of a board file.

    Raises
    ------
    BoardError
        Naming the pin and the value.
    """
    if not isinstance(given, Mapping):
        raise BoardError(f"pins = {shown(given)}: give a table, such as [pins]")
    found = {name: pin_of(name, one) for name, one in given.items()}
    at: dict[str, str] = {}
    for name, one in found.items():
        if one.pin in at:
            raise BoardError(f"pins {at[one.pin]} and {name} are both at {one.pin}: change one")
        at[one.pin] = name
    return found


def pin_of(name: str, given: object) -> Pin:
    """One pin; errors as :func:`pins_of`."""
    where = f"pins.{name}"
    if not isinstance(given, Mapping):
        raise BoardError(f'{where} = {shown(given)}: give a table, such as {{ pin = "G2" }}')
    known = [field.name for field in fields(Pin)]
    for key in given:
        if key not in known:
            raise BoardError(f"{where}: {key!r} is not known: choose from {', '.join(known)}")
    if "pin" not in given:
        raise BoardError(f'{where}: pin is missing: give the ball, such as pin = "G2"')
    _check_name(name, "level" in given)
    return _checked(where, Pin(**given))


def _check_name(name: str, held: bool) -> None:
    """Which signals there are: the board's own, and others that are held at a level."""
    if not held and name not in SIGNALS:
        raise BoardError(
            f"pins.{name} is none of {', '.join(SIGNALS)}: give it a level, 0 or 1, to hold it at"
        )
    from hdl.keywords import KEYWORDS  # the driver reads boards too, and needs no hardware

    if held and name in KEYWORDS:
        raise BoardError(f"pins.{name} is a keyword of Verilog: choose {name}_pin")
    if held and (name in SIGNALS or name in TAKEN or not SIGNAL.fullmatch(name)):
        raise BoardError(
            f"pins.{name} cannot be held at a level: take a name of lower-case letters that is "
            "not one of the board's own signals"
        )


def _checked(where: str, pin: Pin) -> Pin:
    if not isinstance(pin.pin, str) or not BALL.fullmatch(pin.pin):
        raise BoardError(f'{where}: pin = {shown(pin.pin)}: give a ball such as "G2", or "35"')
    if not isinstance(pin.standard, str):
        raise BoardError(f"{where}: standard = {shown(pin.standard)}: give a text")
    if pin.pull not in ("", *PULLS):
        raise BoardError(f"{where}: pull = {shown(pin.pull)}: choose one of {', '.join(PULLS)}")
    if not isinstance(pin.active_low, bool):
        raise BoardError(f"{where}: active_low = {shown(pin.active_low)}: give true or false")
    if pin.active_low and not where.endswith(".led"):
        raise BoardError(f"{where}: only the led can be active_low: leave it out")
    if pin.level is not None and (type(pin.level) is not int or pin.level not in LEVELS):
        raise BoardError(f"{where}: level = {shown(pin.level)}: give 0 or 1")
    try:
        whole("drive", pin.drive, 0, MOST_DRIVE)
    except (TypeError, ValueError) as error:
        raise BoardError(f"{where}: {error} mA") from None
    return pin
