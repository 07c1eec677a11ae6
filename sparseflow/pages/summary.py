"""The page at the end of a build."""

from __future__ import annotations

from boards.board import SIGNALS, Board
from boards.build.bitstream import Built
from boards.resources import RESOURCES, Choice
from csb_format.model import Model

from .build_details import details, table

__all__ = ["speeds", "summary"]


def speeds(model: Model, cycles: float, megahertz: float) -> tuple[float, float]:
    """Real and dense-equivalent 10^9 operations a second; a product and its sum are two.

    Parameters
    ----------
    model : Model
    cycles : float
        Of a step.
    megahertz : float
    """
    matrices = [g for layer in model.shape.layers for g in layer.geometries.values()]
    dense = sum(g.rows * g.columns for g in matrices)
    rate = 2 * megahertz / cycles / 1000
    return model.shape.real_nonzeros * rate, dense * rate


def summary(model: Model, board: Board, best: Choice, built: Built | None, seconds: float) -> str:
    """One page of Markdown.

    Parameters
    ----------
    model : Model
    board : Board
    best : Choice
        What was estimated.
    built : Built, optional
        What came out; None for a project of a vendor's tool.
    seconds : float
        That it took.
    """
    design, megahertz = best.design, built.clock_mhz if built else best.megahertz
    real, dense = speeds(model, best.cycles, megahertz)
    lines = [
        f"# {board.title}: {design.pes} x {design.lanes} multipliers",
        "",
        f"- device {board.part}, {board.family.made_with}",
        f"- a step of the model: {best.cycles} cycles, {best.cycles / megahertz:.2f} us at "
        f"{megahertz:g} MHz",
        f"- {real:.3g} GOPS, {dense:.3g} GOPS if the pruned weights counted",
    ]
    lines += _clock(board, best, built)
    lines += [f"- {board.note}"] if board.note else []
    lines += ["", *_cells(board, best, built), "", *_result(board, built)]
    lines += [f"- built in {seconds:.0f} s", ""]
    return "\n".join(lines + (details(built) if built else []))


def _clock(board: Board, best: Choice, built: Built | None) -> list[str]:
    if built:
        verdict = "met" if built.fmax_mhz >= built.clock_mhz else "MISSED"
        said = f"- clock {verdict}: place and route reached {built.fmax_mhz:g} MHz"
        return [said + _missed(built)]
    told = "a guess" if board.has.guessed else "measured on other designs"
    return [f"- the clock is {told}; only the vendor's tool can tell"]


def _missed(built: Built) -> str:
    """Faster clocks that were tried before."""
    reached: dict[float, float] = {}
    for run in built.attempts:
        if run.clock_mhz and run.clock_mhz != built.clock_mhz:
            reached[run.clock_mhz] = max(reached.get(run.clock_mhz, 0), run.fmax_mhz or 0)
    each = (f"{clock:g} MHz was missed with {most:g} MHz" for clock, most in reached.items())
    return f"; {', '.join(each)}" if reached else ""


def _cells(board: Board, best: Choice, built: Built | None) -> list[str]:
    """A table, its columns as wide as what is in them."""
    rows = [["", "estimated", "used", "of", "share"]]
    for kind in RESOURCES:
        if not (of := kind.of(board.has)):  # the device has none, or enough
            continue
        guess = getattr(best.usage, kind.field)
        found = getattr(built, kind.count) if built else None
        known = guess if found is None else found
        share = "" if known is None else f"{known / of:.0%}"
        told = ("" if count is None else str(count) for count in (guess, found))
        rows.append([kind.name, *told, str(of), share])
    return table(rows)


def _result(board: Board, built: Built | None) -> list[str]:
    if built is None:
        start = f"- start: `{board.family.start}` in this folder"
        return [*_open_pins(board), start, *([f"- then load: `{board.load}`"] * bool(board.load))]
    tools = ", ".join(f"{name} {release}" for name, release in built.tools.items())
    return [
        f"- bitstream {built.bitstream}, sha256 {built.bitstream_sha256}",
        f"- seed {built.seed}; {tools}",
        *([f"- load: `{board.load_line}` in this folder"] * bool(board.load_line)),
    ]


def _open_pins(board: Board) -> list[str]:
    """What has to be done before a project of a kit without a serial line is of use."""
    known = board.pins
    missing = [signal for signal in SIGNALS if board.baud and signal not in known]
    return [f"- choose pins for {', '.join(missing)}: the board's file has none"] if missing else []
