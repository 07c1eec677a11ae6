"""Operands moved up in their ports: every bit that is read stays what it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from boards.families.ecp5_operands import align_operands

A, B, P = 100, 200, 300  # numbers of the lowest bits


def netlist(a: int, b: int, read: list[int], **changes: Any) -> dict[str, Any]:
    """A multiplier of signed operands so wide, of whose product some bits are read."""
    wires: dict[str, list[Any]] = {f"A{i}": [A + min(i, a - 1)] for i in range(18)}
    wires |= {f"B{i}": [B + min(i, b - 1)] for i in range(18)}
    wires |= {f"P{i}": [P + i] for i in range(36)}
    wires |= {"SIGNEDA": ["1"], "SIGNEDB": ["1"], "SOURCEA": ["0"], "SOURCEB": ["0"]}
    wires |= changes
    cell = {
        "type": "MULT18X18D",
        "parameters": {},
        "port_directions": {n: "output" if n[0] == "P" else "input" for n in wires},
        "connections": wires,
    }
    return {
        "modules": {"top": {"cells": {"m": cell}, "ports": {"o": {"bits": [P + i for i in read]}}}}
    }


def products(given: dict[str, Any], values: dict[int, int]) -> dict[int, int]:
    """Bits of the product, as the block makes them of the bits at its pins."""
    wires = given["modules"]["top"]["cells"]["m"]["connections"]

    def operand(port: str) -> int:
        bits = [wires[f"{port}{i}"][0] for i in range(18)]
        number = sum(int(values.get(b, b == "1")) << i for i, b in enumerate(bits))
        signed = wires[f"SIGNED{port}"] == ["1"] and number >> 17
        return number - (1 << 18) if signed else number

    product = operand("A") * operand("B")
    return {wires[f"P{i}"][0]: product >> i & 1 for i in range(36) if f"P{i}" in wires}


def wires_in(given: dict[str, Any]) -> int:
    wires = given["modules"]["top"]["cells"]["m"]["connections"]
    return sum(isinstance(bits[0], int) for name, bits in wires.items() if name[0] in "AB")


@pytest.mark.parametrize(
    ("a", "b", "top", "saved"),
    [
        (8, 8, 16, 20),
        (8, 12, 20, 16),
        (16, 16, 32, 4),
        (18, 18, 36, 0),
        (8, 8, 30, 6),
        (1, 1, 2, 34),
    ],
)
def test_bits_that_are_read_stay(a: int, b: int, top: int, saved: int) -> None:
    read = list(range(top))
    before, after = netlist(a, b, read), netlist(a, b, read)
    assert align_operands(after, "top") == saved
    assert wires_in(before) - wires_in(after) == saved
    rng = np.random.default_rng(a * b)
    for _ in range(50):
        values = {A + i: int(rng.integers(2)) for i in range(a)}
        values |= {B + i: int(rng.integers(2)) for i in range(b)}
        expected, found = products(before, values), products(after, values)
        assert [expected[P + i] for i in read] == [found[P + i] for i in read]


@pytest.mark.parametrize(
    "changes",
    [{"SIGNEDA": ["0"], "SIGNEDB": ["0"]}, {"SOURCEA": ["1"]}, {"SIGNEDA": [7], "SIGNEDB": [7]}],
)
def test_what_is_not_a_plain_signed_product_stays(changes: dict[str, Any]) -> None:
    given = netlist(8, 8, list(range(16)), **changes)
    assert align_operands(given, "top") == 0
    assert given == netlist(8, 8, list(range(16)), **changes)


def test_ports_say_which_way() -> None:
    given = netlist(8, 8, list(range(16)))
    align_operands(given, "top")
    cell = given["modules"]["top"]["cells"]["m"]
    outputs = {n for n, way in cell["port_directions"].items() if way == "output"}
    assert outputs == {f"P{i}" for i in range(20, 36)}
    assert cell["connections"]["P20"] == [P]
