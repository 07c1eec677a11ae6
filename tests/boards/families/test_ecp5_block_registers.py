"""Flip-flops into blocks: only where behaviour stays the same to the cycle."""

from __future__ import annotations

from typing import Any

import pytest

from boards.families.ecp5_block_registers import absorb_registers


def netlist(kind: str = "MULT18X18D", **changes: Any) -> dict[str, Any]:
    """A block whose two output bits go to a flip-flop each, and on to the module's ports."""
    outputs = {"MULT18X18D": ("P0", "P1"), "DP16KD": ("DOB0", "DOA1"), "PDPW16KD": ("DO0", "DO1")}
    ports = outputs[kind]
    clock = {"DP16KD": "CLKB", "PDPW16KD": "CLKR"}.get(kind, "")
    enable = {"DP16KD": "CEB", "PDPW16KD": "CER"}.get(kind, "")
    wires: dict[str, list[Any]] = {ports[0]: [10], ports[1]: [11]}
    if clock:
        wires |= {clock: [2], enable: ["1"], "CLKA": ["0"]}
    block = {
        "type": kind,
        "parameters": {},
        "port_directions": {p: "output" if p in ports else "input" for p in wires},
        "connections": wires,
    }
    cells = {"block": block, "ff0": flip_flop(10, 20), "ff1": flip_flop(11, 21)}
    cells["ff1"]["connections"] |= changes.get("wires", {})
    cells["ff1"]["parameters"] |= changes.get("parameters", {})
    read = changes.get("read", [20, 21])
    return {"modules": {"top": {"cells": cells, "ports": {"o": {"bits": read}}}}}


def flip_flop(source: int, target: int) -> dict[str, Any]:
    directions = {"CLK": "input", "DI": "input", "LSR": "input", "Q": "output"}
    return {
        "type": "TRELLIS_FF",
        "parameters": {"CEMUX": "1 ", "CLKMUX": "CLK", "REGSET": "RESET"},
        "port_directions": directions,
        "connections": {"CLK": [2], "DI": [source], "LSR": ["0"], "Q": [target]},
    }


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        ("MULT18X18D", {"REG_OUTPUT_CLK": "CLK0", "REG_OUTPUT_CE": "CE0"}),
        ("DP16KD", {"REGMODE_A": "OUTREG", "REGMODE_B": "OUTREG"}),
        ("PDPW16KD", {"REGMODE": "OUTREG"}),
    ],
)
def test_blocks_take_their_registers(kind: str, setting: dict[str, str]) -> None:
    given = netlist(kind)
    assert absorb_registers(given, "top") == {kind: 1, "TRELLIS_FF": 2}
    cells = given["modules"]["top"]["cells"]
    assert list(cells) == ["block"]
    assert setting.items() <= cells["block"]["parameters"].items()
    outputs = [b for p, b in cells["block"]["connections"].items() if p[0] in "PD"]
    assert outputs == [[20], [21]]


@pytest.mark.parametrize(
    "changes",
    [
        {"wires": {"CLK": [3]}},
        {"wires": {"LSR": [7]}},
        {"wires": {"CE": [7]}, "parameters": {"CEMUX": "CE"}},
        {"parameters": {"REGSET": "SET"}},
        {"parameters": {"CLKMUX": "INV"}},
        {"read": [20, 21, 11]},
    ],
    ids=["clock", "reset", "enable", "starts at 1", "edge", "read before"],
)
def test_other_flip_flops_stay(changes: dict[str, Any]) -> None:
    given = netlist(**changes)
    before = str(given)
    assert not absorb_registers(given, "top")
    assert str(given) == before


@pytest.mark.parametrize("wires", [{"CEB": [9]}, {"CLKB": [4]}])
def test_memories_that_do_not_read_with_that_clock_always_stay(wires: dict[str, Any]) -> None:
    given = netlist("DP16KD")
    given["modules"]["top"]["cells"]["block"]["connections"] |= wires
    assert not absorb_registers(given, "top")
