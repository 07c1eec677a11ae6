"""Counters of a target: those that it has, and an error for those that it has not."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.abi.registers import COUNTERS, REGISTERS

from .bus import Bus
from .errors import AcceleratorError

__all__ = ["Counted", "check_counter", "read_counters"]


class Counted(dict[str, int]):
    """Counters by name; asked for one that the target has not, it says so."""

    def __missing__(self, name: str) -> int:
        raise AcceleratorError(_not_there(name, self))


def _not_there(name: str, there: Iterable[str]) -> str:
    return f"there is no counter {name!r}: this target has {', '.join(there)}"


def check_counter(register: str, there: tuple[str, ...]) -> None:
    """Refuse the register of a counter that a target has not, as it reads 0.

    Raises
    ------
    AcceleratorError
        Naming those that there are.
    """
    name = register.removesuffix("_high")
    if name in COUNTERS and name not in there:
        raise AcceleratorError(_not_there(name, there))


def read_counters(bus: Bus, there: tuple[str, ...]) -> Counted:
    """All counters of a target, in one access."""
    words = bus.read(next(REGISTERS[name].address for name in COUNTERS), 2 * len(COUNTERS))
    pairs = zip(words[::2], words[1::2], strict=True)
    found = {name: low | high << 32 for name, (low, high) in zip(COUNTERS, pairs, strict=True)}
    return Counted({name: found[name] for name in there})
