"""Boards as small declarative files: device, clock, link, pins, default array, variants."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, replace
from functools import cache
from importlib import resources
from math import inf
from pathlib import Path
from typing import Any

from csb_format.arguments import number, shown, whole
from csb_format.scales import DesignError

from .families import FAMILIES
from .families.family import BOARD_MODULE, OPTIONS, Adapter, Board, Family, Part
from .families.pins import SIGNALS, BoardError, Pin, pins_of
from .link.rates import clocks_per_bit

__all__ = [
    "BOARD_MODULE",
    "OUTSIDE",
    "OWN",
    "SIGNALS",
    "Adapter",
    "Board",
    "BoardError",
    "Part",
    "Pin",
    "board",
    "board_names",
    "clock_verilog",
    "parse",
    "reachable",
]

ENDING = ".toml"
OUTSIDE = ("name", "family", "file")  # fields of a board that are no keys of a file
VARIANTS = "variants"
OWN = ("flow", VARIANTS)  # keys of a file that are no fields of a board
VARIANT = re.compile(r"[a-z0-9_]{1,20}")
WORD = re.compile(r"[\w./+-]{1,40}")  # what tools and scripts are given
MOST_HZ = 2_000_000_000
MOST_ARRAY = 4096
MOST_TEXT = 200
MOST_FILE = 1 << 16  # bytes


@cache
def _shipped() -> dict[str, tuple[str, str]]:
    """Name of every board, to the name of its file and its variant."""
    found = {}
    for file in resources.files(__package__).joinpath("data").iterdir():
        if file.name.endswith(ENDING):
            stem = file.name.removesuffix(ENDING)
            found[stem] = (stem, "")
            variants = tomllib.loads(file.read_text("utf-8")).get(VARIANTS, {})
            found |= {f"{stem}_{variant}": (stem, variant) for variant in variants}
    return found


def board_names() -> tuple[str, ...]:
    """All boards that are shipped and their variants, in alphabetical order."""
    return tuple(sorted(_shipped()))


def board(name: str | Path) -> Board:
    """A board by its name, or from a file of one's own.

    Parameters
    ----------
    name : str or path
        One of :func:`board_names`; or a file whose name ends with ``.toml``, with
        ``:VARIANT`` behind it for one of its variants.

    Raises
    ------
    BoardError
        If there is none, or its file is wrong.
    """
    text = str(name)
    path, _, variant = text.partition(f"{ENDING}:")
    if text.endswith(ENDING) or variant:
        file = Path(path + ENDING if variant else text)
        return replace(parse(file.stem, _read(file), variant), file=text)
    if text not in _shipped():
        raise BoardError(
            f"board {text!r} is not known: choose one of {', '.join(board_names())}, or give a "
            "file of your own, such as ./my_board.toml"
        )
    stem, variant = _shipped()[text]
    data = resources.files(__package__).joinpath("data", f"{stem}{ENDING}")
    return parse(stem, data.read_text("utf-8"), variant)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            found = opened.read(MOST_FILE + 1)
        text = found.decode("utf-8")
    except OSError as error:
        raise BoardError(f"board file {file}: {error.strerror}: give a file to read") from None
    except UnicodeDecodeError:
        raise BoardError(f"board file {file} is no text: write it as UTF-8") from None
    if len(found) > MOST_FILE:
        raise BoardError(f"board file {file} is larger than {MOST_FILE} bytes: it is no board's")
    return text


def _fields(where: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BoardError(f"{where}: {error}") from None
    except RecursionError:
        raise BoardError(f"{where}: it is nested too deeply: write flat tables") from None
    except ValueError:
        raise BoardError(f"{where}: it holds a number of thousands of digits") from None


def parse(name: str, text: str, variant: str = "") -> Board:
    """A board from the text of its file.

    Parameters
    ----------
    name : str
        Of the file, without its ending.
    text : str
    variant : str
        One of its table ``variants``; empty for the board itself.

    Raises
    ------
    BoardError
        If a key is missing, unknown or impossible, its family or part is not known, two signals
        have one pin, or nothing on the board makes its clock.
    """
    where = f"board file {name}{ENDING}"
    given, called = _fields(where, text), f"{name}_{variant}" if variant else name
    try:
        return _made(called, _chosen(given, variant))
    except BoardError as error:
        at = f", variant {variant}" if variant else ""
        said = str(error).removeprefix(f"board {called}: ")
        raise BoardError(f"{where}{at}: {said}") from None


def _chosen(given: dict[str, Any], variant: str) -> dict[str, Any]:
    """Keys of a board or of one of its variants, which says only what differs."""
    variants = given.pop(VARIANTS, {})
    if not isinstance(variants, Mapping):
        raise BoardError(f"{VARIANTS} = {shown(variants)}: give tables, such as [{VARIANTS}.85f]")
    for name, one in variants.items():
        if not isinstance(one, Mapping) or not VARIANT.fullmatch(name):
            raise BoardError(
                f"{VARIANTS}.{name}: give a table, its name of lower-case letters and digits"
            )
        if fixed := [key for key in OWN if key in one]:
            raise BoardError(
                f"{VARIANTS}.{name}: {fixed[0]} cannot differ: write a file of its own"
            )
    if variant and variant not in variants:
        there = f"choose one of {', '.join(variants)}" if variants else "it has none"
        raise BoardError(f"it is not in the file: {there}")
    own = dict(variants.get(variant, {}))
    if isinstance(given.get("pins"), Mapping) and isinstance(own.get("pins"), Mapping):
        own["pins"] = {**given["pins"], **own["pins"]}
    return given | own


def _made(name: str, given: dict[str, Any]) -> Board:
    """A board of keys that are all there and all possible."""
    flow = given.pop("flow", None)
    families = ", ".join(FAMILIES)
    if flow is None:
        raise BoardError(f"flow is missing: choose one of {families}")
    if not isinstance(flow, str) or flow not in FAMILIES:
        raise BoardError(f"flow {shown(flow)} is not known: choose one of {families}")
    _check_keys(given)
    family = FAMILIES[flow]
    if given["part"] not in family.parts:
        raise BoardError(
            f"part {shown(given['part'])} is not one that {flow} knows "
            f"({', '.join(family.parts)}): choose one of these, or add it as docs/boards.md says"
        )
    pins = pins_of(given.pop("pins", {}))
    source = tuple(given.pop("source", ()))
    if "adapter" in given:
        given["adapter"] = Adapter.of(given["adapter"])
    found = Board(name=name, family=family, pins=pins, source=source, **given)
    _check_pins(found)
    _check_line(found)
    _check_clock(found)
    return found


def _check_keys(given: dict[str, Any]) -> None:
    ours = [field for field in fields(Board) if field.name not in OUTSIDE]
    known = [field.name for field in ours]
    for key in given:
        if key not in known:
            raise BoardError(f"{key!r} is not known: the keys are {', '.join([*OWN, *known])}")
    for field in ours:
        required = field.default is MISSING and field.default_factory is MISSING
        if required and field.name not in given:
            raise BoardError(f"{field.name} is missing")
    for key, value in given.items():
        _check_value(key, value)


def _check_value(key: str, value: object) -> None:
    """One value, by the kind of its key."""
    try:
        if key in ("oscillator_hz", "clock_hz"):
            whole(key, value, 1, MOST_HZ)
        elif key in ("speed", "baud"):
            whole(key, value, 0, MOST_HZ)
        elif key == "config_volts":
            number(key, value, 0, inf)
        elif key in ("title", "note", "part", "package", "load"):
            _check_text(key, value)
        elif key == "source" and not _texts(value):
            raise BoardError(f"source = {shown(value)}: give a list of texts")
        elif key == "array":
            _check_array(value)
    except BoardError:
        raise
    except (TypeError, ValueError) as error:
        raise BoardError(str(error)) from None


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _check_text(key: str, value: object) -> None:
    """One line; where a tool reads it, one word."""
    if not isinstance(value, str) or len(value) > MOST_TEXT or not value.isprintable():
        raise BoardError(f"{key} = {shown(value)}: give a text of one line")
    if key in ("part", "package") and not WORD.fullmatch(value):
        raise BoardError(f"{key} = {shown(value)}: give it as the vendor writes it")


def _check_array(value: object) -> None:
    if not isinstance(value, Mapping):
        raise BoardError(f"array = {shown(value)}: give {{ pes = 4, lanes = 2, deep = true }}")
    for key, one in value.items():
        if key in OPTIONS:
            if not isinstance(one, bool):
                raise BoardError(f"array: {key} = {shown(one)}: give true or false")
        elif key in ("pes", "lanes"):
            whole(f"array: {key}", one, 1, MOST_ARRAY)
        else:
            raise BoardError(
                f"array: {key!r} is not known: the keys are pes, lanes, {', '.join(OPTIONS)}"
            )
    if missing := [key for key in ("pes", "lanes") if key not in value]:
        raise BoardError(f"array: {missing[0]} is missing")
    others = [key for key in OPTIONS if key != "compact" and value.get(key)]
    if value.get("compact") and others:
        raise BoardError(f"array: {others[0]} and compact do not go together: leave one out")


def _check_pins(found: Board) -> None:
    """Pins that the family's tools take, and all that they need."""
    if found.family.tools:
        for signal in ("clk", "rx", "tx"):
            if signal not in found.pins:
                raise BoardError(f"pins.{signal} is missing: its tools place no pin by themselves")
    for name, pin in found.pins.items():
        _check_pin(found.family, name, pin)


def _check_pin(family: Family, name: str, pin: Pin) -> None:
    if family.standards and pin.standard not in family.standards:
        raise BoardError(
            f"pins.{name}: standard = {shown(pin.standard)}: {family.name} has "
            f"{', '.join(family.standards)}"
        )
    if not family.standards and pin.standard:
        raise BoardError(f"pins.{name}: {family.name} takes no standard: leave it out")
    if pin.pull and pin.pull not in family.pulls:
        raise BoardError(
            f"pins.{name}: pull = {shown(pin.pull)}: {family.name} has {', '.join(family.pulls)}"
        )
    if pin.drive and not family.drives:
        raise BoardError(f"pins.{name}: {family.name} takes no drive: leave it out")
    if pin.drive and pin.drive not in family.drives:
        raise BoardError(
            f"pins.{name}: drive = {pin.drive}: {family.name} has "
            f"{', '.join(map(str, family.drives))} mA"
        )


def _check_line(found: Board) -> None:
    """A serial line, but where a processor is between."""
    behind = found.family.project is not None and found.family.project.packaged
    if behind and found.baud:
        raise BoardError(f"baud = {found.baud}: {found.family.name} has no serial line: give 0")
    if not behind and not found.baud:
        raise BoardError("baud = 0: the link is a serial line: give its rate, such as 1_000_000")


def _check_clock(found: Board) -> None:
    """A clock that something on the board makes, and that divides down to the baud rate."""
    clock_verilog(found)
    try:
        if found.baud:
            clocks_per_bit(found.clock_hz, found.baud)
    except DesignError as error:
        raise BoardError(str(error)) from None


def clock_verilog(board: Board) -> str:
    """Verilog that makes ``clock`` and ``locked`` of the port ``clk``.

    Raises
    ------
    BoardError
        If no setting of the loop gives exactly this clock.
    """
    if board.clock_hz == board.oscillator_hz:
        return "    wire clock = clk;\n    wire locked = 1'b1;\n"
    if board.family.clock is None:
        raise BoardError(
            f"board {board.name}: clock {board.clock_hz / 1e6:.9g} MHz: its flow has no loop "
            f"here, take the oscillator's {board.oscillator_hz / 1e6:.9g} MHz"
        )
    return board.family.clock(board)


def reachable(board: Board, megahertz: float) -> int | None:
    """The fastest whole clock in MHz up to this that the board's loop makes."""
    for clock in range(int(megahertz), 0, -1):
        slower = replace(board, clock_hz=clock * 1_000_000)
        with suppress(ValueError):
            _check_clock(slower)
            return clock
    return None
