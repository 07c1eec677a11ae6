"""Cell counts by Yosys where the vendor's tool is absent: stand-ins, named as such.

They are what open synthesis makes of the sources for a family, not what Vivado or Quartus
would report. Arria 10 is not a family of Yosys 0.70; Cyclone V stands in for it.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter

from csb_format.files.folders import temporary_folder
from hdl.verilog import VerilogFiles
from sim.run.processes import TIMEOUT

from .synth import run_yosys

__all__ = ["FAMILIES", "stand_in_counts"]

FAMILIES = {
    "synth_xilinx xc7": "synth_xilinx -family xc7",
    "synth_xilinx xcup": "synth_xilinx -family xcup",
    "synth_intel_alm cyclonev": "synth_intel_alm -family cyclonev",
}


def stand_in_counts(
    files: VerilogFiles, family: str, timeout: float = TIMEOUT, *, module: str = ""
) -> dict[str, int]:
    """Cells of a design, flattened.

    Parameters
    ----------
    files : VerilogFiles
    family : str
        One of ``FAMILIES``.
    timeout : float
        Seconds.
    module : str
        What is counted of a Xilinx design in the place of all of it: no pads, no clock buffers.

    Raises
    ------
    ValueError
        For another family.
    SynthesisError
        If Yosys fails.
    """
    if family not in FAMILIES:
        raise ValueError(f"family {family!r}: choose one of {', '.join(FAMILIES)}")
    reads = [f"read_verilog {name}" for name in files.sources]
    top, inner = module or files.top, " -noiopad -noclkbuf" if module else ""
    # Yosys 0.70 aborts on this netlist unless it is flat before
    flat = [f"hierarchy -top {top}", "proc", "flatten -noscopeinfo"]
    done = [f"{FAMILIES[family]} -top {top}{inner}", "tee -q -o cells.txt stat -json"]
    with temporary_folder("synth") as work:
        for name in (*files.sources, *files.images):
            shutil.copy(files.folder / name, work / name)
        run_yosys(work, [*reads, *flat, *done], timeout)
        text = (work / "cells.txt").read_text("utf-8")
    found = json.loads(text[text.index("{") :])["design"]["num_cells_by_type"]
    return dict(sorted(Counter({k.removeprefix("\\"): n for k, n in found.items()}).items()))
