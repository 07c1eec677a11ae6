"""What a board is, and the family of its device: one object a family, in a file of its own.

A family says which parts it has, how a clock is made, which constraints its tools take, what
logic costs, and either which open tools make its bitstreams or what the project of its vendor's
tool consists of. Nothing elsewhere asks which family it is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.array.design import PART_PLACES, Design
from csb_format.arguments import shown

from .pins import MOST_DRIVE, SIGNALS, BoardError, Pin

__all__ = [
    "BOARD_MODULE",
    "RAM_18K",
    "Adapter",
    "Board",
    "Constraints",
    "Costs",
    "Family",
    "Files",
    "LutRam",
    "OpenTools",
    "Part",
    "Project",
    "no_loop",
]

BOARD_MODULE = "sparseflow_board"
OPTIONS = ("deep", "compact", "parts", "unguarded", "block_banks")
# of ECP5, GW2A and 7 Series alike
RAM_18K = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))


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
    registers : int, optional
        Flip-flops; None: as many as look-up tables.
    distributed : int, optional
        Memories of 64 bits that logic finds room for instead, of 16 words of 4; None: enough.
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
    registers: int | None = None
    distributed: int | None = None
    large_rams: int = 0
    halves: bool = False
    ram_step: int = 4


@dataclass(frozen=True)
class LutRam:
    """Memory that look-up tables of six inputs are, one word written and one read a cycle.

    Parameters
    ----------
    luts : int
        Of one memory, that of its write address with them.
    bits : int
        Of its 64 words; 32 words have twice as many. Longer ones are several.
    """

    luts: int
    bits: int

    def count(self, width: int, depth: int) -> int:
        """Look-up tables that are a memory."""
        whole, rest = divmod(depth, PART_PLACES)
        parts = whole * -(-width // self.bits)
        parts += -(-width // (self.bits * (2 if rest <= PART_PLACES // 2 else 1))) * bool(rest)
        return self.luts * parts

    def choice(self, width: int, depth: int) -> int:
        """Those that choose among its parts: one among four bits, each further one three more."""
        return width * -(-(-(-depth // PART_PLACES) - 1) // 3)


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
    least : (int, int)
        Bits of both operands, and of the product, from which Yosys takes a multiplier.
    lut_ram : LutRam, optional
        What the parts of a vector bank are, as Yosys counts them.
    """

    sites: float = 1.0
    distributed: int = 6
    soft_lanes: bool = False
    least: tuple[int, int] = (2, 9)
    lut_ram: LutRam | None = None


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
    logged : dict
        What its report leaves out, to patterns of its log, each with a number; they add up.
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
    reserved : dict
        Cells that nextpnr's log counts too many of, to those that take their places; a number is
        how many one takes.
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
    logged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    placers: tuple[str, ...] = ("heap",)
    reserved: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


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
    memory_bits : int
        Width of a port to memory outside, whose words a streamed design reads, one a cycle; 0: a
        design reaches none.
    standards : tuple of str
        Electrical standards of a single wire, as its tools call them; empty: none is asked for.
    pulls : tuple of str
        Resistors that a pin can have.
    drives : sequence of int
        Currents of an output that can be chosen, mA; empty: none.
    """

    name: str
    made_with: str
    parts: Mapping[str, Part]
    costs: Costs = field(default_factory=Costs)
    clock: Callable[[Board], str] | None = None
    tools: OpenTools | None = None
    project: Project | None = None
    start: str = ""
    memory_bits: int = 0
    standards: tuple[str, ...] = ()
    pulls: tuple[str, ...] = ("up", "down", "none")
    drives: Sequence[int] = range(1, MOST_DRIVE + 1)


@dataclass(frozen=True)
class Adapter:
    """What a computer meets at the board's USB socket.

    Parameters
    ----------
    loader : tuple of str
        What openFPGALoader calls the board, a name for each of its revisions; the first is taken.
    usb : tuple of str
        VID:PID of the adapter, in hexadecimal, for each revision.
    uart : int
        Which of the adapter's interfaces, from 0, is the serial line.
    """

    loader: tuple[str, ...]
    usb: tuple[str, ...] = ()
    uart: int = 0

    @classmethod
    def of(cls, given: object) -> Adapter:
        """From a board file's table; errors (`BoardError`) name the field."""
        wanted = {
            "loader": (r"\w[\w-]*", '["ulx3s"]'),
            "usb": (r"[0-9a-f]{4}:[0-9a-f]{4}", '["0403:6010"], in lower case'),
        }
        if not isinstance(given, dict) or set(given) - {*wanted, "uart"} or "loader" not in given:
            raise BoardError('adapter: give { loader = ["NAME"], usb, uart }')
        for name, (form, such) in wanted.items():
            texts = given.get(name, [])
            if not isinstance(texts, list) or not all(
                isinstance(one, str) and re.fullmatch(form, one) for one in texts
            ):
                raise BoardError(f"adapter: {name} = {shown(texts)}: give a list such as {such}")
        uart = given.get("uart", 0)
        if type(uart) is not int or not 0 <= uart <= 9 or not given["loader"]:
            raise BoardError("adapter: give a name of the loader, and uart 0 to 9")
        return cls(tuple(given["loader"]), tuple(given.get("usb", [])), uart)


@dataclass(frozen=True)
class Board:
    """One file of ``boards/data``, or one of its variants.

    Parameters
    ----------
    name, title : str
        Of the file, with the variant; of the board.
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
        Default ``pes`` and ``lanes``; ``deep`` or ``compact``, ``parts`` or ``block_banks``,
        ``unguarded``: what all its designs are.
    pins : dict of str to Pin
        Those of :data:`~boards.families.pins.SIGNALS`, and outputs that are held at a level.
    source : tuple of str
        Where the pins were looked up: repository and file, or document.
    note : str
        What one has to know before one connects a cable.
    config_volts : float
        Of the bank that a 7 Series device is configured through; 0 where no tool asks.
    adapter : Adapter, optional
        What loads the bitstream and has the serial line.
    load : str
        What loads the bitstream of a vendor's tool, typed in the project's folder.
    file : str
        Where its file is if it is one's own, with the variant.
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
    pins: dict[str, Pin] = field(default_factory=dict)
    source: tuple[str, ...] = ()
    note: str = ""
    config_volts: float = 0.0
    adapter: Adapter | None = None
    load: str = ""
    file: str = field(default="", compare=False)

    @property
    def option(self) -> str:
        """What a shell is told behind ``--board``."""
        return shlex.quote(self.file or self.name)

    @property
    def has(self) -> Part:
        """Its device."""
        return self.family.parts[self.part]

    @property
    def load_line(self) -> str:
        """What a shell is told in the folder of a build; empty where nobody knows."""
        if self.family.tools is None or self.adapter is None:
            return self.load
        return f"openFPGALoader --board {self.adapter.loader[0]} {self.family.tools.bitstream}"

    @property
    def options(self) -> dict[str, bool]:
        """What :func:`compiler.array.needs.design_for` is given for all its designs."""
        return {name: bool(on) for name, on in self.array.items() if name in OPTIONS}

    @property
    def signals(self) -> tuple[str, ...]:
        """Ports of the board's top: an open flow leaves out what has no pin."""
        here = (s for s in SIGNALS if s in self.pins or self.family.project)
        return (*here, *self.held)

    @property
    def held(self) -> tuple[str, ...]:
        """Outputs that keep one level."""
        return tuple(name for name, pin in self.pins.items() if pin.level is not None)


def no_loop(board: Board) -> BoardError:
    """The error for a clock that no setting of a family's loop makes."""
    return BoardError(
        f"board {board.name}: no setting of its loop makes {board.clock_hz / 1e6:.9g} MHz "
        f"of {board.oscillator_hz / 1e6:.9g} MHz: choose a multiple of "
        f"{board.oscillator_hz // 5 / 1e6:.9g} MHz"
    )
