"""Boards as small declarative files: device, clock, link, default array."""

from __future__ import annotations

import importlib
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

__all__ = [
    "BOARD_MODULE",
    "FLOWS",
    "PARTS",
    "Board",
    "BoardError",
    "Part",
    "Pin",
    "board",
    "board_names",
]

BOARD_MODULE = "sparseflow_board"

FLOWS = {
    "ecp5": "open tools",
    "ice40": "open tools",
    "gowin": "open tools",
    "vivado": "Vivado project",
    "vivado-zynq": "Vivado project",
    "quartus": "Quartus project",
}
OPTIONS = ("deep", "compact")
SIGNALS = ("clk", "rx", "tx", "led")


class BoardError(ValueError):
    """A board that is not known or not described well."""


@dataclass(frozen=True)
class Part:
    """What a device has.

    Parameters
    ----------
    multipliers : int
        DSP blocks that make one 18 x 18 product (16 x 16 on iCE40).
    block_rams : int
    ram_shapes : tuple of (words, bits)
        Shapes of one block RAM with a port to write and one to read.
    luts : int
        Look-up tables: LUT4 (ECP5, iCE40, Gowin), LUT6 (AMD), ALM (Intel).
    megahertz : float
        Clock after place and route: the lowest of ``bench/results/boards.json``, rounded down.
    guessed : bool
        The clock is not measured: the vendor's tool is not among ours.
    distributed : int, optional
        Memories of 16 words of 4 bits that logic finds room for instead; None: enough.
    large_rams : int
        Memories of a single port, 16384 words of 16 bits.
    halves : bool
        One multiplier can be two of 9 x 9.
    ram_step : int
        Bits by which the width of a memory in logic grows, as Yosys reckons.
    """

    multipliers: int
    block_rams: int
    ram_shapes: tuple[tuple[int, int], ...]
    luts: int
    megahertz: float
    guessed: bool = False
    distributed: int | None = None
    large_rams: int = 0
    halves: bool = False
    ram_step: int = 4


# of ECP5, GW2A and 7 Series alike
RAM_18K = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
ICE40_RAM = ((256, 16), (512, 8), (1024, 4), (2048, 2))
M10K = ((256, 40), (512, 20), (1024, 10), (2048, 5), (4096, 2), (8192, 1))
M20K = ((512, 40), (1024, 20), (2048, 10), (4096, 5), (8192, 2), (16384, 1))
# capacities: nextpnr 0.11 for Lattice and Gowin, the vendors' product tables for the others
PARTS = {
    "LFE5U-85F": Part(156, 208, RAM_18K, 83640, 91),
    "LFE5UM5G-45F": Part(72, 108, RAM_18K, 43848, 157),
    "iCE40UP5K": Part(8, 30, ICE40_RAM, 5280, 25, distributed=0, large_rams=4),
    # 648 small memories; the placer found room for 406 of them, and none for 488
    "GW2A-LV18PG256C8/I7": Part(
        48, 46, RAM_18K, 20736, 124, distributed=420, halves=True, ram_step=1
    ),
    "xc7a100t": Part(240, 270, RAM_18K, 63400, 150, guessed=True),
    "xck26": Part(1248, 288, RAM_18K, 117120, 200, guessed=True),
    "5CSEBA6U23I7": Part(224, 553, M10K, 41910, 100, guessed=True),
    "10AX115S2F45I1SG": Part(3036, 2713, M20K, 427200, 200, guessed=True),
}


@dataclass(frozen=True)
class Pin:
    """Where a signal leaves the device.

    Parameters
    ----------
    name : str
        Of the ball or pin.
    standard : str
        Electrical standard in the words of the vendor's tools; empty for their default.
    """

    name: str
    standard: str = ""


@dataclass(frozen=True)
class Board:
    """One file of ``boards/data``.

    Parameters
    ----------
    name, title : str
        Of the file; of the board.
    flow : str
        One of ``FLOWS``.
    part, package : str
    speed : int
        Speed grade; the slowest sold where the board has several.
    oscillator_hz, clock_hz : int
        On the board; of the accelerator.
    baud : int
        Of the serial link; 0 where the link is AXI.
    array : dict
        Default ``pes`` and ``lanes``; ``deep`` or ``compact``, what all its designs are.
    platform : str
        ``module:class`` of amaranth-boards that knows the pins.
    resources : dict
        Its names of ``clk``, ``uart`` and ``led``.
    pins : dict
        Pins that it does not know.
    price_usd : int, optional
    """

    name: str
    title: str
    flow: str
    part: str
    package: str
    speed: int
    oscillator_hz: int
    clock_hz: int
    baud: int
    array: dict[str, Any]
    platform: str = ""
    resources: dict[str, str] = field(default_factory=dict)
    pins: dict[str, dict[str, str]] = field(default_factory=dict)
    price_usd: int | None = None

    @property
    def has(self) -> Part:
        """Its device."""
        return PARTS[self.part]

    @property
    def options(self) -> dict[str, bool]:
        """What :meth:`compiler.array.design.design_for` is given for all its designs."""
        return {name: bool(on) for name, on in self.array.items() if name in OPTIONS}

    def located(self) -> dict[str, Pin]:
        """Pins of ``clk``, ``rx``, ``tx`` and ``led``, as far as they are known."""
        found = _platform_pins(self.platform, self.resources) if self.platform else {}
        for signal, given in self.pins.items():
            found[signal] = Pin(given["pin"], given.get("standard", ""))
        return {signal: found[signal] for signal in SIGNALS if signal in found}


def board_names() -> tuple[str, ...]:
    """All boards, in alphabetical order."""
    files = resources.files(__package__).joinpath("data").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def board(name: str) -> Board:
    """A board by its name.

    Raises
    ------
    BoardError
        If there is none, or its file is wrong.
    """
    if name not in board_names():
        raise BoardError(f"board {name!r} is not known: choose one of {', '.join(board_names())}")
    text = resources.files(__package__).joinpath("data", f"{name}.toml").read_text("utf-8")
    return parse(name, text)


def parse(name: str, text: str) -> Board:
    """A board from the text of its file.

    Raises
    ------
    BoardError
        If a field is missing, unknown or impossible.
    """
    try:
        found = Board(name=name, **tomllib.loads(text))
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise BoardError(f"board file {name}.toml: {error}") from None
    for label, value, known in (("flow", found.flow, FLOWS), ("part", found.part, PARTS)):
        if value not in known:
            raise BoardError(
                f"board file {name}.toml: {label} {value!r} is not known: "
                f"choose one of {', '.join(known)}"
            )
    return found


def _platform_pins(platform: str, names: dict[str, str]) -> dict[str, Pin]:
    """Pins from a platform of amaranth-boards."""
    module, _, name = platform.partition(":")
    known = getattr(importlib.import_module(module), name).resources
    by_name = {r.name: r for r in known if r.number == 0}
    found: dict[str, Pin] = {}
    for ours, theirs in names.items():
        resource = by_name[theirs]
        for part in resource.ios:
            signal = part.name if ours == "uart" else ours
            pins = part.ios[0] if ours == "uart" else part
            if signal in SIGNALS:
                found[signal] = Pin(pins.names[0], _standard(resource, part))
    return found


def _standard(resource: Any, part: Any) -> str:
    """Electrical standard, whatever the vendor calls it."""
    given = {**getattr(resource, "attrs", {}), **getattr(part, "attrs", {})}
    kinds = ("IO_TYPE", "IO_STANDARD", "IOSTANDARD", "io_standard")
    return str(next((given[kind] for kind in kinds if kind in given), ""))
