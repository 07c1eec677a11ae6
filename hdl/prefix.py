"""What all names of an accelerator begin with, so that two of them fit into one system.

Modules, files, images and the packaged block of an accelerator are called after its prefix. Two
prefixes that :func:`check_prefix` takes have no name in common: none ends as a block of ours does.
"""

from __future__ import annotations

import re
from pathlib import Path

from .keywords import KEYWORDS

__all__ = [
    "BLOCKS",
    "OURS",
    "check_prefix",
    "image_name",
    "named",
    "planes_file",
    "prefix_of",
    "waivers_file",
]

OURS = "sparseflow"  # of an accelerator that is alone
BLOCKS = frozenset(
    {
        "axi",
        "board",
        "column",
        "dram",
        "lane",
        "link",
        "litex",
        "mark",
        "pe",
        "projector",
        "ram",
        "registers",
    }
    | {"single", "streamed", "tb", "zynq"}
)
"""Last words of the names of modules and files that a prefix goes before."""
# Lower case, no two underscores in a row and none at the end: VHDL reads such a name too, and file
# systems that know no case keep two of them apart.
LEGAL = re.compile(r"[a-z](_?[a-z0-9])*")
LONGEST = 64


def check_prefix(prefix: str) -> str:
    """A prefix as it is, or an error.

    Raises
    ------
    ValueError
        If Verilog or VHDL cannot read it, or it ends as names of blocks do.
    """
    if not isinstance(prefix, str) or not LEGAL.fullmatch(prefix) or len(prefix) > LONGEST:
        raise ValueError(
            f"prefix {_short(prefix)}: must be a lower-case letter, then at most {LONGEST - 1} "
            "letters, digits and single underscores, as in vowels_4x8"
        )
    if prefix in KEYWORDS:
        raise ValueError(f"prefix {prefix!r} is a keyword of Verilog: choose {prefix}_net")
    if (block := prefix.rpartition("_")[2]) in BLOCKS:
        raise ValueError(
            f"prefix {prefix!r} ends as the name of our block {block!r}, so that names could meet: "
            f"choose {prefix}_net"
        )
    return prefix


def _short(prefix: object) -> str:
    text = repr(prefix)
    return text if len(text) <= 2 * LONGEST else f"{text[:LONGEST]}..."


def prefix_of(model: Path) -> str:
    """The prefix of a model's file: its name, as an identifier, behind ``sparseflow_``.

    It is the same for the same file name on every machine and after every training, as others
    write it into their sources. A digest would be unlike any other, but new with each weight.

    Raises
    ------
    ValueError
        If no identifier can be made of it.
    """
    name = "_".join(re.findall(r"[a-z0-9]+", model.stem.lower()))
    try:
        if not name:
            raise ValueError(f"{model.name!r} has neither letters nor digits of ASCII")
        return check_prefix(f"{OURS}_{name}")
    except ValueError as error:
        raise ValueError(f"{error}; or give --prefix") from error


def named(prefix: str, name: str) -> str:
    """A name of ours under a prefix; a name that is not of ours stays."""
    ours = name == OURS or name.startswith(f"{OURS}_")
    return prefix + name.removeprefix(OURS) if ours else name


def image_name(prefix: str, memory: str) -> str:
    """Name of the image of a memory, without what tells its format."""
    return memory if prefix == OURS else f"{prefix}_{memory}"


def planes_file(prefix: str) -> str:
    """Name of the bytes that a screen unit reads from memory, where its planes lie outside."""
    return f"{prefix}_planes.bin"


def waivers_file(prefix: str) -> str:
    """Name of the waivers for Verilator's ``--lint-only -Wall``, which lie beside the Verilog."""
    return f"{prefix}.vlt"
