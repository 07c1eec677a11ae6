"""Which serial port of this machine is the board's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..board import Adapter

__all__ = ["BY_ID", "Port", "ports_of", "told"]

BY_ID = Path("/dev/serial/by-id")  # names that stay the same whatever is plugged in first
JOIN = "sudo usermod -aG dialout $USER, then log in again"


@dataclass(frozen=True)
class Port:
    """A serial port of an adapter.

    Parameters
    ----------
    name : str
        By which it is best opened.
    device : str
        As the system numbers it.
    interface : int, optional
        Of the adapter; None where the system does not tell.
    usable : bool
        By this user.
    """

    name: str
    device: str
    interface: int | None
    usable: bool


def ports_of(adapter: Adapter, by_id: Path = BY_ID) -> list[Port]:
    """Ports of all adapters that are plugged in and of this kind, by name."""
    return sorted(_found(adapter, by_id), key=lambda port: port.name)


def _found(adapter: Adapter, by_id: Path) -> Iterator[Port]:
    from serial.tools import list_ports

    stable = {os.path.realpath(link): str(link) for link in sorted(by_id.glob("*"))}
    for found in list_ports.comports():
        if found.vid is None or f"{found.vid:04x}:{found.pid:04x}" not in adapter.usb:
            continue
        device = str(found.device)
        name = stable.get(os.path.realpath(device), device)
        usable = not os.path.exists(device) or os.access(device, os.R_OK | os.W_OK)
        yield Port(name, device, _interface(found), usable)


def _interface(found: Any) -> int | None:
    """Linux tells ``1-2:1.1``: the bus and port, the configuration, the interface."""
    _, _, last = str(found.location or "").partition(":")[2].rpartition(".")
    return int(last) if last.isascii() and last.isdigit() else None


def told(adapter: Adapter, ports: list[Port], folder: Path) -> list[str]:
    """What to say about the ports, a line each.

    Parameters
    ----------
    adapter : Adapter
    ports : list of Port
        Of :func:`ports_of`.
    folder : Path
        Of the build, for the line of Python.
    """
    lines = [p for p in ports if p.interface in (None, adapter.uart)]
    if not lines:
        return [
            f"port: none of an adapter {' or '.join(adapter.usb)} is there: unplug the board and "
            f"plug it in again, then look with ls -l {BY_ID}"
        ]
    said = [f"port: {p.name}" + (f" ({p.device})" if p.name != p.device else "") for p in lines]
    said += [f"no right to use {p.device}: {JOIN}" for p in lines if not p.usable]
    others = [p for p in ports if p not in lines]
    if others:
        said.append(
            f"the adapter has more ports: interface {adapter.uart} (if{adapter.uart:02d} in the "
            f"name) is the serial line, {', '.join(p.device for p in others)} programs the board"
        )
    elif any(p.interface is None for p in lines) and len(lines) > 1:
        said.append(f"interface {adapter.uart} of the adapter, counted from 0, is the serial line")
    if len(lines) > 1 and not any(p.interface is None for p in lines):
        said.append(f"{len(lines)} boards of this kind: the number in the name is the adapter's")
    return [*said, f'next: sf.open("serial:{lines[0].name}", "{folder}") in Python']
