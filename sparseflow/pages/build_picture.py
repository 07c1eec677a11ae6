"""The picture beside a build's summary: cells by block, and the critical path over time.

Plain SVG, written here: the summary belongs to an extra without a library for plots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from boards.build.bitstream import Built
from boards.build.blocks import Block
from boards.build.critical import CriticalPath, Hop

__all__ = ["PICTURE", "pictures", "stretches"]

PICTURE = "summary.svg"
WIDTH, LEFT, RIGHT, ROW = 920, 230, 20, 22
LONGEST = 34  # characters left of the bars
STYLE = """<style>
:root { --page: #ffffff; --ink: #1b1f24; --muted: #57606a; --line: #d0d7de; --logic: #1f6feb;
  --routing: #e09b24; --cells: #1f6feb; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --ink: #e6eaee; --muted: #a3adb8;
  --line: #3a434d; --logic: #58a6ff; --routing: #f0b34a; --cells: #58a6ff; } }
svg { background: var(--page); font-family: ui-sans-serif, system-ui, sans-serif; }
text { fill: var(--ink); font-size: 12px; }
.title { font-size: 15px; font-weight: 600; }
.muted { fill: var(--muted); }
.end { text-anchor: end; }
.cells { fill: var(--cells); } .logic { fill: var(--logic); } .routing { fill: var(--routing); }
line { stroke: var(--line); }
</style>"""
KINDS = {
    "lut": "look-up tables",
    "ff": "flip-flops",
    "ram": "block RAM",
    "dsp": "multipliers",
    "spram": "large RAM",
    "distributed": "small RAM",
}


def pictures(built: Built) -> dict[str, str]:
    """Files of pictures by name: one, or none where no block and no path is known."""
    parts, high = list[str](), 12
    for draw in (_cells(built.blocks), *(_path(path) for path in built.paths[:1])):
        for text, rows in draw:
            parts.append(f'<g transform="translate(0 {high})">{text}</g>')
            high += rows
    if not parts:
        return {}
    label = "Cells by block, and the critical path"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {high}" width="{WIDTH}" '
        f'height="{high}" role="img" aria-label="{label}">'
    )
    return {PICTURE: "\n".join([head, STYLE, *parts, "</svg>"]) + "\n"}


def stretches(path: CriticalPath) -> list[tuple[str, list[Hop]]]:
    """Hops one after the other that are about the same signal."""
    return [(signal, list(hops)) for signal, hops in groupby(path.hops, lambda hop: hop.signal)]


def _cells(blocks: Sequence[Block]) -> Iterator[tuple[str, int]]:
    """A row a block, a column a kind of cells; the longest bar is that of the largest block."""
    totals = {kind: sum(block.cells.get(kind, 0) for block in blocks) for kind in KINDS}
    most = {kind: max((block.cells.get(kind, 0) for block in blocks), default=0) for kind in KINDS}
    kinds = [kind for kind, total in totals.items() if total]
    if not kinds:
        return
    wide = (WIDTH - LEFT - RIGHT) / len(kinds)
    yield _text(16, 16, "Cells by block", "title"), 26
    columns = (
        _text(LEFT + n * wide, 12, f"{KINDS[k]}, {totals[k]:,}") for n, k in enumerate(kinds)
    )
    yield "".join(columns), 20
    for block in blocks:
        name = block.name if block.instances == 1 else f"{block.instances} x {block.name}"
        parts = [_text(LEFT - 12, 14, name, "end")]
        for n, kind in enumerate(kinds):
            parts.append(_bar(LEFT + n * wide, wide, block.cells.get(kind, 0), most[kind]))
        yield "".join(parts), ROW
    yield "", 16


def _bar(x: float, wide: float, count: int, most: int) -> str:
    """With its count behind; room is left for that."""
    if not count:
        return ""
    length = max(1.0, (wide - 64) * count / most)
    bar = f'<rect class="cells" x="{x:.1f}" y="3" width="{length:.1f}" height="14" rx="2"/>'
    return bar + _text(x + length + 5, 14, f"{count:,}", "muted")


def _path(path: CriticalPath) -> Iterator[tuple[str, int]]:
    """Time goes to the right, a row for every signal."""
    total = sum(hop.ns for hop in path.hops) or 1.0
    scale = (WIDTH - LEFT - RIGHT - 60) / total
    yield _text(16, 16, f"Critical path of {path.clock}: {total:.2f} ns", "title"), 26
    keys = "".join(
        f'<rect class="{kind}" x="{LEFT + n * 150}" y="2" width="12" height="12" rx="2"/>'
        + _text(LEFT + n * 150 + 18, 12, f"{kind}, {path.ns(kind):.2f} ns")
        for n, kind in enumerate(("logic", "routing"))
    )
    yield keys, 24
    at = 0.0
    for signal, hops in stretches(path):
        parts = [_text(LEFT - 12, 14, _short(signal), "end")]
        for hop in hops:
            x, wide = LEFT + at * scale, max(0.5, hop.ns * scale - 0.5)
            parts.append(
                f'<rect class="{hop.kind}" x="{x:.1f}" y="3" width="{wide:.1f}" height="14">'
                f"<title>{escape(f'{hop.kind} {hop.ns:g} ns to {hop.cell}.{hop.port}')}</title>"
                "</rect>"
            )
            at += hop.ns
        spent = sum(hop.ns for hop in hops)
        parts.append(_text(LEFT + at * scale + 5, 14, f"{spent:.2f}", "muted"))
        yield "".join(parts), ROW
    yield f'<line x1="{LEFT}" y1="4" x2="{LEFT + total * scale:.1f}" y2="4"/>', 16


def _short(name: str) -> str:
    """Its end, where there is no room for all of it."""
    return name if len(name) <= LONGEST else f"...{name[3 - LONGEST :]}"


def _text(x: float, y: float, text: str, style: str = "") -> str:
    chosen = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.0f}"{chosen}>{escape(text)}</text>'
