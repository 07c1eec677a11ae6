"""Cells that many others read, copied.

A wire to a hundred places crosses the chip. Yosys merges equal registers wherever it finds them,
copies that the hardware description makes on purpose included, so they are made again in the
netlist that it writes. Every copy takes the same inputs: behaviour is the same to the cycle.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from .ecp5_block_registers import readers

__all__ = ["MOST", "copy_cells"]

Cell = dict[str, Any]
MOST = 32
# Copies read as well, and may make too many readers of what they read. This often, and no
# more: registers that feed each other could be copied without end.
PASSES = 3
OUTPUTS = {"TRELLIS_FF": "Q", "LUT4": "Z"}
# A tile has two wires of each of these for all its cells: copies would keep cells apart.
SHARED = {"CLK", "CE", "LSR", "WCK", "WRE"}


def copy_cells(netlist: dict[str, Any], top: str, most: int = MOST) -> Counter[str]:
    """Change a flat netlist of Yosys (``write_json``) in place.

    Readers whose names follow each other share a copy: those of one block.

    Parameters
    ----------
    netlist : dict
    top : str
        Its module.
    most : int
        Cells that may read one output, at least 1; resets, enables and clocks do not count.

    Returns
    -------
    Counter
        Copies made, by cell type.

    Raises
    ------
    ValueError
        If ``most`` is below 1.
    """
    if most < 1:
        raise ValueError(f"most = {most}: an output has at least one reader, take 1 or more")
    done = Counter[str]()
    for _ in range(PASSES):
        done += _pass(netlist["modules"][top], most)
    return done


def _pass(module: dict[str, Any], most: int) -> Counter[str]:
    read, bits, made = readers(module, SHARED), _highest_bit(module), Counter[str]()
    for name, cell in list(module["cells"].items()):
        output = OUTPUTS.get(cell["type"], "")
        bit = cell["connections"].get(output, [""])[0]
        users = sorted(set(read.get(bit, ())) - {""})
        groups = -(-len(users) // most)
        for i in range(1, groups):
            bits += 1
            copy = cell | {"connections": cell["connections"] | {output: [bits]}}
            module["cells"][f"{name}$copy{bits}"] = copy
            for user in users[i * len(users) // groups : (i + 1) * len(users) // groups]:
                _replace(module["cells"][user], bit, bits)
            made[cell["type"]] += 1
    return made


def _highest_bit(module: dict[str, Any]) -> int:
    wires = [cell["connections"].values() for cell in module["cells"].values()]
    wires.append([port["bits"] for port in module["ports"].values()])
    return max(b for some in wires for bits in some for b in bits if isinstance(b, int))


def _replace(cell: Cell, old: int, new: int) -> None:
    """Read another bit where this one may be a copy."""
    for port, bits in cell["connections"].items():
        if cell["port_directions"][port] != "output" and port not in SHARED:
            cell["connections"][port] = [new if bit == old else bit for bit in bits]
