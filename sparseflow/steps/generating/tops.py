"""Which top a command asks for, and its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.abi.dma import PAGE
from compiler.array.screen.design import BUS_BITS
from compiler.lower.image import Image
from csb_format.files.folders import replaced_folder
from csb_format.scales import DesignError

from ..options import TopName, VerilogOptions

if TYPE_CHECKING:
    from boards.build.tops.tops import Top
    from hdl.dram.reader import ReadBus
    from hdl.verilog import VerilogFiles

__all__ = ["check_of_top", "emit_top", "read_bus", "top_of"]

# Of each option the tops that have it.
HAVE = {
    "bits": (TopName.axi, TopName.dram),
    "bus_bits": (TopName.dram,),
    "base": (TopName.dram,),
    "also": (TopName.dram,),
    "clock": (TopName.link,),
    "baud": (TopName.link,),
}


def top_of(given: VerilogOptions) -> Top:
    """The top that the options ask for.

    Raises
    ------
    DesignError
        For an option that another top has, or a value that it cannot have.
    """
    from boards.build.tops.tops import Top

    for name in HAVE:
        check_of_top(name, getattr(given, name), given.top)
    if given.base is not None and (given.base < 0 or given.base % PAGE):
        raise DesignError(f"--base {given.base}: must be a multiple of {PAGE}, at least 0")
    if given.also and given.base is None:
        raise DesignError("--also puts models into memory behind the first: give --base too")
    return Top(
        given.top.value,
        Top.bits if given.bits is None else given.bits,
        read_bus(given.bus_bits),
        Top.clock_hz if given.clock is None else given.clock * 1e6,
        Top.baud if given.baud is None else given.baud,
    )


def check_of_top(name: str, value: object, top: str) -> None:
    """Raise a :class:`.DesignError` if an option is given to a top that has none such."""
    if value is not None and top not in HAVE[name]:
        raise DesignError(
            f"--{name.replace('_', '-')} is of --top {' and '.join(HAVE[name])}: leave it out for "
            f"{top}"
        )


def read_bus(bits: int | None) -> ReadBus:
    """The port to memory, of these bits or as usual."""
    from hdl.dram.reader import ReadBus

    if bits is not None and bits not in BUS_BITS:
        *others, last = BUS_BITS
        raise DesignError(f"bus_bits = {bits}: must be {', '.join(map(str, others))} or {last}")
    return ReadBus() if bits is None else ReadBus(bits)


def emit_top(
    image: Image,
    out: Path,
    top: Top,
    prefix: str,
    base: int | None,
    others: Sequence[Image] = (),
) -> VerilogFiles:
    """Write a top and what lies beside it to a folder, as a whole or not at all.

    Parameters
    ----------
    image : Image
    out : Path
    top : Top
    prefix : str
        What all names begin with; see :mod:`hdl.prefix`.
    base : int or None
        Of ``dram``: where the model will lie in memory.
    others : sequence of Image
        Models of the same design that lie behind it.
    """
    from boards.build.ip import write_block
    from hdl.verilog import KIND

    with replaced_folder(out, KIND) as folder:
        files = write_block(image.design, image, folder, top, prefix, base, others)
    return replace(files, folder=out)
