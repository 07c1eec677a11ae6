"""The link's protocol as a C header.

``python -m boards.link.c_header FOLDER`` writes it and the header of the registers there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from compiler.abi.register_text import HEADER_FILE, c_header
from csb_format.files.replace import replace_file

from . import protocol
from .protocol import Code, Command

__all__ = ["LINK_HEADER", "link_header", "main", "write_headers"]

LINK_HEADER = "sparseflow_link_protocol.h"
PREFIX = "SPARSEFLOW_LINK"
NAMES = (
    *("VERSION", "FLAG", "ESCAPE", "ESCAPED", "HEADER", "MAX_WORDS", "REPLY", "NAK"),
    *("INCREMENT", "LAST", "ANSWER_BYTES", "SETTLE_READS", "DRAIN_WORDS", "BAUD", "RATE_SLACK"),
)


def link_header() -> str:
    """Constants of :mod:`boards.link.protocol` as C macros."""
    lines = [
        "/* The link of Sparseflow's boards; generated from boards/link/protocol.py. */",
        f"#ifndef {PREFIX}_PROTOCOL_H",
        f"#define {PREFIX}_PROTOCOL_H",
        "",
    ]
    values = {name: getattr(protocol, name) for name in NAMES}
    values |= {f"COMMAND_{command.name}": int(command) for command in Command}
    values |= {f"CODE_{code.name}": int(code) for code in Code}
    lines += [f"#define {PREFIX}_{name} 0x{value:X}u" for name, value in values.items()]
    return "\n".join([*lines, "", f"#endif /* {PREFIX}_PROTOCOL_H */", ""])


def write_headers(folder: Path) -> None:
    """Write both headers that the C driver includes.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((LINK_HEADER, link_header()), (HEADER_FILE, c_header())):
        replace_file(folder / name, text.encode())


def main(argv: Sequence[str] | None = None) -> None:
    """Write the headers into a folder."""
    parser = argparse.ArgumentParser(description="Write the headers that the C driver includes.")
    parser.add_argument("folder", type=Path, help="made where it is missing")
    folder: Path = parser.parse_args(argv).folder
    try:
        write_headers(folder)
    except OSError as error:
        parser.error(f"cannot write into {folder}: {error.strerror}; name a folder of yours")


if __name__ == "__main__":
    main()
