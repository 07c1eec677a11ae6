"""Copies of cells that many read: every reader sees the same logic, none too much of one wire."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest

from boards.families.ecp5_copies import copy_cells

Cells = dict[str, dict[str, Any]]


def cell(kind: str, inputs: dict[str, Any], output: tuple[str, int]) -> dict[str, Any]:
    directions = dict.fromkeys(inputs, "input") | {output[0]: "output"}
    wires = {name: [bit] for name, bit in inputs.items()} | {output[0]: [output[1]]}
    given = {"type": kind, "parameters": {"INIT": "0110"}, "port_directions": directions}
    return given | {"connections": wires}


def tree(readers: int) -> dict[str, Any]:
    """An input to a flip-flop that feeds itself through a table; another one to many."""
    cells = {
        "loop": cell("LUT4", {"A": 2, "B": 11}, ("Z", 10)),
        "ff": cell("TRELLIS_FF", {"CLK": 3, "DI": 10}, ("Q", 11)),
        "reset": cell("LUT4", {"A": 11, "B": 2}, ("Z", 12)),
    }
    for i in range(readers):
        wires = {"CLK": 3, "DI": 11, "LSR": 12, "CE": 11}
        cells[f"r{i:03d}"] = cell("TRELLIS_FF", wires, ("Q", 100 + i))
    ports = {"d": {"bits": [2]}, "c": {"bits": [3]}, "o": {"bits": [11, 12]}}
    return {"modules": {"top": {"cells": cells, "ports": ports}}}


def logic(cells: Cells, bit: int, seen: tuple[int, ...] = ()) -> Any:
    """What makes a bit, down to the inputs and registers met before, wires' names left out."""
    made = [
        (c["type"], c["parameters"]["INIT"], c["connections"])
        for c in cells.values()
        for p, b in c["connections"].items()
        if b == [bit] and c["port_directions"][p] == "output"
    ]
    if not made or len(seen) > 3:
        return bit if not made else "again"
    ((kind, table, wires),) = made
    below = {p: logic(cells, b[0], (*seen, bit)) for p, b in wires.items() if p not in ("Q", "Z")}
    return kind, table, below


def loads(given: dict[str, Any]) -> Counter[int]:
    """Cells that read each bit."""
    cells = given["modules"]["top"]["cells"].values()
    counted = ("A", "B", "DI")
    return Counter(
        bit for c in cells for bit in {b for p, (b,) in c["connections"].items() if p in counted}
    )


@pytest.mark.parametrize(("readers", "most"), [(40, 8), (64, 32), (9, 4), (33, 32)])
def test_every_reader_sees_the_same_and_no_wire_is_long(readers: int, most: int) -> None:
    given = tree(readers)
    before = copy.deepcopy(given)
    made = copy_cells(given, "top", most)
    old, new = (n["modules"]["top"]["cells"] for n in (before, given))
    for i in range(readers):
        assert logic(new, 100 + i) == logic(old, 100 + i)
    assert sum(made.values()) == len(new) - len(old) > 0
    shared = {bit: n for bit, n in loads(given).items() if bit not in (2, 3)}  # ports stay
    assert max(shared.values()) <= most


def test_outputs_of_the_module_keep_their_wires() -> None:
    given = tree(40)
    copy_cells(given, "top", 8)
    drivers = [c["connections"] for c in given["modules"]["top"]["cells"].values()]
    assert sum(w.get("Q") == [11] or w.get("Z") == [12] for w in drivers) == 2


def test_what_a_tile_shares_stays_on_one_wire() -> None:
    given = tree(40)
    copy_cells(given, "top", 8)
    registers = [
        c for n, c in given["modules"]["top"]["cells"].items() if n[0] == "r" and n != "reset"
    ]
    assert {(*c["connections"]["LSR"], *c["connections"]["CE"]) for c in registers} == {(12, 11)}
    assert len({tuple(c["connections"]["DI"]) for c in registers}) == 6


def test_few_readers_change_nothing() -> None:
    given = tree(7)
    before = copy.deepcopy(given)
    assert not copy_cells(given, "top", 16)
    assert given == before


def test_copies_are_the_same_every_time() -> None:
    one, two = tree(50), tree(50)
    assert copy_cells(one, "top", 8) == copy_cells(two, "top", 8)
    assert one == two


def test_no_readers_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match=r"most = 0: .* take 1 or more"):
        copy_cells(tree(3), "top", 0)
