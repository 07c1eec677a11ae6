"""The map of rooms, ``docs/rooms.svg``, from what ``tests/test_rooms.py`` allows.

``python -m docs.picture`` draws it again after a room or a folder was added; a test compares.
"""

from __future__ import annotations

import argparse
import ast
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "rooms.svg"

WIDTH, HEIGHT, GAP = 660, 66, 16  # of a room, and between two
LEFT, TOP, STEP = 112, 16, 17  # margins; between arrows that run side by side
STYLE = """<style>
:root { --page: #ffffff; --ink: #1b1f24; --muted: #57606a; --line: #8c959f; --room: #f2f5f8; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --ink: #e6eaee; --muted: #a3adb8;
  --line: #6f7a86; --room: #1e242b; } }
svg { background: var(--page); font-family: ui-sans-serif, system-ui, sans-serif; }
rect { fill: var(--room); stroke: var(--line); }
text { fill: var(--ink); font-size: 13px; }
.name { font-size: 16px; font-weight: 600; }
.folders { fill: var(--muted); font-family: ui-monospace, monospace; font-size: 12px; }
path { fill: none; stroke: var(--line); stroke-width: 1.5; }
#head path { fill: var(--line); stroke: none; }
</style>"""
HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
    'orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
)


def declared(name: str) -> Any:
    """A table of ``tests/test_rooms.py``, which is read, not imported."""
    source = (ROOT / "tests" / "test_rooms.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name and node.value:
            return _literal(node.value)
    raise SystemExit(f"error: tests/test_rooms.py declares no {name}: the map is drawn from it")


def _literal(node: ast.expr) -> Any:
    """A literal in which ``set()`` stands for the empty set."""
    if isinstance(node, ast.Dict):
        keys = [ast.literal_eval(key) for key in node.keys if key is not None]
        return dict(zip(keys, map(_literal, node.values), strict=True))
    return set() if ast.unparse(node) == "set()" else ast.literal_eval(node)


def needed(allowed: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Arrows that no other way of arrows says: from a room to one that it imports."""
    reach: dict[str, set[str]] = {}
    for room, others in allowed.items():
        reach[room] = others.union(*(reach[other] for other in others))
    return [
        (room, other)
        for room, others in allowed.items()
        for other in sorted(others, key=list(allowed).index, reverse=True)
        if not any(other in reach[between] for between in others)
    ]


def _tracks(spans: list[tuple[int, int]]) -> list[int]:
    """A track for each arrow, the nearest that is free: short ones lie inside long ones."""
    chosen: dict[int, int] = {}
    for at in sorted(range(len(spans)), key=lambda n: spans[n][1] - spans[n][0]):
        low, high = spans[at]
        busy = {track for n, track in chosen.items() if spans[n][0] < high and low < spans[n][1]}
        chosen[at] = next(track for track in range(len(spans)) if track not in busy)
    return [chosen[at] for at in range(len(spans))]


def _purpose(room: str) -> str:
    source = (ROOT / room / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0].rstrip(".")


def _room(room: str, y: int, order: list[str]) -> str:
    folders = {path.parent.name for path in (ROOT / room).glob("*/__init__.py")}
    named = [name for name in order if name in folders]
    text = "  &#8250;  ".join(map(escape, [*named, *sorted(folders - set(named))]))
    return "\n".join(
        [
            f'<rect x="{LEFT}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
            f'<text x="{LEFT + 14}" y="{y + 22}" class="name">{escape(room)}</text>',
            f'<text x="{LEFT + 14}" y="{y + 40}">{escape(_purpose(room))}</text>',
            f'<text x="{LEFT + 14}" y="{y + 57}" class="folders" xml:space="preserve">'
            f"{text}</text>",
        ]
    )


def _arrow(low: int, high: int, track: int) -> str:
    x, start, end = LEFT - 24 - STEP * track, _row(high) + HEIGHT // 3, _row(low) + 2 * HEIGHT // 3
    return f'<path d="M{LEFT} {start}H{x + 8}Q{x} {start} {x} {start - 8}V{end + 8}' + (
        f'Q{x} {end} {x + 8} {end}H{LEFT}" marker-end="url(#head)"/>'
    )


def _row(at: int) -> int:
    return TOP + at * (HEIGHT + GAP)


def picture() -> str:
    """The map as SVG: rooms from the first to the last, arrows to what each imports."""
    allowed: dict[str, set[str]] = declared("MAY_IMPORT")
    order: dict[str, list[str]] = declared("ORDER")
    rooms = list(allowed)
    spans = [(rooms.index(to), rooms.index(room)) for room, to in needed(allowed)]
    wide, high = LEFT + WIDTH + TOP, _row(len(rooms)) - GAP + TOP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" '
        f'height="{high}" role="img" aria-label="The rooms, and what each imports">',
        STYLE,
        HEAD,
        *(_room(room, _row(at), order.get(room, [])) for at, room in enumerate(rooms)),
        *(_arrow(*span, track) for span, track in zip(spans, _tracks(spans), strict=True)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    argparse.ArgumentParser(description=f"Draw {TARGET.name} anew.").parse_args()
    TARGET.write_text(picture(), encoding="utf-8")
