"""Projects of vendor tools: sources, images, constraints and a script, in a folder of its own.

The tools themselves are not needed here. What they make of the projects is not checked by our
tests; the sources are those that the open flow and the simulators read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from compiler.array.design import Design
from compiler.lower.image import Image
from csb_format.files.folders import replaced_folder
from csb_format.files.ownership import contents

from ..board import Board, BoardError
from ..families.family import Files, Project
from ..link.protocol import BUS_BITS
from .bitstream import KIND
from .ip import write_ip
from .record import SUMMARY_DATA, record
from .top_verilog import emit_board

__all__ = ["write_project"]


def write_project(
    board: Board,
    design: Design,
    image: Image,
    out: Path,
    more: Callable[[], Mapping[str, str]] = dict,
) -> tuple[str, ...]:
    """Write the project of a board's vendor tool.

    Parameters
    ----------
    board : Board
        Of a family whose bitstreams a vendor's tool makes.
    design : Design
    image : Image
    out : Path
        Folder, replaced as a whole if it is ours; it needs nothing outside.
    more : callable
        Texts of more files by name; asked once the project is written.

    Returns
    -------
    tuple of str
        Names of the files, the one to start with first.
    """
    project = board.family.project
    if project is None:
        raise BoardError(f"board {board.name}: no vendor project; its bitstream has open tools")
    with replaced_folder(out, KIND) as work:
        _fill(project, board, design, image, work)
        data = json.dumps(record(board, design), indent=2, allow_nan=False) + "\n"
        (work / SUMMARY_DATA).write_text(data, encoding="utf-8")
        for name, text in more().items():
            (work / name).write_text(text, encoding="utf-8")
    names = contents(out)
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
