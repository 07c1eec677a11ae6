"""AMD, by projects for Vivado: 7 Series with a serial link, Zynq behind its processor."""

from __future__ import annotations

from compiler.abi.identity import AXI_MODULE

from ..link.protocol import BUS_BITS
from .family import BOARD_MODULE, RAM_18K, Board, Costs, Family, Files, LutRam, Part, Project
from .pins import Pin
from .zynq import block_design

__all__ = ["VIVADO", "VIVADO_ZYNQ"]

# capacities: the vendor's product tables
SERIES_7 = {
    "xc7a35t": Part(90, 100, RAM_18K, 20800, 150, guessed=True, registers=41600),
    "xc7a100t": Part(240, 270, RAM_18K, 63400, 150, guessed=True, registers=126800),
}
ULTRASCALE = {
    "xck26": Part(
        *(1248, 288, RAM_18K, 117120, 200),
        guessed=True,
        registers=234240,
        distributed=7 << 13,  # 3.5 Mbit, 64 a look-up table
    )
}
STANDARDS = ("LVTTL", "LVCMOS33", "LVCMOS25", "LVCMOS18", "LVCMOS15", "LVCMOS12")
HIGH_PERFORMANCE = 128  # bits of a Zynq UltraScale+'s S_AXI_HP ports
VCCO = 2.0  # volts from which the pin CFGBVS of 7 Series is tied to VCCO, else to ground
# RAM64M and RAM32M of 7 Series, RAM64M8 and RAM32M16 of UltraScale
COSTS = Costs(sites=0.6, lut_ram=LutRam(4, 3))
ULTRASCALE_COSTS = Costs(sites=0.6, lut_ram=LutRam(8, 7))
SCRIPT = """# vivado -mode batch -source build.tcl
create_project -force sparseflow project -part {part}
add_files {{{sources}}}
# a memory image that is not found is an error, not an empty memory
set_msg_config -id {{Synth 8-4445}} -new_severity ERROR
{images}add_files -fileset constrs_1 board.xdc
set_property top {top} [current_fileset]
launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
open_run impl_1
report_timing_summary -file timing.txt
report_utilization -file utilization.txt
"""


def _vivado(board: Board, files: Files) -> dict[str, list[str]]:
    lines = [
        f"set_property -dict {{PACKAGE_PIN {pin.pin} {_attributes(pin)}}} [get_ports {s}]"
        for s, pin in board.pins.items()
    ]
    if board.config_volts:
        tied = "VCCO" if board.config_volts > VCCO else "GND"
        lines.append(f"set_property CFGBVS {tied} [current_design]")
        lines.append(f"set_property CONFIG_VOLTAGE {board.config_volts:g} [current_design]")
    lines.append(f"create_clock -name clk -period {1e9 / board.oscillator_hz:g} [get_ports clk]")
    images = f"add_files {{{' '.join(files.images)}}}\n" if files.images else ""
    part = f"{board.part}{board.package}-{board.speed}"
    sources = " ".join(files.sources)
    text = SCRIPT.format(part=part, sources=sources, images=images, top=BOARD_MODULE)
    return {"board.xdc": lines, "build.tcl": text.splitlines()}


def _attributes(pin: Pin) -> str:
    """Standard, resistor and current of a pin, as far as they are given."""
    pulls = {"up": ["PULLTYPE PULLUP"], "down": ["PULLTYPE PULLDOWN"]}  # none is its default
    given = [f"IOSTANDARD {pin.standard}", *pulls.get(pin.pull, [])]
    return " ".join([*given, f"DRIVE {pin.drive}"] if pin.drive else given)


def _zynq(board: Board, files: Files) -> dict[str, list[str]]:
    part = f"{board.part}-{board.package}-{board.speed}LV-c"
    megahertz = board.clock_hz / 1e6
    repository = "[file join $here ip]"
    text = block_design("build.tcl", AXI_MODULE, BUS_BITS, part, megahertz, repository)
    return {"build.tcl": text.splitlines()}


START = "vivado -mode batch -source build.tcl"
VIVADO = Family(
    "vivado",
    "Vivado project",
    SERIES_7,
    COSTS,
    project=Project("build.tcl", _vivado),
    start=START,
    standards=STANDARDS,
)
VIVADO_ZYNQ = Family(
    "vivado-zynq",
    "Vivado project",
    ULTRASCALE,
    ULTRASCALE_COSTS,
    project=Project("build.tcl", _zynq, packaged=True),
    start=START,
    memory_bits=HIGH_PERFORMANCE,
)
