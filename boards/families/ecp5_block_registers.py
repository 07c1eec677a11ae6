"""Registers behind multipliers and block memories moved into them.

DSP blocks and block memories of ECP5 have registers of their own, an order of magnitude faster
than one beside them. Yosys 0.70 does not use them, so the netlist that it writes is changed
before place and route: where all bits that leave a block go to plain flip-flops of one clock
and nowhere else, the block's register takes their place. Behaviour is the same to the cycle.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterator
from typing import Any

__all__ = ["absorb_registers", "readers"]

Cell = dict[str, Any]
MEMORIES = {"DP16KD": ("A", "B"), "PDPW16KD": ("",)}


def absorb_registers(netlist: dict[str, Any], top: str) -> Counter[str]:
    """Change a flat netlist of Yosys (``write_json``) in place.

    Parameters
    ----------
    netlist : dict
    top : str
        Its module.

    Returns
    -------
    Counter
        Blocks that have got a register, by cell type, and flip-flops saved (``TRELLIS_FF``).
    """
    return _Netlist(netlist["modules"][top]).absorb()


def readers(module: dict[str, Any], aside: Container[str] = ()) -> defaultdict[int, list[str]]:
    """Cells that read each bit of a flat module; the empty name stands for its ports.

    Inputs named in ``aside`` do not count.
    """
    users = defaultdict[int, list[str]](list)
    for name, cell in module["cells"].items():
        directions = cell.get("port_directions", {})
        for port, bits in cell["connections"].items():
            if directions.get(port) != "output" and port not in aside:
                for bit in filter(_is_wire, bits):
                    users[bit].append(name)
    for port in module["ports"].values():
        for bit in filter(_is_wire, port["bits"]):
            users[bit].append("")
    return users


def _is_wire(bit: int | str) -> bool:
    """Constants are text."""
    return isinstance(bit, int)


class _Netlist:
    """Who uses which bit."""

    def __init__(self, module: dict[str, Any]):
        self._cells: dict[str, Cell] = module["cells"]
        self._users = readers(module)

    def absorb(self) -> Counter[str]:
        """Try every block."""
        done = Counter[str]()
        for cell in list(self._cells.values()):
            kind = cell["type"]
            if kind != "MULT18X18D" and kind not in MEMORIES:
                continue
            outputs = list(self._outputs(cell))
            registers = {port: self._register(bit) for port, bit in outputs}
            clocks = {r["connections"]["CLK"][0] for r in registers.values() if r}
            if not all(registers.values()) or len(clocks) != 1 or not _fits(cell, clocks):
                continue
            for port, bit in outputs:
                (name,) = self._users[bit]
                cell["connections"][port] = self._cells.pop(name)["connections"]["Q"]
            _enable(cell, clocks.pop())
            done += Counter({kind: 1, "TRELLIS_FF": len(outputs)})
        return done

    def _outputs(self, cell: Cell) -> Iterator[tuple[str, int]]:
        """Ports that something reads."""
        for port, bits in cell["connections"].items():
            used = isinstance(bits[0], int) and self._users[bits[0]]
            if cell["port_directions"][port] == "output" and used:
                yield port, bits[0]

    def _register(self, bit: int) -> Cell | None:
        """The plain flip-flop that is the only reader of a bit."""
        users = self._users[bit]
        cell = self._cells.get(users[0]) if len(users) == 1 else None
        return cell if cell and _plain(cell, bit) else None


def _plain(cell: Cell, bit: int) -> bool:
    """Whether a cell is a flip-flop that takes the bit every cycle and starts at 0."""
    if cell["type"] != "TRELLIS_FF":
        return False
    given, wires = cell["parameters"], cell["connections"]
    enabled = given.get("CEMUX", "CE").strip() == "1" or wires.get("CE") == ["1"]
    reset = wires.get("LSR", ["0"])[0] not in ("0", "x")
    plain = given["REGSET"] == "RESET" and given["CLKMUX"] == "CLK"
    return enabled and not reset and plain and wires["DI"] == [bit]


def _fits(cell: Cell, clocks: set[int]) -> bool:
    """Whether a memory reads with that clock, always."""
    if cell["type"] == "MULT18X18D":
        return True
    # Yosys writes through port A and reads through port B, of which wide words have the upper
    # half at the outputs of port A
    wires = cell["connections"]
    clock, enable = ("CLKR", "CER") if cell["type"] == "PDPW16KD" else ("CLKB", "CEB")
    return wires[clock][0] in clocks and wires[enable] == ["1"]


def _enable(cell: Cell, clock: int) -> None:
    """Switch the block's output register on."""
    wires, given = cell["connections"], cell["parameters"]
    if cell["type"] == "MULT18X18D":
        wires |= {"CLK0": [clock], "CE0": ["1"], "RST0": ["0"]}
        cell["port_directions"] |= dict.fromkeys(("CLK0", "CE0", "RST0"), "input")
        given |= {f"REG_OUTPUT_{name}": f"{name}0" for name in ("CLK", "CE", "RST")}
        given["CLK0_DIV"] = "ENABLED"
    elif cell["type"] == "PDPW16KD":
        given["REGMODE"] = "OUTREG"
        wires["OCER"] = ["1"]
    else:
        given |= {"REGMODE_A": "OUTREG", "REGMODE_B": "OUTREG"}
        wires |= {"OCEA": ["1"], "OCEB": ["1"]}
        if wires["CLKA"] == ["0"]:  # a memory that is never written
            wires["CLKA"] = [clock]
