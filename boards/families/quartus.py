"""Intel, by projects for Quartus."""

from __future__ import annotations

from .family import BOARD_MODULE, Board, Costs, Family, Files, Part, Project
from .pins import Pin

__all__ = ["PARTS", "QUARTUS"]

M10K = ((256, 40), (512, 20), (1024, 10), (2048, 5), (4096, 2), (8192, 1))
M20K = ((512, 40), (1024, 20), (2048, 10), (4096, 5), (8192, 2), (16384, 1))
# capacities: the vendor's product tables; `device` is the family as Quartus calls it
PARTS = {
    "5CSEBA6U23I7": Part(224, 553, M10K, 41910, 100, "Cyclone V", guessed=True, registers=167640),
    "10AX115S2F45I1SG": Part(
        3036, 2713, M20K, 427200, 200, "Arria 10", guessed=True, registers=1708800
    ),
}
STANDARDS = (
    "3.3-V LVTTL", "3.3-V LVCMOS", "3.0-V LVTTL", "3.0-V LVCMOS",
    "2.5 V", "1.8 V", "1.5 V", "1.2 V",
)  # fmt: skip
QSF = """set_global_assignment -name FAMILY "{family}"
set_global_assignment -name DEVICE {part}
set_global_assignment -name TOP_LEVEL_ENTITY {top}
set_global_assignment -name PROJECT_OUTPUT_DIRECTORY output
set_global_assignment -name SDC_FILE sparseflow.sdc
"""


def _quartus(board: Board, files: Files) -> dict[str, list[str]]:
    pins = board.pins
    lines = QSF.format(family=board.has.device, part=board.part, top=BOARD_MODULE).splitlines()
    lines += [f"set_global_assignment -name VERILOG_FILE {name}" for name in files.sources]
    for signal in board.signals:
        if signal not in pins:  # a kit without a serial line: choose pins before you load it
            lines.append(f"set_instance_assignment -name VIRTUAL_PIN ON -to {signal}")
            continue
        lines.append(f"set_location_assignment PIN_{pins[signal].pin} -to {signal}")
        lines += [
            f'set_instance_assignment -name {name} "{value}" -to {signal}'
            for name, value in _attributes(pins[signal]).items()
        ]
    period = 1e9 / board.oscillator_hz
    clock = f"create_clock -name clk -period {period:g} [get_ports clk]"
    return {
        "sparseflow.qsf": lines,
        "sparseflow.qpf": ['PROJECT_REVISION = "sparseflow"'],
        "sparseflow.sdc": [clock, "derive_clock_uncertainty"],
        "build.sh": ["#!/bin/sh", "quartus_sh --flow compile sparseflow"],
    }


def _attributes(pin: Pin) -> dict[str, str]:
    """Standard, resistor and current of a pin, as far as they are given."""
    given = {"IO_STANDARD": pin.standard}
    if pin.pull:
        given["WEAK_PULL_UP_RESISTOR"] = "ON" if pin.pull == "up" else "OFF"
    return given | ({"CURRENT_STRENGTH_NEW": f"{pin.drive}MA"} if pin.drive else {})


QUARTUS = Family(
    "quartus",
    "Quartus project",
    PARTS,
    Costs(sites=0.5),
    project=Project("sparseflow.qpf", _quartus),
    start="sh build.sh",
    standards=STANDARDS,
    pulls=("up", "none"),
)
