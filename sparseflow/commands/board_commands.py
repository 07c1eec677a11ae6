"""What hardware is made for: boards, bitstreams, vendor tools, a block of a larger system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ..steps.options import BoardsOptions, BuildOptions, FitOptions, IpOptions
from .derived import derived

if TYPE_CHECKING:
    from boards.board import Board
    from boards.resources import Choice
    from boards.streamed.choices import Outside
    from csb_format import Model

__all__ = ["boards", "build", "fit", "ip"]

ModelFile = Annotated[Path, typer.Argument(help="Model that `pack` wrote.")]
DEMO = "the demo's size\n(12 inputs, 128 units, 8 banks, 1 of 2 and 2 of 16 kept, 16 bits)"
# rows of arrays that do not fit, the nearest ones
NEAR = 3
WORTH = 0.02  # faster, of a size that is not listed
# arrays for a model whose gates keep different numbers of weights, without slots of one gate
PADDED, PADDED_TEXT = "padded", "gates wait for the one that keeps most weights"


@derived(BoardsOptions)
def boards(given: BoardsOptions) -> None:
    """List the boards: device, tools, clock, link, and the array that `build` takes.

    **Next:** `sparseflow fit MODEL --board BOARD`
    """
    from boards.board import board, board_names
    from csb_format import load_model
    from csb_format.random_models import demo_sized

    model = load_model(given.model) if given.model else demo_sized()
    table = _table(
        "array: the fastest that fits, which `build` takes, for "
        f"{given.model.name if given.model else DEMO}"
    )
    for column in ("board", "device", "made with", "MHz", "link", "array"):
        table.add_column(column, overflow="fold")
    for name in [given.board] if given.board else board_names():
        b = board(name)
        clock, link = f"{b.clock_hz / 1e6:g}", "UART" if b.baud else "AXI"
        device = f"{b.title}\n{b.part}"
        table.add_row(b.name, device, b.family.made_with, clock, link, _taken(model, b))
    Console().print(table)


def _taken(model: Model, board: Board) -> str:
    """The array that `build` takes, and what limits it."""
    from boards.resources import choices

    every = choices(model, board)
    if not every:
        return "none"
    name, share = min((c.usage.limit(board.has) for c in every), key=lambda limit: limit[1])
    if not every[0].fits:
        return f"none\n{_short(name)} {share:.0%}"
    name, share = every[0].usage.limit(board.has)
    return f"{every[0].design.pes} x {every[0].design.lanes}\n{_short(name)} {share:.0%}"


def _short(name: str) -> str:
    from boards.resources import RESOURCES

    return next(resource.short for resource in RESOURCES if resource.name == name)


@derived(FitOptions)
def fit(given: FitOptions) -> None:
    """Say before any synthesis which arrays fit a board, what limits, and the fastest.

    **In:** a packed model. **Out:** a table, the fastest first; cells and clock are estimates. Then
    whether the fastest is too large for the model, and what streams side by side would bring. Where
    none fits and the board has memory outside: designs that read the matrices from there for every
    frame, or for a frame of each of several streams, with the commands that make them.

    **Next:** `sparseflow build MODEL --board BOARD --out FOLDER`
    """
    from boards.advice import advise, behind
    from boards.board import board as named
    from boards.resources import choices, fastest
    from csb_format import load_model

    from ..steps.ranges import of_model
    from .tuning.fitted import write

    _check_files(given)
    model, found = load_model(given.model), named(given.board)
    every = choices(model, found, given.contexts, given.largest)
    title = _headline(every[0], found) if every and every[0].fits else "nothing fits"
    clock = "a guess" if found.has.guessed else "as measured, at most the clock of the board"
    padded = f"\n{PADDED}: {PADDED_TEXT}." if any(_padded(c, model) for c in every) else ""
    table = _table(
        f"Estimates, shares of {found.part}. Cycles and us: of a step.\nMHz: {clock}.{padded}"
        f"{_basis(found)}",
        title,
    )
    for column in ("M x N", "fits", "DSP", "RAM", "LUT", "limit", "cycles", "MHz", "us"):
        right = column not in ("M x N", "fits", "limit")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    for c in _shown(every, found):
        table.add_row(*_cells(c, found, padded=_padded(c, model)))
    if every:
        Console().print(table)
    for line in of_model(model):
        Console().print(line, highlight=False, markup=False)
    if advice := advise(model, found, every):
        for line in advice.lines:
            Console().print(line, highlight=False, markup=False)
        if unit := behind(model, found, advice.best):
            Console().print(unit, highlight=False, markup=False)
        if finer := _finer(given, model, found, advice.best):
            Console().print(finer, highlight=False, markup=False)
    outside = None if every and every[0].fits else _outside(given, model, found)
    write(given, model, found, every, outside)
    if outside is None or not outside.choices:
        fastest(
            model, found, given.contexts, given.largest
        )  # an error that says what to do where nothing fits


def _check_files(given: FitOptions) -> None:
    """Refuse files that cannot be written before the work."""
    from ..steps.checks import check_written

    if given.html:
        check_written("--html", given.html, given.model)
    if given.json:
        check_written("--json", given.json, given.model, given.html)


def _outside(given: FitOptions, model: Model, board: Board) -> Outside:
    """What the board's memory offers where nothing fits on chip, also shown."""
    from boards.streamed.choices import outside

    from .tuning.fitted import streamed, streamed_table

    found = outside(model, board, given.contexts)
    rows = [streamed(given, model, one) for one in found.choices]
    if rows:
        Console().print(streamed_table(board, rows))
    for line in (*found.notes, *(row["command"] for row in rows)):
        Console().print(line, highlight=False, markup=False, soft_wrap=True)
    return found


def _basis(board: Board) -> str:
    """What counts of look-up tables rest on, where it is more than the structure."""
    from boards.cells.learned import shipped

    counts = shipped().families.get(board.family.name)
    if not counts or "lut" not in counts:
        return ""
    taught = counts["lut"].samples
    return f"\nLUT: as {taught} counted designs taught; `sparseflow predict` has the structure's."


def _finer(given: FitOptions, model: Model, board: Board, best: Choice) -> str:
    """A size that is none of the usual ones, if it is worth a word."""
    from ..tune.hardware import candidates, front

    found = next(iter(front(candidates(model, board, given.contexts, largest=given.largest))), None)
    gain = best.microseconds / found.microseconds - 1 if found else 0.0
    if found is None or gain < WORTH:
        return ""
    return (
        f"{found.design.pes} x {found.design.lanes}, no usual size, is {gain:.0%} faster: "
        f"{found.microseconds:.2f} us. `sparseflow tune` shows all sizes that are worth a look."
    )


def _table(caption: str, title: str | None = None) -> Table:
    """Narrow enough for 80 columns."""
    return Table(
        title=title,
        caption=caption,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def _shown(every: list[Choice], board: Board) -> list[Choice]:
    """All that fit, and those that nearly do."""
    fitting = [c for c in every if c.fits]
    others = sorted((c for c in every if not c.fits), key=lambda c: c.usage.limit(board.has)[1])
    return fitting + others[:NEAR]


def _headline(best: Choice, board: Board) -> str:
    return (
        f"{board.title}: {best.design.pes} x {best.design.lanes} is the fastest, "
        f"{best.microseconds:.2f} us a step"
    )


def _padded(c: Choice, model: Model) -> bool:
    """Whether gates that keep fewer weights wait for the fullest."""
    from compiler.array.shapes import asks_by_gate

    return asks_by_gate(model) and not c.design.by_gate


def _cells(c: Choice, board: Board, *, padded: bool) -> tuple[str, ...]:
    """A row of the table."""
    shares = c.usage.limits(board.has)
    counts = {"multipliers": c.usage.multipliers, "block RAM": c.usage.block_rams}
    counts["LUT"] = c.usage.luts
    used = [f"{n} {shares[name]:>4.0%}" for name, n in counts.items()]
    limit = _short(c.usage.limit(board.has)[0])
    array = f"{c.design.pes} x {c.design.lanes}" + f" {PADDED}" * padded
    speed = (f"{c.cycles:g}", f"{c.megahertz:g}", f"{c.microseconds:.2f}")
    return (array, "yes" if c.fits else "no", *used, limit, *speed)


@derived(BuildOptions)
def build(given: BuildOptions) -> None:
    """Make a bitstream with open tools, or the project of a vendor's tool.

    **In:** a packed model. **Out:** a folder with the bitstream and reports, or with a
    project that needs nothing of ours; `summary.md` in it says what came out.
    """
    from csb_format import load_model

    from ..steps.build import build as run
    from .activity import activities

    if (given.pes is None) != (given.lanes is None):
        raise ValueError("--pes and --lanes go together: give both or neither")
    array = (given.pes, given.lanes) if given.pes and given.lanes else None
    with activities("build") as (tell, note):
        page = run(
            load_model(given.model),
            given.board,
            given.out,
            array,
            given.clock,
            given.seed,
            seeds=given.seeds,
            timeout=given.timeout,
            keep=given.keep,
            contexts=given.contexts,
            largest=given.largest,
            tell=tell,
            note=note,
        )
    Console().print(page, highlight=False, markup=False, soft_wrap=True)
    Console().print(f"all of it in {given.out}", highlight=False, markup=False, soft_wrap=True)


@derived(IpOptions)
def ip(given: IpOptions) -> None:
    """Package the accelerator with AXI buses for a larger system: FuseSoC core and IP-XACT.

    **In:** a packed model and the size of the array. **Out:** a folder with Verilog, memory
    images, lint waivers, a test bench, a `.core` file and `component.xml`. All names begin with
    a prefix of the model's own, so that several accelerators fit into one system.

    **Next:** name the core that it prints in the `depend` of your own.
    """
    from ..steps.generating.hardware import package

    block = package(
        given.model, given.out, given.pes, given.lanes, given.bits, given.prefix, given.top.value,
        given.contexts, given.largest, given.bus_bits, given.planes,
    )  # fmt: skip
    for line in (f"module {block.module}, core {block.core}", f"all of it in {given.out}"):
        Console().print(line, highlight=False, markup=False, soft_wrap=True)
