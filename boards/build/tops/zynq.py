"""The Tcl that puts a top with a port to memory into a block design of a Zynq."""

from __future__ import annotations

from collections.abc import Collection

from compiler.array.screen.design import PLANES_PORTS
from hdl.prefix import OURS, named
from hdl.verilog import VerilogFiles

from ...families.zynq import block_design

__all__ = ["ZYNQ", "fits_zynq", "zynq_script"]

ZYNQ = f"{OURS}_zynq"
PART = "xck26-sfvc784-2LV-c"  # of a Kria K26
MEGAHERTZ = 100.0


def fits_zynq(ports: Collection[str]) -> bool:
    """Whether the script has a port to memory for each of a top: it has one, for models."""
    return "m_axi_araddr" in ports and f"{PLANES_PORTS}_araddr" not in ports


def zynq_script(files: VerilogFiles, bits: int, prefix: str) -> dict[str, str]:
    """The script's text by the name of its file.

    Parameters
    ----------
    files : VerilogFiles
    bits : int
        Of both streams.
    prefix : str
        What all names begin with.
    """
    script = f"{named(prefix, ZYNQ)}.tcl"
    part = f'[expr {{$argc ? [lindex $argv 0] : "{PART}"}}]'
    text = block_design(
        f"{script} [-tclargs PART]", files.top, bits, part, MEGAHERTZ, "$here", memory=True
    )
    return {script: text}
