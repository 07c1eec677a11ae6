"""Projects of vendor tools: sources, images, constraints and a script, in a folder of its own.

The tools themselves are not needed here. What they make of the projects is not checked by our
tests; the sources are those that the open flow and the simulators read.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from compiler.array.design import Design
from compiler.lower.image import Image

from ..board import Board, BoardError
from ..families.family import Files, Project
from ..link.protocol import BUS_BITS
from .ip import write_ip
from .top_verilog import emit_board

__all__ = ["write_project"]


def write_project(board: Board, design: Design, image: Image, out: Path) -> tuple[str, ...]:
    """Write the project of a board's vendor tool.

    Parameters
    ----------
    board : Board
        Of a family whose bitstreams a vendor's tool makes.
    design : Design
    image : Image
    out : Path
        Folder, replaced as a whole; it needs nothing outside.

    Returns
    -------
    tuple of str
        Names of the files, the one to start with first.
    """
    project = board.family.project
    if project is None:
        raise BoardError(f"board {board.name}: no vendor project; its bitstream has open tools")
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent)) / "project"
    try:
        _fill(project, board, design, image, work)
        work.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        work.rename(out)
    finally:
        shutil.rmtree(work.parent, ignore_errors=True)
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    return (project.first, *(name for name in names if name != project.first))


def _fill(project: Project, board: Board, design: Design, image: Image, work: Path) -> None:
    """Sources, and the files of the project."""
    if project.packaged:
        work.mkdir()
        write_ip(design, image, work / "ip", BUS_BITS)
        files = Files((), ())
    else:
        emitted = emit_board(board, design, image, work)
        files = Files(emitted.sources, emitted.images)
    for name, lines in project.texts(board, files).items():
        (work / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
