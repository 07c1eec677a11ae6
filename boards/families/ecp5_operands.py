"""Operands of multipliers at the top of their ports.

Yosys extends a narrow signed operand to the 18 bits of ECP5's multipliers by its sign, one wire to
up to eleven pins of one tile, and half of what is routed to an array of 8-bit products. The same
operand at the top of its port has constants below, which cost no wire; the product is then found
as much higher.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .ecp5_block_registers import readers

__all__ = ["align_operands"]

Cell = dict[str, Any]
WIDTH = 18
PRODUCT = 2 * WIDTH


def align_operands(netlist: dict[str, Any], top: str) -> int:
    """Change a flat netlist of Yosys (``write_json``) in place.

    Parameters
    ----------
    netlist : dict
    top : str
        Its module.

    Returns
    -------
    int
        Pins that need no wire any more.
    """
    module = netlist["modules"][top]
    read = readers(module)
    return sum(
        _align(cell, read) for cell in module["cells"].values() if cell["type"] == "MULT18X18D"
    )


def _align(cell: Cell, read: Mapping[int, list[str]]) -> int:
    """Move both operands up as far as what is read of the product allows."""
    wires, directions = cell["connections"], cell["port_directions"]
    if not _unregistered(cell):
        return 0
    outputs = [wires.pop(f"P{i}", ["x"]) for i in range(PRODUCT)]
    used = [i for i, (bit,) in enumerate(outputs) if read.get(bit)]
    room = PRODUCT - 1 - max(used, default=0)
    moved = 0
    for port in "AB":
        moved += _move(wires, port, min(room - moved, _copies(wires, port)))
    for i in range(PRODUCT):
        directions.pop(f"P{i}", None)
    for i, bits in enumerate(outputs[: PRODUCT - moved]):
        if bits != ["x"]:
            wires[f"P{i + moved}"], directions[f"P{i + moved}"] = bits, "output"
    return moved


def _unregistered(cell: Cell) -> bool:
    """Whether the block multiplies what its pins say, as Yosys leaves it."""
    given = cell["parameters"]
    shifted = ("SOURCEA", "SOURCEB")  # operands of the block beside it
    alone = all(cell["connections"].get(name, ["0"]) == ["0"] for name in shifted)
    return alone and all(given.get(f"REG_INPUT{x}_CLK", "NONE") == "NONE" for x in "AB")


def _copies(wires: dict[str, list[Any]], port: str) -> int:
    """Bits at the top of a signed operand that only repeat its sign."""
    if wires.get(f"SIGNED{port}") != ["1"]:
        return 0
    bits = [wires[f"{port}{i}"][0] for i in range(WIDTH)]
    copies = 0
    while copies < WIDTH - 1 and bits[WIDTH - 2 - copies] == bits[-1]:
        copies += 1
    return copies


def _move(wires: dict[str, list[Any]], port: str, places: int) -> int:
    bits = [wires[f"{port}{i}"] for i in range(WIDTH)]
    for i in range(WIDTH):
        wires[f"{port}{i}"] = bits[i - places] if i >= places else ["0"]
    return places
