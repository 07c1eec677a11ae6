"""Write a LiteX SoC with a Sparseflow accelerator: Verilog to simulate, headers for its programs.

FOLDER is what ``sparseflow verilog --top dram --base 1073741824`` wrote. BUILD gets ``soc.v``,
``csr.h``, ``mem.h``, ``sources.txt``, and empty images of the memories that hold the program and
the model; docs/integration.md.
"""

import argparse
from pathlib import Path

from ..machine import needed


def main() -> None:
    """Words of the command line, then the SoC."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("build", type=Path)
    given = parser.parse_args()
    needed("litex")
    from .soc import write

    write(given.folder, given.build)


if __name__ == "__main__":
    main()
