"""Pages of the reference: one a folder of a room, so that a new file needs no line here.

``conf.py`` calls :func:`write` before Sphinx reads the sources; what it writes is not committed.
"""

from __future__ import annotations

from pathlib import Path

ROOMS = ("csb_format", "compiler", "engine", "pruning", "hdl", "sim", "boards", "sparseflow")


def _heading(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def _module(name: str, *options: str) -> list[str]:
    return [f".. automodule:: {name}", *(f"   :{option}:" for option in options), ""]


def folders(folder: Path) -> list[Path]:
    """The packages right below a folder, by name."""
    return sorted(path.parent for path in folder.glob("*/__init__.py"))


def page(folder: Path, name: str) -> str:
    """The page of one folder: what it is for, its modules, and the folders below."""
    lines = [*_heading(name, "="), *_module(name)]
    below = [f"{name}.{path.name}" for path in folders(folder)]
    if below:
        lines += [".. toctree::", "   :maxdepth: 1", "", *(f"   {page}" for page in below), ""]
    for path in sorted(folder.glob("[!_]*.py")):
        lines += [*_heading(path.stem, "-"), *_module(f"{name}.{path.stem}", "members")]
    return "\n".join(lines)


def pages(root: Path, rooms: tuple[str, ...] = ROOMS) -> dict[str, str]:
    """Every page by the dotted name of its folder."""
    found: dict[str, str] = {}
    waiting = [(root / room, room) for room in rooms]
    while waiting:
        folder, name = waiting.pop()
        found[name] = page(folder, name)
        waiting += [(path, f"{name}.{path.name}") for path in folders(folder)]
    return found


def write(root: Path, out: Path) -> None:
    """Write the pages; leave alone what has not changed, drop what no longer has a folder."""
    out.mkdir(parents=True, exist_ok=True)
    made = pages(root)
    for path in out.glob("*.rst"):
        if path.stem not in made:
            path.unlink()
    for name, text in made.items():
        path = out / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
