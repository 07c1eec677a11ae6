"""Intel, by projects for Quartus."""

from __future__ import annotations

from .family import BOARD_MODULE, SIGNALS, Board, Costs, Family, Files, Part, Project

__all__ = ["PARTS", "QUARTUS"]

M10K = ((256, 40), (512, 20), (1024, 10), (2048, 5), (4096, 2), (8192, 1))
M20K = ((512, 40), (1024, 20), (2048, 10), (4096, 5), (8192, 2), (16384, 1))
# capacities: the vendor's product tables; `device` is the family as Quartus calls it
PARTS = {
    "5CSEBA6U23I7": Part(224, 553, M10K, 41910, 100, "Cyclone V", guessed=True),
    "10AX115S2F45I1SG": Part(3036, 2713, M20K, 427200, 200, "Arria 10", guessed=True),
}
QSF = """set_global_assignment -name FAMILY "{family}"
set_global_assignment -name DEVICE {part}
set_global_assignment -name TOP_LEVEL_ENTITY {top}
set_global_assignment -name PROJECT_OUTPUT_DIRECTORY output
set_global_assignment -name SDC_FILE sparseflow.sdc
"""


def _quartus(board: Board, files: Files) -> dict[str, list[str]]:
    pins = board.located()
    lines = QSF.format(family=board.has.device, part=board.part, top=BOARD_MODULE).splitlines()
    lines += [f"set_global_assignment -name VERILOG_FILE {name}" for name in files.sources]
    for signal in SIGNALS:
        if signal not in pins:  # a kit without a serial line: choose pins before you load it
            lines.append(f"set_instance_assignment -name VIRTUAL_PIN ON -to {signal}")
            continue
        lines.append(f"set_location_assignment PIN_{pins[signal].name} -to {signal}")
        standard = pins[signal].standard
        lines.append(f'set_instance_assignment -name IO_STANDARD "{standard}" -to {signal}')
    period = 1e9 / board.oscillator_hz
    clock = f"create_clock -name clk -period {period:g} [get_ports clk]"
    return {
        "sparseflow.qsf": lines,
        "sparseflow.qpf": ['PROJECT_REVISION = "sparseflow"'],
        "sparseflow.sdc": [clock, "derive_clock_uncertainty"],
        "build.sh": ["#!/bin/sh", "quartus_sh --flow compile sparseflow"],
    }


QUARTUS = Family(
    "quartus",
    "Quartus project",
    PARTS,
    Costs(sites=0.5),
    project=Project("sparseflow.qpf", _quartus),
    start="sh build.sh",
)
