"""What a board is, and the family of its device: one object a family, in a file of its own.

A family says which parts it has, how a clock is made, which constraints its tools take, what
logic costs, and either which open tools make its bitstreams or what the project of its vendor's
tool consists of. Nothing elsewhere asks which family it is.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.array.design import Design

__all__ = [
    "BOARD_MODULE",
    "RAM_18K",
    "SIGNALS",
    "Board",
    "BoardError",
    "Constraints",
    "Costs",
    "Family",
    "Files",
    "OpenTools",
    "Part",
    "Pin",
    "Project",
    "no_loop",
]

BOARD_MODULE = "sparseflow_board"
OPTIONS = ("deep", "compact")
SIGNALS = ("clk", "rx", "tx", "led")
# of ECP5, GW2A and 7 Series alike
RAM_18K = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))


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
    device : str
        What the family's tools call it, where that is not its name.
    guessed : bool
        The clock is not measured: the vendor's tool is not among ours, or no bitstream was made.
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
    device: str = ""
    guessed: bool = False
    distributed: int | None = None
    large_rams: int = 0
    halves: bool = False
    ram_step: int = 4


@dataclass(frozen=True)
class Costs:
    """What logic costs a family, beside what :mod:`boards.resources` reckons for all.

    Parameters
    ----------
    sites : float
        Look-up tables that one LUT4 site of the estimate is; six inputs take more logic.
    distributed : int
        LUT4 sites that 16 words of 4 bits take: on ECP5 with their write port's slice.
    soft_lanes : bool
        Where there are too few multipliers, those of the lanes become adders.
    """

    sites: float = 1.0
    distributed: int = 6
    soft_lanes: bool = False


@dataclass(frozen=True)
class Constraints:
    """Pins and clock as the tools take them.

    Parameters
    ----------
    file : str
    lines : tuple of str
        Of the file.
    arguments : tuple of str
        Of nextpnr, that name it.
    """

    file: str
    lines: tuple[str, ...]
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class OpenTools:
    """Yosys, nextpnr and a packer.

    Parameters
    ----------
    nextpnr : str
        Name of its program, without ``nextpnr-``.
    cells : dict
        What a row of results counts, to the kinds of cells in nextpnr's reports; a number
        is how many of them are one.
    bitstream : str
        Name of the file.
    packages : tuple of str
        On PyPI, those whose releases a result depends on.
    synthesis : callable
        Yosys commands after reading, of board, design and top module.
    constraints : callable
    device : callable
        Arguments of nextpnr that name the part.
    place : callable
        Further arguments of nextpnr.
    routed : tuple of str
        Arguments of nextpnr that name what it writes.
    pack : callable
        Program, arguments and, where it is no YoWASP one, the script that is the packer.
    improve : callable, optional
        Changes the netlist (JSON of Yosys, top module) before place and route.
    placers : tuple of str
        Placers of nextpnr, the best first: the next one is tried where one finds no places.
    """

    nextpnr: str
    cells: Mapping[str, Mapping[str, int]]
    bitstream: str
    packages: tuple[str, ...]
    synthesis: Callable[[Board, Design, str], list[str]]
    constraints: Callable[[Board], Constraints]
    device: Callable[[Board], list[str]]
    place: Callable[[Board], list[str]]
    routed: tuple[str, ...]
    pack: Callable[[Board], tuple[str, list[str], str | None]]
    improve: Callable[[dict[str, Any], str], None] | None = None
    placers: tuple[str, ...] = ("heap",)


@dataclass(frozen=True)
class Files:
    """What a project is made of.

    Parameters
    ----------
    sources, images : tuple of str
        Names of Verilog files, the top module's first, and of memory images.
    """

    sources: tuple[str, ...]
    images: tuple[str, ...]


@dataclass(frozen=True)
class Project:
    """The project of a vendor's tool.

    Parameters
    ----------
    first : str
        The file to start with.
    texts : callable
        Files of the project, name to lines, of board and :class:`Files`.
    packaged : bool
        The accelerator is packaged as IP behind a processor, instead of a top with a link.
    """

    first: str
    texts: Callable[[Board, Files], dict[str, list[str]]]
    packaged: bool = False


@dataclass(frozen=True)
class Family:
    """All that is told of a family of devices.

    Parameters
    ----------
    name : str
        As board files call it (``flow``).
    made_with : str
        For people.
    parts : dict of str to Part
    costs : Costs
    clock : callable, optional
        Verilog of its phase-locked loop, of a board; None where none is described.
    tools : OpenTools, optional
        Those that make bitstreams; exactly one of ``tools`` and ``project`` is given.
    project : Project, optional
    start : str
        What is run in a project's folder.
    """

    name: str
    made_with: str
    parts: Mapping[str, Part]
    costs: Costs = field(default_factory=Costs)
    clock: Callable[[Board], str] | None = None
    tools: OpenTools | None = None
    project: Project | None = None
    start: str = ""


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
    family : Family
        ``flow`` in the file.
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
    family: Family
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
        return self.family.parts[self.part]

    @property
    def options(self) -> dict[str, bool]:
        """What :func:`compiler.array.needs.design_for` is given for all its designs."""
        return {name: bool(on) for name, on in self.array.items() if name in OPTIONS}

    def located(self) -> dict[str, Pin]:
        """Pins of ``clk``, ``rx``, ``tx`` and ``led``, as far as they are known."""
        found = _platform_pins(self.platform, self.resources) if self.platform else {}
        for signal, given in self.pins.items():
            found[signal] = Pin(given["pin"], given.get("standard", ""))
        return {signal: found[signal] for signal in SIGNALS if signal in found}


def no_loop(board: Board) -> BoardError:
    """The error for a clock that no setting of a family's loop makes."""
    return BoardError(
        f"board {board.name}: no setting of its loop makes {board.clock_hz / 1e6:.9g} MHz "
        f"of {board.oscillator_hz / 1e6:.9g} MHz: choose a multiple of "
        f"{board.oscillator_hz // 5 / 1e6:.9g} MHz"
    )


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
